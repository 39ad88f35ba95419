// Where samples form: a sheet or a cloud, and the way through their trajectory.

import { askJson } from "./api.js";
import { asRequest, classesOf, mayBeSeen } from "./choice.js";
import { Cloud } from "./cloud.js";
import { make } from "./elements.js";
import { sampled } from "./events.js";
import { EXTRAS, Explain } from "./explain.js";
import { ScoreField } from "./field.js";
import { legendOf } from "./legend.js";
import { Player } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { forward } from "./schedule.js";
import { Sheet } from "./sheet.js";
import { Trajectory } from "./trajectory.js";
import { say } from "./words.js";

const MOST_PREVIEWS = 24;
const PREVIEWED_POINTS = 40_000; // in all previews together: they come as numbers

export class Stage {
  /** elements: picture, scrubber (a form), explain, legend, told (a live region). wait: a Wait.
   * `onAlone(i, {label, seed})`, `onLook(names)`, `onAxes(pair)`, `onError(error)`. */
  constructor({ picture, scrubber, explain, legend, told, wait }, { onAlone, onLook, onAxes, onError }) {
    Object.assign(this, { picture, legend, told, wait });
    const chosen = (pair) => this.seen.dataset === this.settled.dataset && onAxes(pair); // not of what is there from before
    const both = (one) => ({ x0: one("x0"), x_t: one("x_t") });
    this.panesOf = { images: both((what) => new Sheet(what, onAlone)), points: both((what) => new Cloud(what, { onAxes: chosen })) };
    this.explain = new Explain(explain, onLook);
    this.field = new ScoreField(() => this.run && this.paint(this.player.position), onError);
    this.scrubber = new Scrubber(scrubber);
    this.player = new Player((position) => this.paint(position), () => this.scrubber.show(this.frames));
    this.scrubber.player = this.player;
    this.run = null; // the Trajectory that is shown
    this.seen = null; // settled: how somebody wants to look at it
    this.panes = [];
    this.references = new Map(); // of promises: what is on its way is not asked for again
  }

  /** Those that are shown: of the run, or of the way from data to noise. */
  get frames() {
    return this.forward ?? this.run?.frames ?? [];
  }

  /** The pane that tells most: what is taken along is as it is there. */
  get pane() {
    return this.panes.at(-1);
  }

  /** Sample what was chosen, and show how. Until the first frame is there, what was shown before stays, dimmed.
   *
   * fields    of the request that were drawn by hand
   * over      what is shown is a draft of the same, or of a moment ago: it stays as it is until all of this is there
   * brief     one step between noise and samples is enough
   * expected  seconds that it takes, or null
   *
   * Resolves to the Trajectory. Throws Problem, and AbortError. */
  async sample(settled, signal, { fields = null, over = false, brief = false, expected = null } = {}) {
    this.seen = settled; // somebody may choose to see it otherwise before the first frame is there
    const body = { ...asRequest(settled), ...fields, noisy_previews: true };
    body.previews = brief ? 1 : previewsOf(settled);
    this.waits(true, { dims: !over });
    if (!over || expected > 1) this.wait.begin(expected);
    const run = new Trajectory(settled);
    try {
      const known = await this.known(settled);
      const grew = () => {
        signal.throwIfAborted();
        if (over && !run.result) return;
        if (run.frames.length === 1 || over) this.begin(run, settled, known, { expected: body.previews + 2, latest: over });
        this.player.grew(run.frames.length);
      };
      const result = await sampled(body, {
        signal,
        onWaiting: (queue) => {
          this.waits(true); // others are first: what is shown is no more of now
          this.wait.queued(queue);
        },
        onProgress: async (progress) => {
          if (!over || expected > 1) this.wait.at(progress);
          await run.add(progress);
          grew();
        },
      });
      await run.done(result);
      grew();
      if (!over) this.dress(); // what is done can be looked at in more ways
      this.tell(settled, run);
      return run;
    } finally {
      if (!signal.aborted) this.waits(false);
    }
  }

  /** Show a run that is done. */
  async show(settled, run, signal) {
    this.seen = settled;
    const known = await this.known(settled);
    signal.throwIfAborted();
    this.begin(run, settled, known, { expected: run.frames.length, latest: true });
    this.player.grew(run.frames.length);
    this.tell(settled, run);
  }

  /** Say to who hears the page what is shown. */
  tell({ n, dataset }, { result: { seed } }) {
    this.told.textContent = say("sampled", { n, dataset, seed });
  }

  /** The step that is looked at; null at the last one, and while it plays. */
  get step() {
    const { position, playing } = this.player;
    return playing || position >= this.frames.length - 1 ? null : this.frames[Math.floor(position)].step;
  }

  /** Go to a step, or to the last frame before it. */
  goTo(step) {
    this.player.seek(this.frames.findLastIndex((frame) => frame.step <= step));
  }

  /** What is known of the model whose samples are shown: its noise schedule, and real points or null. */
  async known(settled) {
    const [schedule, real] = await Promise.all([this.explain.schedule(settled.model), this.reference(settled)]);
    return { schedule, real };
  }

  begin(run, settled, known, pace) {
    Object.assign(this, { run, settled, about: known });
    delete this.picture.dataset.before;
    this.player.begin(pace.expected, pace);
    this.dress();
  }

  /** Show the run in another way: settled has `look`, names as in explain.js, and `axes`. */
  see(settled) {
    this.seen = settled;
    if (this.run) this.dress();
  }

  /** Lay out what is looked at, where the run has come to. */
  dress() {
    const { run, settled, seen, about: known } = this;
    const { look } = seen;
    const { axes } = seen.dataset === settled.dataset ? seen : settled;
    const whole = look.includes("forward") && Boolean(run.result);
    this.forward = whole ? this.wayBack() : null;
    const classes = whole && known.real ? this.forwardClasses : classesOf(settled);
    const { x0, x_t } = this.panesOf[run.kind];
    this.panes = look.includes("both") ? [x_t, x0] : look.includes("x_t") || whole ? [x_t] : [x0];
    this.arrange();
    for (const pane of this.panes) pane.begin({ ...settled, axes }, classes, known.real);
    this.name(settled, classes);
    const extras = EXTRAS.filter((name) => mayBeSeen(name, settled.can.dataset, settled.can.model));
    const shows = (name) => extras.includes(name) && look.includes(name);
    if (run.kind === "points") {
      for (const pane of this.panes) {
        pane.paths = shows("paths");
        pane.field = shows("field") && !whole ? (area) => this.fieldOver(area) : null;
      }
    }
    this.explain.show(known.schedule, look, extras);
    if (this.frames.length && this.player.count) {
      this.player.count = this.frames.length;
      this.paint(Math.min(this.player.position, this.frames.length - 1));
    }
  }

  /** Put the panes into the picture, where others are there. */
  arrange() {
    const arranged = [this.run.kind, ...this.panes.map((pane) => pane.what)].join();
    if (arranged === this.arranged) return;
    this.arranged = arranged;
    const beside = this.panes.length > 1;
    this.picture.replaceChildren(...this.panes.map((pane) => (beside
      ? make("figure", {}, pane.element, make("figcaption", {}, say(`pane ${pane.what}`)))
      : pane.element)));
    this.picture.classList.toggle("beside", beside);
  }

  /** From real points, or from the samples, to noise: at the timesteps that the run passed. */
  wayBack() {
    const { run, settled, about: { schedule, real } } = this;
    const timesteps = [...new Set(run.frames.map((frame) => frame.timestep))].sort((a, b) => a - b);
    const chosen = real ? Array.from({ length: Math.min(settled.n, real.points.length) }, (_, i) => i) : [];
    this.forwardClasses = chosen.map((i) => real.classes[i]);
    const data = real ? chosen.map((i) => real.points[i]) : run.frames.at(-1).x0;
    return forward(data, timesteps, schedule, { kind: run.kind, shape: run.shape, seed: settled.seed });
  }

  fieldOver(area) {
    const { timestep } = this.frames[Math.floor(this.player.position)];
    return timestep ? this.field.at(this.settled, timestep, area) : null; // at t = 0 the score of data on a curve has no bound
  }

  paint(position) {
    const beside = this.panes.length > 1;
    for (const pane of this.panes) pane.paint(this.frames, position, { beside });
    const [before, after] = [Math.floor(position), Math.ceil(position)].map((i) => this.frames[i].timestep);
    this.explain.at(before + (position % 1) * (after - before));
  }

  waits(is, { dims = is } = {}) {
    this.picture.setAttribute("aria-busy", String(is));
    if (dims) this.picture.dataset.before = ""; // what is shown is from before
    else if (!is) {
      delete this.picture.dataset.before;
      this.wait.end();
    }
  }

  stop() {
    this.player.pause();
    this.waits(false);
  }

  /** What was asked of the models is asked again. */
  renew() {
    this.field.clear();
    this.explain.schedules.clear();
    this.references.clear();
  }

  clear() {
    this.run = this.forward = this.arranged = null;
    this.explain.hide();
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
    if (this.run.kind === "points") {
      for (const pane of this.panes) pane.canvas.setAttribute("aria-label", say(this.about.real ? "points over real" : "points of", { n, dataset }));
    }
    this.legend.replaceChildren(...legendOf(settled, classes, { field: this.seen.look.includes("field") && !this.forward }));
  }
}

function previewsOf({ can, n, steps }) {
  const most = can.dataset.kind === "points" ? Math.floor(PREVIEWED_POINTS / n) : MOST_PREVIEWS;
  return Math.max(1, Math.min(MOST_PREVIEWS, most, steps - 1));
}
