// The line below the picture: generate or stop, another seed, and the seed itself.

import { MAX_SEED } from "./choice.js";
import { nearestTaken } from "./elements.js";
import { say } from "./words.js";

const CLICK = 400; // milliseconds from leaving the field to the click that it was left for

export class Actions {
  /** form: has the fields generate, surprise, seed and keep. `onGenerate({fresh})` where a new seed is wanted or not,
   * `onStop()`, `onSeed(seed)` while it is typed. */
  constructor(form, { onGenerate, onStop, onSeed }) {
    const { generate, surprise, seed, keep } = form.elements;
    Object.assign(this, { generate, seed, busy: false });
    this.typed = false; // was the seed just typed? Then the next picture is of that seed
    seed.max = MAX_SEED;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { typed } = this;
      this.typed = false;
      if (this.busy && !typed) return onStop();
      onGenerate({ fresh: !keep.checked && !typed });
    });
    surprise.addEventListener("click", () => onGenerate({ fresh: true }));
    const turned = () => {
      if (!seed.validity.valid || seed.valueAsNumber === this.shown) return;
      this.typed = true; // Enter or a click submits the form right after this
      onSeed(seed.value);
    };
    seed.addEventListener("input", turned);
    seed.addEventListener("change", () => {
      const nearest = nearestTaken(seed);
      if (!seed.validity.valid) seed.value = Number.isNaN(nearest) ? this.shown : nearest;
      turned();
    });
    seed.addEventListener("blur", () => setTimeout(() => (this.typed = false), CLICK));
  }

  show(seed) {
    this.shown = seed;
    if (document.activeElement !== this.seed || this.seed.valueAsNumber !== seed) this.seed.value = seed;
  }

  /** Is something sampled that can be stopped? */
  set sampling(is) {
    this.busy = is;
    this.generate.textContent = say(is ? "stop" : "generate");
    this.generate.classList.toggle("primary", !is);
  }
}
