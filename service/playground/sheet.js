// Images side by side, each of which can be looked at alone.

import { make } from "./elements.js";
import { bitmapOf, cut, paint, tile } from "./pictures.js";

export class Sheet {
  /** `onAlone({label, seed})` when one is picked out. */
  constructor(onAlone) {
    this.onAlone = onAlone;
    this.element = make("div", { className: "sheet", role: "group", "aria-label": "Samples" });
    this.frames = [];
  }

  begin(settled, classes) {
    const { can, n, seed } = settled;
    this.shape = can.dataset.shape;
    this.n = n;
    this.frames = []; // a new list: what is still being decoded of the run before goes into its own
    const same = this.element.children.length === n && this.key === JSON.stringify(this.shape);
    this.key = JSON.stringify(this.shape);
    if (!same) this.tiles = Array.from({ length: n }, () => tile(this.shape, ""));
    this.element.dataset.many = n === 1 ? "one" : n <= 4 ? "few" : n <= 16 ? "some" : "many";
    this.element.replaceChildren(...this.tiles.map((canvas, i) => {
      const label = classes[i] < 0 ? null : can.labels[classes[i]];
      const what = label === null ? `Sample ${i + 1}, seed ${seed + i}` : `${label}, seed ${seed + i}`;
      canvas.setAttribute("aria-label", what);
      if (n === 1) return canvas;
      return make("button", { type: "button", title: `${what}: look at it alone`,
        onclick: () => this.onAlone({ label, seed: seed + i }) }, canvas);
    }));
  }

  async add({ b64_png: sheet }) {
    const { frames, n, shape } = this;
    frames.push(cut(await bitmapOf(sheet), n, shape));
  }

  async done({ images }) {
    const { frames } = this;
    const bitmaps = await Promise.all(images.map((image) => bitmapOf(image.b64_png)));
    frames.push(bitmaps.map((bitmap) => ({ bitmap })));
  }

  paint(position) {
    const frame = this.frames[Math.floor(position)];
    frame.forEach((part, i) => paint(this.tiles[i], part));
  }
}
