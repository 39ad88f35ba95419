// A picture of which a part is rubbed out: by mouse, by finger, and by keyboard.

import { colour, make } from "./elements.js";
import { Mask } from "./mask.js";
import { imageOf } from "./pictures.js";

const SIDE = 336; // pixels of the longer side
const BRUSH = 1 / 14; // its radius, of the shorter side
const KEYS = "keys";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Eraser {
  /** `onErase()` at every change of the mask. */
  constructor(canvas, onErase) {
    Object.assign(this, { canvas, onErase, bitmap: null, held: new Map() });
    this.pen = null; // where the keyboard's is, in cells; null while it is not used
    this.shape([1, 28, 28]);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pen = null;
      this.start(event.pointerId, this.under(event));
    });
    canvas.addEventListener("pointermove", (event) => this.extend(event.pointerId, this.under(event)));
    canvas.addEventListener("lostpointercapture", (event) => this.held.delete(event.pointerId));
    canvas.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("theme", () => this.paint());
    canvas.addEventListener("blur", () => {
      this.held.delete(KEYS);
      this.pen = null;
      this.paint();
    });
  }

  /** Of the model's pixels: another one begins without a picture. */
  shape([, height, width]) {
    if (this.mask?.width === width && this.mask.height === height) return;
    this.mask = new Mask(width, height);
    this.zoom = Math.max(1, Math.floor(SIDE / Math.max(width, height)));
    this.radius = Math.max(0.8, BRUSH * Math.min(width, height));
    Object.assign(this.canvas, { width: width * this.zoom, height: height * this.zoom });
    this.bitmap = null;
    this.paint();
  }

  /** Show a picture, and what is rubbed out of it: base64 of PNGs, or undefined. What is shown last stays, also where it
   * is decoded first. */
  async show(picture, mask) {
    const mine = (this.latest = {});
    const [bitmap, marked] = await Promise.all([picture, mask].map((one) => (one ? imageOf(one) : null)));
    if (mine !== this.latest) return;
    const { width, height } = this.mask;
    this.bitmap = bitmap;
    this.mask = new Mask(width, height);
    if (marked) {
      const context = make("canvas", { width, height }).getContext("2d");
      context.drawImage(marked, 0, 0, width, height);
      this.mask.read(context.getImageData(0, 0, width, height).data);
    }
    this.paint();
  }

  /** Show another picture, and leave what is rubbed out: also what was meanwhile, and can be taken back. */
  async showUnder(picture) {
    const mine = (this.latest = {});
    const bitmap = await imageOf(picture);
    if (mine !== this.latest) return;
    this.bitmap = bitmap;
    this.paint();
  }

  /** Base64 of a PNG: white is redrawn; undefined where nothing is. */
  get asPicture() {
    const { width, height, pixels, empty } = this.mask;
    if (empty) return undefined;
    const canvas = make("canvas", { width, height });
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
  }

  /** Take the last stroke back, and lift every pen: it would go on without a way back. */
  undo() {
    this.held.clear();
    if (this.mask.undo()) this.changed();
    else this.paint();
  }

  clear() {
    this.held.clear();
    if (this.mask.empty) return;
    this.mask.clear();
    this.changed();
  }

  under({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width) * this.mask.width, ((clientY - box.top) / box.height) * this.mask.height];
  }

  start(holder, point) {
    if (!this.bitmap) return;
    this.mask.begin();
    this.held.set(holder, point);
    this.extend(holder, point);
  }

  extend(holder, point) {
    const before = this.held.get(holder);
    if (!before) return;
    this.held.set(holder, point);
    this.mask.line(before, point, this.radius);
    this.changed();
  }

  /** Arrows move the pen, space puts it down and lifts it, Backspace takes the last stroke back. */
  pressed(event) {
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " " && event.key !== "Backspace") return;
    event.preventDefault();
    if (event.key === "Backspace") return this.undo();
    const { width, height } = this.mask;
    this.pen ??= [width / 2, height / 2];
    if (event.key === " ") return this.held.delete(KEYS) ? this.paint() : this.start(KEYS, this.pen);
    this.pen = [Math.min(width, Math.max(0, this.pen[0] + arrow[0])), Math.min(height, Math.max(0, this.pen[1] + arrow[1]))];
    if (this.held.has(KEYS)) this.extend(KEYS, this.pen);
    else this.paint();
  }

  changed() {
    this.paint();
    this.onErase();
  }

  /** The largest part around the picture's middle that has the model's shape, as the service takes it. */
  paint() {
    const { canvas, bitmap, mask, zoom } = this;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (bitmap) {
      const scale = Math.min(bitmap.width / mask.width, bitmap.height / mask.height);
      const [width, height] = [mask.width * scale, mask.height * scale];
      context.imageSmoothingEnabled = scale > 1;
      context.drawImage(bitmap, (bitmap.width - width) / 2, (bitmap.height - height) / 2, width, height, 0, 0, canvas.width, canvas.height);
    }
    context.fillStyle = colour("erased");
    mask.cells.forEach((is, i) => is && context.fillRect((i % mask.width) * zoom, Math.floor(i / mask.width) * zoom, zoom, zoom));
    if (!this.pen) return;
    context.strokeStyle = colour("accent");
    context.lineWidth = this.held.has(KEYS) ? 4 : 2;
    context.beginPath();
    context.arc(this.pen[0] * zoom, this.pen[1] * zoom, this.radius * zoom, 0, 2 * Math.PI);
    context.stroke();
  }
}
