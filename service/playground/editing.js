// The view where samples begin from a picture: one that is dropped or was sampled, and what of it is rubbed out.

import { askJson, Problem } from "./api.js";
import { drawnSeed } from "./choice.js";
import { make } from "./elements.js";
import { Eraser } from "./eraser.js";
import { say } from "./words.js";

const SIDE = 512; // pixels that a picture's longer side is scaled to, before the service fits it to the model

export class Editing {
  /** elements: editing, source, file, sampled, invert, unerase, keepall. `onEdit()` at every change; `onError(error, retry)`. */
  constructor({ editing, source, file, sampled, invert, unerase, keepall }, onEdit, onError) {
    Object.assign(this, { element: editing, onEdit, onError, picture: undefined });
    this.eraser = new Eraser(source, onEdit);
    this.buttons = [invert, unerase, keepall];
    file.addEventListener("change", () => {
      const [chosen] = file.files;
      file.value = ""; // the same one can be chosen again
      if (chosen) this.take(chosen);
    });
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
  latest = null; // what began last: an answer to anything before comes too late

  get choice() {
    return { picture: this.picture, mask: this.eraser.asPicture };
  }

  lacks({ picture }) {
    return !picture;
  }

  /** Show the picture and the mask of a choice, or none. */
  async show(settled = {}) {
    this.latest = null;
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

  /** A picture of another size is shown as it was fitted to the model, unless another one has taken its place since it
   * was asked. */
  async understood({ init, resized }, signal, asked) {
    if (!init || !resized || ![asked.picture, init.image].includes(this.picture)) return {}; // a draft may have fitted it
    this.picture = init.image;
    await this.eraser.showUnder(this.picture);
    return { picture: this.picture };
  }

  clear() {}

  /** A file: what the browser can read, upright, and no larger than it needs to be. */
  take(file) {
    return this.beginWith(async () => {
      const bitmap = await createImageBitmap(file).catch(() => {
        throw new Problem(422, say("no picture"));
      });
      const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
      return drawn(bitmap, Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
    });
  }

  /** One of the model's own. */
  sample() {
    return this.beginWith(async () => {
      const { images } = await askJson("sample", { body: { dataset: this.dataset, seed: drawnSeed() }, accept: "application/json" });
      return images[0].b64_png;
    });
  }

  turn(change) {
    const { bitmap } = this.eraser;
    return this.beginWith(() => change(drawn(bitmap, bitmap.width, bitmap.height)));
  }

  /** `make()` → a picture, or a promise of one; it is not taken once something else was begun or shown. */
  async beginWith(make) {
    const mine = (this.latest = {});
    try {
      const picture = await make();
      if (mine !== this.latest) return;
      this.picture = typeof picture === "string" ? picture : picture.toDataURL("image/png").split(",")[1];
      for (const button of this.buttons) button.disabled = false;
      await this.eraser.show(this.picture);
      if (mine === this.latest) this.onEdit();
    } catch (error) {
      if (mine === this.latest) this.onError(error, () => this.beginWith(make));
    }
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
