// The same request in several ways, by one field or by two: a cell for each, one way through all their trajectories, and
// what each costs.

import { asProblem } from "./api.js";
import { brief } from "./card.js";
import { cellsOf } from "./cells.js";
import { asRequest, classesOf } from "./choice.js";
import { Cloud } from "./cloud.js";
import { evaluations, expectedSeconds } from "./cost.js";
import { make } from "./elements.js";
import { sampled } from "./events.js";
import { legendOf } from "./legend.js";
import { across, paint, tile } from "./pictures.js";
import { Player } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { Sheet } from "./sheet.js";
import { Trajectory } from "./trajectory.js";
import { language, say, seconds } from "./words.js";

const PARTS = 12; // of the way from noise to samples: what one handle over runs of different lengths can tell
const FEW = 6; // images that are shown larger than many

export class Comparison {
  /** elements: comparison, legend; wait: a Wait. `reference(settled)` → real points, or null. `onTake(settled)` when one
   * of the ways is to be looked at alone. */
  constructor({ comparison, legend, wait }, reference, onTake) {
    Object.assign(this, { element: comparison, legend, wait, reference, onTake });
    this.form = make("form", { className: "scrubber", hidden: true },
      make("button", { type: "button", name: "play" }),
      make("input", { type: "range", name: "at", min: 0, step: 1, "aria-label": say("all trajectories") }), make("output", { "aria-live": "off" }));
    this.scrubber = new Scrubber(this.form, (index) => say("part of the way", { percent: Math.round((100 * index) / PARTS) }));
    this.player = new Player((position) => this.paint(position), () => this.scrubber.show(this.parts));
    this.scrubber.player = this.player;
    this.dialog = make("dialog", { className: "enlarged", "aria-labelledby": "enlarged-title" });
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.cells = [];
    this.parts = [];
  }

  /** Ask for all cells at once: the service puts them into the same batches. Throws the first Problem, or AbortError. */
  async run(catalog, settled, signal) {
    const { over, by } = settled;
    const lines = cellsOf(catalog, settled).map((line) => line.map((one) => one && this.cell(one)));
    this.parts = [];
    this.player.begin(0);
    this.cells = lines.flat().filter(Boolean);
    if (by) this.grid = matrix(settled, lines);
    else this.grid = settled.can.dataset.kind === "points" ? gallery(this.cells) : list(this.cells);
    const seeds = [over, by].includes("seed") ? "" : say("same seeds", { from: settled.seed, to: settled.seed + settled.n - 1 });
    this.dialog.close();
    this.element.replaceChildren(this.grid, this.form, make("p", { className: "note" }, seeds), this.dialog);
    this.legend.replaceChildren(...legendOf(settled, classesOf(settled)));
    this.element.setAttribute("aria-busy", "true");
    const expected = this.cells.map((one) => expectedSeconds(one.settled));
    this.wait.begin(expected.includes(null) ? null : expected.reduce((sum, one) => sum + one, 0));
    const done = await Promise.allSettled(this.cells.map((one) => this.fill(one, signal)));
    signal.throwIfAborted();
    this.stop();
    const failed = done.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
    this.parts = Array(PARTS + 1).fill(null);
    this.player.begin(this.parts.length, { latest: true });
    this.player.grew(this.parts.length);
  }

  /** Nothing more comes. */
  stop() {
    this.element.setAttribute("aria-busy", "false");
    this.wait.end();
  }

  cell({ asked, settled }) {
    const cell = new (settled.can.dataset.kind === "points" ? CloudCell : ImageCell)(settled, titleOf(asked));
    cell.button.addEventListener("click", () => this.enlarge(cell));
    return cell;
  }

  async fill(cell, signal) {
    const { run, settled } = cell;
    try {
      cell.begin(await this.reference(settled));
      const body = { ...asRequest(settled), previews: Math.min(PARTS, settled.steps - 1), noisy_previews: true };
      const grew = async (adding) => {
        await adding;
        signal.throwIfAborted();
        cell.paint(run.frames.length - 1);
      };
      const result = await sampled(body, {
        signal,
        onWaiting: (queue) => this.wait.queued(queue),
        onProgress: (progress) => grew(run.add(progress)),
      });
      await grew(run.done(result));
      this.wait.counted(this.cells.filter((one) => one.run.result).length, this.cells.length);
      cell.tell();
    } catch (error) {
      cell.cost.textContent = say(asProblem(error) ? "cell failed" : "cell stopped");
      throw error;
    }
  }

  paint(position) {
    for (const { run, paint } of this.cells) paint((position / PARTS) * (run.frames.length - 1));
    this.large?.();
  }

  /** One cell by itself, as large as there is room; by Escape or a click beside it, it is away again. */
  enlarge(cell) {
    const { settled, run } = cell;
    if (!run.frames.length) return;
    const points = run.kind === "points";
    const pane = points ? new Cloud("x0") : new Sheet("x0");
    pane.begin(settled, classesOf(settled), cell.real);
    if (points) pane.canvas.setAttribute("aria-label", pointsOf(settled));
    this.large = () => pane.paint(run.frames, cell.position);
    const use = make("button", { type: "button", onclick: () => {
      this.dialog.close();
      this.onTake(settled);
    } }, say("look in generate"));
    const close = make("button", { type: "button", onclick: () => this.dialog.close() }, say("close"));
    this.dialog.onclose = () => (this.large = null);
    this.dialog.replaceChildren(make("h2", { id: "enlarged-title" }, cell.title), pane.element,
      make("p", { className: "note" }, [cell.cost.textContent, cell.about.textContent].filter(Boolean).join(" · ")),
      make("p", { className: "buttons" }, use, close));
    this.dialog.showModal();
    this.large();
  }
}

/** A line for each value, its images side by side. */
function list(cells) {
  const lines = cells.map((cell) => make("tr", {},
    make("th", { scope: "row" }, cell.title, cell.cost, cell.about), make("td", {}, cell.button)));
  return make("table", { className: "list" }, make("tbody", {}, ...lines));
}

/** Clouds, as many in a line as there is room for. */
function gallery(cells) {
  const figures = cells.map((cell) =>
    make("figure", {}, cell.button, make("figcaption", {}, cell.title, cell.cost, cell.about)));
  return make("div", { className: "gallery" }, ...figures);
}

/** A line for each value of one field, a column for each value of the other. */
function matrix({ over, values, by, by_values: others, n, can }, lines) {
  const columns = others.map((other) => make("th", { scope: "col" }, title(by, other)));
  const place = (cell) => (cell ? make("td", {}, cell.button, cell.cost, cell.about)
    : make("td", { className: "impossible", title: say("not together") }, "–"));
  const rows = lines.map((cells, i) => make("tr", {}, make("th", { scope: "row" }, title(over, values[i])), ...cells.map(place)));
  const table = make("table", { className: "matrix", "data-columns": others.length <= 3 ? "few" : others.length <= 5 ? "some" : "many" },
    make("thead", {}, make("tr", {}, make("td"), ...columns)), make("tbody", {}, ...rows));
  const images = can.dataset.kind === "images";
  table.style.setProperty("--columns", others.length);
  table.style.setProperty("--tall", images ? Math.ceil(n / across(n)) / across(n) : 1); // height of a cell to its width
  return table;
}

class Cell {
  constructor(settled, title, ...content) {
    Object.assign(this, { settled, title });
    this.run = new Trajectory(settled);
    this.position = 0;
    this.cost = make("small", { className: "cost" }, "…");
    this.about = make("small", { className: "about" });
    this.button = make("button", { type: "button", className: "cell", title: say("enlarge"),
      "aria-label": say("enlarge what", { what: title }) }, ...content);
    this.paint = this.paint.bind(this);
  }

  begin(real) {
    this.real = real;
  }

  /** What it cost, and what is known of samples that are made so. */
  tell() {
    const { settled } = this;
    const time = expectedSeconds(settled);
    this.cost.textContent = say(settled.guidance_interval ? "cost at most" : "cost", { number: evaluations(settled) })
      + (time === null ? "" : ` · ${seconds(time)}`);
    this.about.textContent = brief(settled);
  }
}

class ImageCell extends Cell {
  constructor(settled, title) {
    const { can, n, seed } = settled;
    const tiles = Array.from({ length: n }, (_, i) => tile(can.dataset.shape, say("sample i", { i: i + 1, seed: seed + i })));
    const line = make("span", { className: n > FEW ? "line many" : "line" }, ...tiles);
    super(settled, title, line);
    line.style.setProperty("--across", across(n));
    this.tiles = tiles;
  }

  paint(position) {
    this.position = position;
    const { x0, x_t } = this.run.frames[Math.floor(position)];
    this.tiles.forEach((canvas, i) => paint(canvas, (x0 ?? x_t)[i]));
  }
}

class CloudCell extends Cell {
  constructor(settled, title) {
    const cloud = new Cloud("x0", { small: true });
    super(settled, title, cloud.element);
    cloud.canvas.setAttribute("aria-label", pointsOf(settled));
    this.cloud = cloud;
  }

  begin(real) {
    super.begin(real);
    this.cloud.begin(this.settled, classesOf(this.settled), real);
    this.cloud.paint([], 0);
  }

  paint(position) {
    this.position = position;
    this.cloud.paint(this.run.frames, position);
  }
}

const pointsOf = ({ n, dataset }) => say("points of", { n, dataset });

const titleOf = (asked) => Object.entries(asked).map(([field, value]) => title(field, value)).join(", ");

function title(field, value) {
  if (field === "guidance_scale") return say("scale", { number: value.toLocaleString(language) });
  return field === "steps" || field === "seed" ? say(field, { number: value }) : value;
}
