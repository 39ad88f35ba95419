// The view where samples follow a drawing: the pad, and what the model sees of it.

import { Pad } from "./pad.js";
import { showPicture } from "./pictures.js";

export class Drawing {
  /** elements: pad, undo, clear, understood. `onDraw()` at every change of the drawing. */
  constructor({ pad, undo, clear, understood }, onDraw) {
    this.pad = new Pad(pad, onDraw);
    this.seen = understood;
    undo.addEventListener("click", () => this.pad.undo());
    clear.addEventListener("click", () => this.pad.clear());
  }

  /** What is drawn, as text: the same text is the same drawing. */
  get version() {
    return this.pad.asText;
  }

  /** What of a choice belongs to what is drawn now. */
  get choice() {
    return { drawing: undefined, strokes: this.pad.asText };
  }

  /** Is there nothing yet to follow? */
  lacks(settled) {
    return !settled.drawing && this.pad.empty;
  }

  /** Show the strokes of a link. */
  show({ strokes } = {}) {
    this.pad.show(strokes);
  }

  /** The fields of a request that are drawn by hand; null where the choice has them. */
  fields({ drawing, hint, hint_scale: scale }) {
    return drawing || this.pad.empty ? null : { control: { kind: hint, image: this.pad.picture(), scale } };
  }

  /** Show how it was understood. Resolves to what a choice is to remember. Throws AbortError where it comes too late. */
  async understood({ control }, signal) {
    if (!control) return {};
    await showPicture(this.seen, control.image, signal);
    return { drawing: control.image, ...(!this.pad.empty && { strokes: this.pad.asText }) }; // another hint forgot them
  }

  clear() {
    this.seen.hidden = true;
  }
}
