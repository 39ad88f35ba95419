// The same seeds, asked in several ways: a line for each way, and what it cost.

import { asProblem } from "./api.js";
import { asRequest, at, classesOf } from "./choice.js";
import { Cloud } from "./cloud.js";
import { make } from "./elements.js";
import { sampled } from "./events.js";
import { bitmapOf, paint, tile } from "./pictures.js";

const TITLES = { steps: "steps", guidance_scale: "guidance", sampler: "sampler" };

export class Comparison {
  /** `reference(settled)` → real points, or null. */
  constructor(element, reference) {
    this.element = element;
    this.reference = reference;
  }

  /** Ask for all lines at once: the service puts them into the same batches. Throws the first Problem, or AbortError. */
  async run(catalog, settled, signal) {
    const points = settled.can.dataset.kind === "points";
    const asked = settled.values.map((value) => at(catalog, settled, value));
    const lines = asked.map((one, i) => (points ? new CloudLine(one) : new ImageLine(one)).named(settled.values[i]));
    const table = make("table", { className: points ? "clouds" : "images" },
      make("caption", {}, `Across ${TITLES[settled.over]}, seed ${settled.seed}`
        + (settled.n > 1 ? ` … ${settled.seed + settled.n - 1}` : "")),
      make("tbody", {}, ...lines.map((line) => line.row)));
    this.element.replaceChildren(table);
    this.element.setAttribute("aria-busy", "true");
    const done = await Promise.allSettled(lines.map((line) => this.sample(line, signal)));
    signal.throwIfAborted();
    this.element.setAttribute("aria-busy", "false");
    const failed = done.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
  }

  async sample(line, signal) {
    try {
      await line.begin(await this.reference(line.settled));
      const result = await sampled({ ...asRequest(line.settled), previews: 0 }, { signal });
      await line.done(result);
      line.cost.textContent = `${evaluations(line.settled)} evaluations each, ${seconds(result.timings.sample)}`;
    } catch (error) {
      const problem = asProblem(error);
      line.cost.textContent = problem ? problem.message : "stopped";
      throw error;
    }
  }
}

class Line {
  constructor(settled) {
    this.settled = settled;
    this.cost = make("small", {}, "…");
  }

  named(value) {
    this.row = make("tr", {}, make("th", { scope: "row" }, String(value), this.cost), ...this.cells());
    return this;
  }
}

class ImageLine extends Line {
  cells() {
    const { can, n, seed } = this.settled;
    this.tiles = Array.from({ length: n }, (_, i) => tile(can.dataset.shape, `seed ${seed + i}`));
    return this.tiles.map((canvas) => make("td", {}, canvas));
  }

  async begin() {}

  async done({ images }) {
    const bitmaps = await Promise.all(images.map((image) => bitmapOf(image.b64_png)));
    bitmaps.forEach((bitmap, i) => paint(this.tiles[i], { bitmap }));
  }
}

class CloudLine extends Line {
  cells() {
    this.cloud = new Cloud({ small: true });
    this.cloud.canvas.setAttribute("aria-label", `${this.settled.n} points of ${this.settled.dataset}`);
    return [make("td", {}, this.cloud.element)];
  }

  async begin(real) {
    this.cloud.begin(this.settled, classesOf(this.settled), real);
  }

  async done(result) {
    this.cloud.done(result);
    this.cloud.paint(0);
  }
}

/** Network evaluations of a sample. */
function evaluations({ steps, guidance, guidance_scale: scale }) {
  const twice = guidance === "classifier-free" ? scale !== 0 && scale !== 1 : scale > 0; // a gradient is one more
  return steps * (twice ? 2 : 1);
}

const seconds = (number) => (number < 1 ? `${Math.round(number * 1000)} ms` : `${number.toFixed(1)} s`);
