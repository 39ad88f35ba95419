// The view that makes data sets: classes and counts, a job, and what has come of each.

import { ask } from "./api.js";
import { FORMATS } from "./choice.js";
import { evaluations, expectedSeconds } from "./cost.js";
import { Dial } from "./dial.js";
import { make } from "./elements.js";
import { JobCard } from "./job-card.js";
import { asJob, finished, followed, newestJobs, rowsOf } from "./jobs.js";
import { Picker } from "./picker.js";
import { language, say, seconds } from "./words.js";

const OFTEN = 1000; // milliseconds between looks at jobs that go on …
const SELDOM = 10_000; // … and at all of them: somebody else may start one
const MOST_ROWS = 10_000_000; // of a job
const HANDY = 10_000; // rows of a class

export class DataSet {
  /** `onChange(changes)` of the choice; `onError(error, retry)`. */
  constructor(element, { onChange, onError }) {
    Object.assign(this, { element, onChange, onError });
    this.all = new Dial(say("control each count"), (count) => onChange({ counts: this.settled.counts.map(() => count) }));
    this.counts = make("div", { className: "class-counts", role: "group", "aria-label": say("control counts") });
    this.format = new Picker(say("control format"), (format) => onChange({ format }));
    this.judge = new Dial(say("control judge"), (judge) => onChange({ judge }));
    this.distinct = make("input", { type: "checkbox", onchange: ({ target }) => onChange({ distinct: target.checked ? "1" : undefined }) });
    this.distinctNote = make("p", { className: "note" });
    this.cost = make("p", { className: "note" });
    this.start = make("button", { type: "button", className: "primary", onclick: () => this.submit() }, say("start job"));
    this.told = make("p", { className: "remark", role: "status" });
    this.list = make("div", { className: "jobs", role: "region", "aria-label": say("jobs") });
    Object.assign(this, { jobs: [], cards: new Map() });
    // What has to be so for the button to be pressed:
    Object.assign(this, { kept: true, possible: false, submitting: false });
    element.replaceChildren(
      make("div", { className: "job-form" }, this.all.element, this.counts, this.format.element, this.judge.element,
        make("div", {}, make("label", { className: "keep" }, this.distinct, make("span", {}, say("control distinct"))),
          this.distinctNote),
        make("div", { className: "buttons" }, this.start, this.cost)),
      this.told, this.list,
    );
  }

  show(settled) {
    this.settled = settled;
    const { asks, counts, format, judge, distinct, can: { labels, dataset, model } } = settled;
    this.all.show({ min: 1, max: MOST_ROWS, handy: HANDY, step: 1, log: true, note: asks === "each" ? say("of each class") : "" },
      Math.max(1, ...counts));
    if (asks !== "each" || labels.length !== this.inputs?.length || labels.join() !== this.named) this.lay(asks === "each" ? labels : []);
    this.inputs.forEach((input, i) => document.activeElement !== input && (input.value = counts[i]));
    this.format.show(FORMATS[dataset.kind].map((value) => ({ value, text: value, note: say(`format ${value}`) })), format);
    this.judge.show(asks === "each" && model.judged ? { min: 0, max: 1, handy: 1, step: 0.01, note: say("judge note") } : null, judge ?? 0);
    this.distinct.checked = Boolean(distinct);
    this.distinct.disabled = !model.training_rows;
    this.distinctNote.textContent = model.training_rows ? say("distinct note") : say("distinct unknown", { model: model.name });
    const rows = rowsOf(settled);
    const time = expectedSeconds({ ...settled, n: rows });
    this.cost.textContent = [say("rows", { rows }), say("cost each", { number: evaluations(settled) }),
      time === null ? null : say("expected", { time: seconds(time) })].filter(Boolean).join(" · ");
    this.possible = rows > 0 && rows <= MOST_ROWS;
    this.enable();
    this.watch();
  }

  enable() {
    this.start.disabled = !this.kept || !this.possible || this.submitting;
  }

  lay(labels) {
    this.named = labels.join();
    this.inputs = labels.map((_, i) => make("input", { type: "number", min: 0, max: MOST_ROWS, step: 1, required: true,
      oninput: ({ target }) => target.validity.valid && this.onChange({ counts: this.settled.counts.with(i, target.valueAsNumber) }),
      onchange: ({ target }) => !target.validity.valid && (target.value = this.settled.counts[i]) }));
    this.counts.replaceChildren(...labels.map((label, i) => make("label", {}, make("span", { title: label }, label), this.inputs[i])));
  }

  async submit() {
    this.submitting = true;
    this.enable();
    try {
      const body = asJob(this.settled);
      this.once = this.once?.[0] === JSON.stringify(body) ? this.once : [JSON.stringify(body), drawnKey()];
      await ask("jobs", { body, headers: { "Idempotency-Key": this.once[1] } });
      this.once = null; // it was accepted: the same once more is another job
      this.newest = true;
      await this.look();
      this.sooner?.();
    } catch (error) {
      this.onError(error, () => this.submit());
    } finally {
      this.submitting = false;
      this.enable();
    }
  }

  /** Look at the jobs from now on, as long as the view is open and can be seen. */
  async watch() {
    if (this.turn) return;
    const turn = (this.turn = {});
    while (turn === this.turn) {
      const busy = document.hidden || (await this.follow().catch((error) => this.unkept(error)));
      await new Promise((done) => {
        this.sooner = done;
        setTimeout(done, busy ? OFTEN : SELDOM);
      });
    }
  }

  leave() {
    this.turn = null;
  }

  /** Look at those that go on; seldom, or where one has ended, at all of them. Resolves to: does any go on? */
  async follow() {
    const found = performance.now() < this.again ? await followed(this.jobs) : null;
    if (!found) return this.look();
    return this.tell(this.jobs.map((job) => found.find(({ id }) => id === job.id) ?? job));
  }

  /** Look at all of them. Resolves to: does any go on? */
  async look() {
    const jobs = await newestJobs();
    this.again = performance.now() + SELDOM;
    return this.tell(jobs);
  }

  tell(jobs) {
    this.jobs = jobs;
    this.kept = true;
    this.enable();
    this.told.textContent = "";
    const listed = new Set(jobs.map(({ id }) => id));
    for (const id of this.cards.keys()) if (!listed.has(id)) this.cards.delete(id);
    for (const job of jobs.filter(({ id }) => !this.cards.has(id))) {
      const card = new JobCard(job, { onDelete: (id) => this.remove(id), onError: this.onError });
      card.element.open = this.newest ?? job === jobs[0];
      this.newest = false;
      this.cards.set(job.id, card);
    }
    const cards = jobs.map(({ id }) => this.cards.get(id));
    cards.forEach((card, i) => card.show(jobs[i]));
    const here = [...this.list.children];
    const elements = cards.map(({ element }) => element);
    if (here.length !== elements.length || here.some((one, i) => one !== elements[i])) this.list.replaceChildren(...elements);
    return jobs.some((job) => !finished(job));
  }

  async remove(id) {
    try {
      await ask(`jobs/${id}`, { method: "DELETE" });
      await this.look();
    } catch (error) {
      this.onError(error);
    }
  }

  /** Jobs cannot be kept here, or not now: said in one sentence. */
  unkept(error) {
    if (error.status === 401) {
      this.leave(); // the page comes back with the key
      this.onError(error);
    }
    const never = error.status === 503 && error.retryAfter === null; // a store that is gone for a moment says when it may be back
    this.told.textContent = never ? say("no jobs", { why: error.message }) : error.message;
    if (error.status === 503) this.kept = false;
    this.enable();
    return false;
  }
}

/** A name for a request that nobody else gives. Over plain HTTP a browser has no crypto.randomUUID. */
const drawnKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
