// The same seeds, asked in several ways: a cell for each way, and how many evaluations it took.

import { asProblem } from "./api.js";
import { asRequest, at, classesOf } from "./choice.js";
import { Cloud } from "./cloud.js";
import { make } from "./elements.js";
import { sampled } from "./events.js";
import { bitmapOf, paint, tile } from "./pictures.js";
import { evaluations } from "./cost.js";

export class Comparison {
  /** `reference(settled)` → real points, or null. */
  constructor(element, reference) {
    this.element = element;
    this.reference = reference;
  }

  /** Ask for all cells at once: the service puts them into the same batches. Throws the first Problem, or AbortError. */
  async run(catalog, settled, signal) {
    const points = settled.can.dataset.kind === "points";
    const cell = (changes) => new (points ? CloudCell : ImageCell)(at(catalog, settled, changes));
    let cells, grid;
    if (settled.over === "sampler") {
      const lines = Object.keys(settled.can.samplers).map((sampler) => ({
        sampler, cells: settled.values.map((steps) => cell({ sampler, steps, eta: null, variance: null })),
      }));
      cells = lines.flatMap((line) => line.cells);
      grid = matrix(settled, lines);
    } else {
      cells = settled.values.map((value) => cell({ [settled.over]: value }));
      grid = points ? gallery(settled, cells) : list(settled, cells);
    }
    this.element.replaceChildren(grid, make("p", { className: "note" }, `The same ${seedsOf(settled)} everywhere; all asked at once.`));
    this.element.setAttribute("aria-busy", "true");
    const done = await Promise.allSettled(cells.map((one) => this.fill(one, signal)));
    if (this.element.firstChild === grid) this.element.setAttribute("aria-busy", "false");
    signal.throwIfAborted();
    const failed = done.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
  }

  async fill(cell, signal) {
    try {
      cell.begin(await this.reference(cell.settled));
      await cell.done(await sampled({ ...asRequest(cell.settled), previews: 0 }, { signal }));
      cell.cost.textContent = (cell.settled.guidance_interval ? "at most " : "")
        + counted(evaluations(cell.settled), "evaluation"); // not its time: all share the batches
    } catch (error) {
      cell.cost.textContent = asProblem(error) ? "failed" : "stopped";
      throw error;
    }
  }
}

/** A line for each value, its images side by side. */
function list(settled, cells) {
  const lines = cells.map((cell, i) => make("tr", {},
    make("th", { scope: "row" }, titleOf(settled, i), cell.cost), make("td", {}, cell.element)));
  return make("table", { className: "list" }, make("tbody", {}, ...lines));
}

/** Clouds, as many in a line as there is room for. */
function gallery(settled, cells) {
  const figures = cells.map((cell, i) =>
    make("figure", {}, cell.element, make("figcaption", {}, titleOf(settled, i), cell.cost)));
  return make("div", { className: "gallery" }, ...figures);
}

/** A line for each sampler, a column for each number of steps. */
function matrix({ values }, lines) {
  const steps = values.map((value) => make("th", { scope: "col" }, counted(value, "step")));
  const rows = lines.map(({ sampler, cells }) => make("tr", {}, make("th", { scope: "row" }, sampler),
    ...cells.map((cell) => make("td", {}, cell.element, cell.cost))));
  return make("table", { className: "matrix" },
    make("thead", {}, make("tr", {}, make("td"), ...steps)), make("tbody", {}, ...rows));
}

class ImageCell {
  constructor(settled) {
    const { can, n, seed } = settled;
    this.settled = settled;
    this.cost = make("small", {}, "…");
    this.tiles = Array.from({ length: n }, (_, i) => tile(can.dataset.shape, `seed ${seed + i}`));
    this.element = make("div", { className: "line" }, ...this.tiles);
  }

  begin() {}

  async done({ images }) {
    const bitmaps = await Promise.all(images.map((image) => bitmapOf(image.b64_png)));
    bitmaps.forEach((bitmap, i) => paint(this.tiles[i], { bitmap }));
  }
}

class CloudCell {
  constructor(settled) {
    this.settled = settled;
    this.cost = make("small", {}, "…");
    this.cloud = new Cloud("x0", { small: true });
    this.cloud.canvas.setAttribute("aria-label", `${settled.n} points of ${settled.dataset}`);
    this.element = this.cloud.element;
  }

  begin(real) {
    this.cloud.begin(this.settled, classesOf(this.settled), real);
    this.cloud.paint([], 0);
  }

  async done({ points }) {
    this.cloud.paint([{ timestep: 0, x0: points }], 0);
  }
}

const titleOf = ({ over, values }, i) => (over === "steps" ? counted(values[i], "step") : `scale ${values[i]}`);
const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const seedsOf = ({ seed, n }) => (n === 1 ? `seed ${seed}` : `seeds ${seed} … ${seed + n - 1}`);
