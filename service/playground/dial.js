// A number, and a handle to turn it by. The number is the truth; the handle covers the handy part of its range, in steps
// that are handy too: what is no whole number may be typed as precisely as somebody likes.

import { make, nearestTaken } from "./elements.js";
import { say } from "./words.js";

const TICKS = 200; // of a handle
let made = 0;

export class Dial {
  /** `onTurn(number)` while it is turned. */
  constructor(title, onTurn) {
    const id = `dial-${++made}`;
    this.onTurn = onTurn;
    this.number = make("input", { type: "number", id, inputMode: "decimal", required: true });
    this.handle = make("input", { type: "range", "aria-label": say("handle", { title }), min: 0, max: TICKS, tabIndex: -1 });
    this.note = make("p", { className: "note", hidden: true });
    this.element = make("div", { className: "dial" },
      make("label", { htmlFor: id }, title), this.handle, this.number, this.note);
    this.number.addEventListener("input", () => {
      if (this.number.validity.valid) this.turned(this.number.valueAsNumber);
    });
    this.number.addEventListener("keydown", (event) => this.pressed(event));
    this.number.addEventListener("change", () => {
      const nearest = nearestTaken(this.number);
      if (!Number.isNaN(nearest)) this.turned(nearest);
      this.show(this.range, this.value); // what is no number goes back
    });
    this.handle.addEventListener("input", () => this.turned(this.atHandle(this.handle.valueAsNumber / TICKS)));
  }

  /** range: {min, max, handy, step, log, note}; the handle goes from min to handy, evenly or by ratios. */
  show(range, value) {
    this.range = range;
    this.value = value;
    this.element.hidden = range === null;
    if (range === null) return;
    const { min, max, step, note = "" } = range;
    const known = JSON.stringify(range);
    if (known !== this.known) {
      Object.assign(this.number, { min, max, step: Number.isInteger(step) ? step : "any" });
      this.note.textContent = note;
      this.note.hidden = !note;
    }
    this.known = known;
    if (document.activeElement !== this.number || this.number.valueAsNumber !== value) this.number.value = value;
    this.handle.value = Math.round(TICKS * this.share(value));
    this.handle.setAttribute("aria-valuetext", value);
  }

  /** Up and Down go a step of the handle's, where the browser would go by 1. */
  pressed(event) {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way || this.number.step !== "any") return;
    event.preventDefault();
    const { min, max, step } = this.range;
    this.turned(rounded(Math.min(max, Math.max(min, this.value + way * step))));
  }

  turned(value) {
    if (value === this.value) return;
    this.show(this.range, value);
    this.onTurn(value);
  }

  share(value) {
    const { min, handy, log } = this.range;
    const share = log ? Math.log(value / min) / Math.log(handy / min) : (value - min) / (handy - min);
    return Math.min(1, Math.max(0, share));
  }

  atHandle(share) {
    const { min, handy, step, log } = this.range;
    const value = log ? min * (handy / min) ** share : min + share * (handy - min);
    return rounded(Math.round(value / step) * step);
  }
}

/** Without what adding and multiplying leave behind. */
const rounded = (value) => Number(value.toFixed(3));
