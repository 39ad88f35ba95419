// The handle that moves through a trajectory, and the button that plays it again.

import { say } from "./words.js";

export class Scrubber {
  /** element: the form with `at` (a range) and `play` (a button), and an output. `tell(index, frame)`: its text. */
  constructor(element, tell = (_, { step, of }) => say("step", { step, of })) {
    this.element = element;
    this.tell = tell;
    this.frames = [];
    const { at, play } = element.elements;
    this.output = element.querySelector("output");
    element.addEventListener("submit", (event) => event.preventDefault());
    at.addEventListener("input", () => this.player.seek(at.valueAsNumber));
    for (const name of ["slow", "loop"]) this.toggles(element.elements[name], name);
    play.addEventListener("click", () => {
      if (this.player.playing) this.player.pause();
      else this.player.replay();
      this.show(this.frames);
    });
  }

  /** A button that turns a way of playing on and off, where there is one. */
  toggles(button, name) {
    button?.addEventListener("click", () => {
      this.player[name] = !this.player[name];
      button.setAttribute("aria-pressed", String(this.player[name]));
      if (name === "loop" && this.player.loop) this.player.replay();
    });
  }

  /** frames: those that are there. */
  show(frames) {
    this.frames = frames;
    this.element.hidden = frames.length < 2;
    if (!frames.length) return;
    const { at, play } = this.element.elements;
    const index = Math.min(frames.length - 1, Math.floor(this.player.position));
    at.max = frames.length - 1;
    at.value = Math.round(this.player.position);
    this.output.textContent = this.tell(index, frames[index]);
    at.setAttribute("aria-valuetext", this.output.textContent);
    play.setAttribute("aria-label", say(this.player.playing ? "pause" : "replay"));
    play.classList.toggle("playing", this.player.playing);
  }
}
