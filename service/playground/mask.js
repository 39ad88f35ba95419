// What of a picture is redrawn: a cell for each of the model's pixels.

export class Mask {
  constructor(width, height) {
    Object.assign(this, { width, height, cells: new Uint8Array(width * height), past: [] });
  }

  get empty() {
    return !this.cells.some(Boolean);
  }

  /** A stroke begins: it is what `undo` takes back. */
  begin() {
    this.past.push(this.cells.slice());
  }

  /** → was there anything to take back? */
  undo() {
    const before = this.past.pop();
    this.cells = before ?? this.cells;
    return before !== undefined;
  }

  clear() {
    this.begin();
    this.cells = new Uint8Array(this.width * this.height);
  }

  /** Mark what a round brush passes from one point to another; coordinates and radius in cells. */
  line([x0, y0], [x1, y1], radius) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) * 2));
    for (let i = 0; i <= steps; i++) this.stamp(x0 + ((x1 - x0) * i) / steps, y0 + ((y1 - y0) * i) / steps, radius);
  }

  stamp(x, y, radius) {
    for (let v = Math.max(0, Math.floor(y - radius)); v < Math.min(this.height, y + radius); v++) {
      for (let u = Math.max(0, Math.floor(x - radius)); u < Math.min(this.width, x + radius); u++) {
        if (Math.hypot(u + 0.5 - x, v + 0.5 - y) <= radius) this.cells[v * this.width + u] = 1;
      }
    }
  }

  /** White is redrawn, black is kept: four bytes a cell. */
  get pixels() {
    return Uint8ClampedArray.from({ length: 4 * this.cells.length }, (_, i) => (i % 4 === 3 ? 255 : 255 * this.cells[i >> 2]));
  }

  /** The other way: what is lighter than half is redrawn, as the service has it. */
  read(pixels) {
    this.cells = this.cells.map((_, i) => Number(pixels[4 * i] > 127));
  }
}
