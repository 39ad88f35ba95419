// One job of the list: how far it is, what its samples look like, and its files.

import { ask, askJson } from "./api.js";
import { Cloud } from "./cloud.js";
import { make } from "./elements.js";
import { classesDone, finished, imagesIn, partsShown, pngsIn, pointsIn } from "./jobs.js";
import { key } from "./key.js";
import { language, say, seconds } from "./words.js";

const BEGINNING = { images: 65_536, points: 100_000 }; // bytes of a file that a contact sheet is made of
const MOST_POINTS = 2000;
const SURE = 3000; // milliseconds in which a second click deletes …
const DOUBLE = 500; // … but for one that belongs to the first

const number = (value) => value.toLocaleString(language);
const bytes = (value) => value < 1e6
  ? say("kilobytes", { value: number(Math.ceil(value / 1e3)) })
  : say("megabytes", { value: (value / 1e6).toLocaleString(language, { maximumFractionDigits: value < 1e7 ? 2 : 0 }) });

export class JobCard {
  /** `onDelete(id)` → a promise of its end; `onError(error)`. */
  constructor({ id }, { onDelete, onError }) {
    Object.assign(this, { id, onDelete, onError });
    this.title = make("span");
    this.told = make("p", { className: "note" });
    this.bar = make("progress", { max: 1, value: 0 });
    this.counts = make("ul", { className: "counts" });
    this.sheet = make("div", { className: "contact", role: "group", "aria-label": say("contact sheet") });
    this.files = make("ul", { className: "files" });
    this.links = {}; // of files, by name
    this.remove = make("button", { type: "button", onclick: () => this.asked() });
    this.element = make("details", { className: "job", ontoggle: () => this.open && this.look() },
      make("summary", {}, this.title, this.bar, this.told), this.counts, this.sheet, this.files,
      make("p", { className: "buttons" }, this.remove));
    this.parts = new Map(); // by file: what the contact sheet has of it
    this.seen = -1; // rows done when its files were looked at
    this.failing = false; // was the last look at them in vain?
  }

  get open() {
    return this.element.open;
  }

  /** job: as /jobs has it. */
  show(job) {
    this.job = job;
    const { rows, rows_done: done, request, state, created } = job;
    const when = new Date(created).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
    this.title.textContent = `${say("job title", { rows: number(rows), dataset: request.dataset, format: request.format })} · ${when}`;
    this.bar.value = done / rows;
    this.bar.setAttribute("aria-label", say(`job ${state}`));
    this.told.textContent = this.progress();
    this.counts.replaceChildren(...classesDone(job).map(({ label, done: there, all }) => make("li", {},
      make("span", {}, label), make("progress", { max: Math.max(1, all), value: there, "aria-label": label }),
      make("small", {}, say("count of", { done: number(there), all: number(all) })))));
    if (!this.sure) this.remove.textContent = say(finished(job) ? "delete job" : "stop job");
    if (this.open) this.look();
  }

  progress() {
    const { rows, rows_done: done, rows_dropped: dropped, rows_per_second: rate, seconds_left: left, state, error, paused } = this.job;
    return [
      say(`job ${state}`), say("count of", { done: number(done), all: number(rows) }),
      dropped ? say("job dropped", { dropped: number(dropped) }) : null,
      rate && !finished(this.job) ? say("job rate", { rate: number(Math.round(rate)) }) : null,
      left !== null ? say("job left", { time: seconds(left) }) : null,
      error ?? paused,
    ].filter(Boolean).join(" · ");
  }

  /** Its files as they are now, where there are more than before. */
  async look() {
    if (this.seen === this.job.rows_done || this.looking) return;
    this.looking = true;
    try {
      const done = this.job.rows_done;
      const { files } = await askJson(`jobs/${this.id}/files`);
      for (const file of files) this.links[file.name] ??= make("li", {}, this.linkTo(file), ` ${bytes(file.bytes)}`);
      this.files.replaceChildren(...files.map(({ name }) => this.links[name])); // later rows may be ready before earlier ones
      for (const part of partsShown(files, this.job)) await this.add(part);
      this.seen = done;
      this.failing = false;
    } catch (error) {
      const known = this.failing || error.status === 410; // it was said before, or its files were deleted in the meantime
      this.failing = true;
      if (!known) this.onError(error);
    } finally {
      this.looking = false;
    }
  }

  linkTo({ name }) {
    const path = `jobs/${this.id}/files/${encodeURIComponent(name)}`;
    const link = make("a", { href: path, download: `${this.id}-${name}` }, name);
    link.addEventListener("click", async (event) => {
      if (!key.value) return; // the browser downloads it by itself; a key it would not send
      event.preventDefault();
      try {
        const address = URL.createObjectURL(await (await ask(path)).blob());
        make("a", { href: address, download: link.download }).click();
        setTimeout(() => URL.revokeObjectURL(address), 60_000);
      } catch (error) {
        this.onError(error);
      }
    });
    return link;
  }

  /** The first samples of a file, onto the contact sheet. */
  async add({ name, most }) {
    if (this.parts.has(name)) return;
    const points = name.endsWith(".csv");
    const range = `bytes=0-${BEGINNING[points ? "points" : "images"] - 1}`;
    const answer = await ask(`jobs/${this.id}/files/${encodeURIComponent(name)}`, { headers: { Range: range } });
    const beginning = new Uint8Array(await answer.arrayBuffer());
    if (points) this.parts.set(name, cloudOf(pointsIn(new TextDecoder().decode(beginning), MOST_POINTS)));
    else this.parts.set(name, name.endsWith(".npy") ? canvasesOf(imagesIn(beginning, most)) : pngsIn(beginning, most).map(imageOf));
    const shown = [...this.parts.values()].filter(Boolean).flat();
    this.sheet.replaceChildren(...(points ? shown.slice(0, 1) : shown));
  }

  /** A second click within a moment deletes: there is no way back. */
  asked() {
    if (this.sure) return performance.now() - this.since < DOUBLE ? undefined : this.deleted();
    this.since = performance.now();
    this.sure = setTimeout(() => {
      this.sure = null;
      this.show(this.job);
    }, SURE);
    this.remove.textContent = say("sure");
  }

  async deleted() {
    this.remove.disabled = true;
    await this.onDelete(this.id);
    this.remove.disabled = false;
  }
}

function imageOf(png) {
  const address = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  return make("img", { src: address, alt: "", className: "tile", onload: () => URL.revokeObjectURL(address) });
}

function canvasesOf({ height, width, channels, images }) {
  return images.map((values) => {
    const canvas = make("canvas", { width, height, className: "tile" });
    const pixels = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = values[i * channels + Math.min(c, channels - 1)];
      pixels.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  });
}

function cloudOf({ columns, points, labels }) {
  if (!points.length || !columns.length) return null;
  const names = [...new Set(labels ?? [])].sort();
  const cloud = new Cloud("x0");
  cloud.canvas.setAttribute("aria-label", say("contact sheet"));
  const axes = columns.length > 1 ? [0, 1] : [0];
  cloud.begin({ axes, can: { dataset: { columns, table: [] } } }, points.map((_, i) => (labels ? names.indexOf(labels[i]) : -1)), null);
  cloud.frames = [{ x0: points, timestep: 0 }];
  return cloud.element;
}
