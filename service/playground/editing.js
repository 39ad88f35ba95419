// The view where samples begin from a picture: one that is dropped or was sampled, and what of it is rubbed out.

import { askJson, Problem } from "./api.js";
import { drawnSeed } from "./choice.js";
import { make } from "./elements.js";
import { Eraser } from "./eraser.js";
import { say } from "./words.js";

const SIDE = 512; // pixels that a picture's longer side is scaled to, before the service fits it to the model

export class Editing {
  /** elements: editing, source, file, sampled, invert, unerase, keepall. `onEdit()` at every change; `onError(error)`. */
  constructor({ editing, source, file, sampled, invert, unerase, keepall }, onEdit, onError) {
    Object.assign(this, { element: editing, onEdit, onError, picture: undefined });
    this.eraser = new Eraser(source, onEdit);
    this.buttons = [invert, unerase, keepall];
    file.addEventListener("change", () => file.files.length && this.take(file.files[0]));
    editing.addEventListener("dragover", (event) => event.preventDefault());
    editing.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
    sampled.addEventListener("click", () => this.sample());
    invert.addEventListener("click", () => this.turn((canvas) => inverted(canvas)));
    unerase.addEventListener("click", () => this.eraser.undo());
    keepall.addEventListener("click", () => this.eraser.clear());
  }

  version = undefined; // all that is edited is in the choice

  get choice() {
    return { picture: this.picture, mask: this.eraser.asPicture };
  }

  lacks({ picture }) {
    return !picture;
  }

  /** Show the picture and the mask of a choice, or none. */
  async show(settled = {}) {
    if (settled.can) {
      this.dataset = settled.dataset;
      this.eraser.shape(settled.can.dataset.shape);
    }
    this.picture = settled.picture;
    for (const button of this.buttons) button.disabled = !this.picture;
    await this.eraser.show(this.picture, settled.mask).catch(() => {}); // what is no picture, the service will say
  }

  fields() {
    return null;
  }

  /** A picture of another size is shown as it was fitted to the model. */
  async understood({ init, resized }) {
    if (!init || !resized) return {};
    this.picture = init.image;
    await this.eraser.show(this.picture, this.eraser.asPicture);
    return { picture: this.picture };
  }

  clear() {}

  /** A file: what the browser can read, upright, and no larger than it needs to be. */
  async take(file) {
    try {
      const bitmap = await createImageBitmap(file);
      const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
      await this.begin(drawn(bitmap, Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale))));
    } catch {
      this.onError(new Problem(422, say("no picture")));
    }
  }

  /** One of the model's own. */
  async sample() {
    try {
      const { images } = await askJson("sample", { body: { dataset: this.dataset, seed: drawnSeed() }, accept: "application/json" });
      await this.begin(images[0].b64_png);
    } catch (error) {
      this.onError(error);
    }
  }

  turn(change) {
    this.begin(change(drawn(this.eraser.bitmap, this.eraser.bitmap.width, this.eraser.bitmap.height)));
  }

  async begin(picture) {
    this.picture = typeof picture === "string" ? picture : picture.toDataURL("image/png").split(",")[1];
    for (const button of this.buttons) button.disabled = false;
    await this.eraser.show(this.picture);
    this.onEdit();
  }
}

function drawn(bitmap, width, height) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // what is transparent is paper
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas;
}

function inverted(canvas) {
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "difference";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
