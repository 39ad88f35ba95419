// Where samples form: a sheet or a cloud, and the way through their trajectory.

import { askJson } from "./api.js";
import { asRequest, classesOf } from "./choice.js";
import { Cloud } from "./cloud.js";
import { sampled } from "./events.js";
import { legendOf } from "./legend.js";
import { Player } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { Sheet } from "./sheet.js";
import { Trajectory } from "./trajectory.js";
import { say } from "./words.js";

const MOST_PREVIEWS = 24;
const PREVIEWED_POINTS = 40_000; // in all previews together: they come as numbers

export class Stage {
  /** elements: picture, scrubber (a form), legend, told (a live region). wait: a Wait. `onAlone(i, {label, seed})`. */
  constructor({ picture, scrubber, legend, told, wait }, onAlone) {
    Object.assign(this, { picture, legend, told, wait });
    this.panes = { images: new Sheet("x0", onAlone), points: new Cloud("x0") };
    this.scrubber = new Scrubber(scrubber);
    this.player = new Player((position) => this.paint(position), () => this.scrubber.show(this.frames));
    this.scrubber.player = this.player;
    this.run = null; // the Trajectory that is shown
    this.references = new Map(); // of promises: what is on its way is not asked for again
  }

  get frames() {
    return this.run?.frames ?? [];
  }

  /** Sample what was chosen, and show how. Until the first frame is there, what was shown before stays, dimmed.
   *
   * control   of a request, where a picture is followed
   * latest    show what is newest at once, instead of at a pace that can be followed
   * expected  seconds that it takes, or null
   *
   * Resolves to the Trajectory. Throws Problem, and AbortError. */
  async sample(settled, signal, { control, latest = false, expected = null } = {}) {
    const body = { ...asRequest(settled), ...(control && { control }), noisy_previews: true };
    body.previews = latest ? 4 : previewsOf(settled);
    this.waits(true);
    this.wait.begin(expected);
    const run = new Trajectory(settled);
    try {
      const real = await this.reference(settled);
      const grew = () => {
        signal.throwIfAborted();
        if (run.frames.length === 1) this.begin(run, settled, real, { expected: body.previews + 2, latest });
        this.player.grew(run.frames.length);
      };
      const result = await sampled(body, {
        signal,
        onWaiting: (queue) => this.wait.queued(queue),
        onProgress: async (progress) => {
          this.wait.at(progress);
          if (latest && progress.step === 0) return; // a picture under one's hands does not fall back to noise
          await run.add(progress);
          grew();
        },
      });
      await run.done(result);
      grew();
      this.told.textContent = say("sampled", { n: settled.n, dataset: settled.dataset, seed: result.seed });
      return run;
    } finally {
      if (!signal.aborted) this.waits(false);
    }
  }

  /** Show a run that is done. */
  async show(settled, run, signal) {
    const real = await this.reference(settled);
    signal.throwIfAborted();
    this.begin(run, settled, real, { expected: run.frames.length, latest: true });
    this.player.grew(run.frames.length);
  }

  begin(run, settled, real, pace) {
    const classes = classesOf(settled);
    this.run = run;
    this.pane = this.panes[run.kind];
    delete this.picture.dataset.before;
    if (this.picture.firstChild !== this.pane.element) this.picture.replaceChildren(this.pane.element);
    this.pane.begin(settled, classes, real);
    this.name(settled, classes);
    this.player.begin(pace.expected, pace);
  }

  paint(position) {
    this.pane.paint(this.frames, position);
  }

  waits(is) {
    this.picture.setAttribute("aria-busy", String(is));
    if (is) this.picture.dataset.before = ""; // what is shown is from before
    else {
      delete this.picture.dataset.before;
      this.wait.end();
    }
  }

  stop() {
    this.player.pause();
    this.waits(false);
  }

  clear() {
    this.run = null;
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

  name(settled, classes) {
    const { n, dataset } = settled;
    if (this.run.kind === "points") this.pane.canvas.setAttribute("aria-label", say("points over real", { n, dataset }));
    this.legend.replaceChildren(...legendOf(settled, classes));
  }
}

function previewsOf({ can, n, steps }) {
  const most = can.dataset.kind === "points" ? Math.floor(PREVIEWED_POINTS / n) : MOST_PREVIEWS;
  return Math.max(1, Math.min(MOST_PREVIEWS, most, steps - 1));
}
