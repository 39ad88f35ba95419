// Images side by side, each of which can be looked at alone.

import { seedOf } from "./choice.js";
import { make } from "./elements.js";
import { across, paint, tile, wipe } from "./pictures.js";
import { say } from "./words.js";

export class Sheet {
  /** what: "x0" or "x_t" of each frame. `onAlone(i, {label, seed})` when one is picked out; without it none can be. */
  constructor(what, onAlone) {
    this.what = what;
    this.onAlone = onAlone;
    this.element = make("div", { className: "sheet", role: "group", "aria-label": say("samples") });
  }

  begin(settled, classes) {
    const { can, n } = settled;
    const { shape } = can.dataset;
    const seeds = Array.from({ length: n }, (_, i) => seedOf(settled, i));
    const key = JSON.stringify([shape, seeds, can.labels, classes]);
    if (key === this.key) return;
    if (n !== this.tiles?.length || shape.join() !== this.shape?.join()) this.tiles = seeds.map(() => tile(shape, ""));
    Object.assign(this, { key, shape });
    this.element.style.setProperty("--across", n <= 16 ? across(n) : "auto-fit");
    this.element.dataset.many = n === 1 ? "one" : n <= 4 ? "few" : n <= 16 ? "some" : "many";
    this.element.replaceChildren(...this.tiles.map((canvas, i) => {
      const seed = seeds[i];
      const label = classes[i] < 0 ? null : can.labels[classes[i]];
      const what = label === null ? say("sample i", { i: i + 1, seed }) : say("sample of", { label, seed });
      canvas.setAttribute("aria-label", what);
      if (n === 1 || !this.onAlone) return canvas;
      return make("button", { type: "button", title: say("look alone", { what }),
        onclick: () => this.onAlone(i, { label, seed }) }, canvas);
    }));
  }

  /** Where there is no x̂0 yet and nothing beside it shows the noise, the noise is shown. */
  paint(frames, position, { beside = false } = {}) {
    const frame = frames[Math.floor(position)];
    const parts = frame[this.what] ?? (beside ? null : frame.x_t ?? frame.x0);
    this.tiles.forEach((canvas, i) => (parts ? paint(canvas, parts[i]) : wipe(canvas)));
  }

  /** How many images stand in a line. */
  get columns() {
    const [first] = this.element.children;
    const below = [...this.element.children].findIndex((one) => one.offsetTop > first.offsetTop);
    return below < 0 ? this.tiles.length : below;
  }
}
