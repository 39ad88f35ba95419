// Where samples form: a sheet or a cloud, and the way through their trajectory.

import { askJson } from "./api.js";
import { asRequest, classesOf } from "./choice.js";
import { Cloud, COLOURS } from "./cloud.js";
import { make } from "./elements.js";
import { sampled } from "./events.js";
import { Player } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { Sheet } from "./sheet.js";

const MOST_PREVIEWS = 24;
const PREVIEWED_POINTS = 40_000; // in all previews together: they come as numbers

export class Stage {
  /** elements: picture, scrubber (a form), legend, told (a live region). `onAlone({label, seed})`. */
  constructor({ picture, scrubber, legend, told }, onAlone) {
    this.picture = picture;
    this.legend = legend;
    this.told = told;
    this.sheet = new Sheet(onAlone);
    this.cloud = new Cloud();
    this.scrubber = new Scrubber(scrubber);
    this.player = new Player((position) => this.painter.paint(position), () => this.scrubber.show(this.frames));
    this.scrubber.player = this.player;
    this.frames = [];
    this.references = new Map(); // of promises: what is on its way is not asked for again
  }

  /** Sample what was chosen, and show how. control: of a request, where a picture is followed. Resolves to the result.
   *
   * latest  show what is newest at once, instead of at a pace that can be followed
   *
   * Throws Problem, and AbortError. */
  async run(settled, signal, { control, latest = false } = {}) {
    const body = { ...asRequest(settled), ...(control && { control }) };
    body.previews = latest ? 4 : previewsOf(settled);
    const points = settled.can.dataset.kind === "points";
    const [real, classes] = [points ? await this.reference(settled) : null, classesOf(settled)];
    signal.throwIfAborted();
    this.painter = points ? this.cloud : this.sheet;
    if (this.picture.firstChild !== this.painter.element) this.picture.replaceChildren(this.painter.element);
    this.painter.begin(settled, classes, real);
    this.name(settled, classes);
    this.picture.setAttribute("aria-busy", "true");
    this.frames = [];
    this.player.begin(body.previews + 1, { latest });
    try {
      const onProgress = async (progress) => {
        await this.painter.add(progress);
        signal.throwIfAborted();
        this.grew(progress);
      };
      const result = await sampled(body, { onProgress, signal });
      await this.painter.done(result);
      signal.throwIfAborted();
      this.grew({ step: result.steps, of: result.steps });
      this.told.textContent = `${settled.n} ${settled.dataset} sampled, seed ${result.seed}`;
      return result;
    } finally {
      if (!signal.aborted) this.picture.setAttribute("aria-busy", "false");
    }
  }

  grew({ step, of }) {
    this.frames.push({ step, of });
    this.player.grew(this.frames.length);
  }

  stop() {
    this.player.pause();
    this.picture.setAttribute("aria-busy", "false");
  }

  clear() {
    this.frames = [];
    this.player.begin(0);
    this.picture.replaceChildren();
    this.legend.replaceChildren();
    this.scrubber.show(this.frames);
  }

  /** The real points of a model's data; null where it has none. */
  async reference({ model, can }) {
    if (!can.model.reference) return null;
    if (!this.references.has(model)) {
      const asked = askJson(`models/${encodeURIComponent(model)}/reference`);
      asked.catch(() => this.references.delete(model)); // the next run asks again
      this.references.set(model, asked);
    }
    return this.references.get(model);
  }

  name({ can, n, dataset, asks }, classes) {
    const points = can.dataset.kind === "points";
    if (points) this.cloud.canvas.setAttribute("aria-label", `${n} points of ${dataset}, over real ones`);
    const shown = points && asks !== "nothing" ? [...new Set(classes)].slice(0, COLOURS) : [];
    const chip = (key, text) => make("li", { className: key }, text);
    this.legend.replaceChildren(
      ...shown.map((number) => chip(`class-${number}`, can.labels[number])),
      ...(points && can.model.reference ? [chip("real", "real")] : []),
    );
  }
}

function previewsOf({ can, n, steps }) {
  const most = can.dataset.kind === "points" ? Math.floor(PREVIEWED_POINTS / n) : MOST_PREVIEWS;
  return Math.max(1, Math.min(MOST_PREVIEWS, most, steps - 1));
}
