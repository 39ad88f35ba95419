// Points on a canvas, over the real distribution.

import { arrows, longestOf } from "./arrows.js";
import { boundsOf, dateAt, flat, originsOf, placing, squareOf, ticksOf } from "./axes.js";
import { colour, make } from "./elements.js";
import { language, say } from "./words.js";

export const COLOURS = 8; // in the style sheet; classes beyond begin anew
const MOST_PATHS = 150; // beyond them nobody could follow one
const CORNER = 24; // pixels in which a number would be cut off, or meet one of the other axis
const UNFINISHED = 0.02; // share of the points that may lie outside while nothing is known of the end

document.addEventListener("theme", () => {
  for (const canvas of document.querySelectorAll(".cloud")) canvas.repaint();
});

export class Cloud {
  /** what: "x0" or "x_t" of each frame. small: without numbers at the axes, for many side by side. `onAxes(pair)` when
   * somebody chooses other dimensions. */
  constructor(what, { small = false, onAxes = () => {} } = {}) {
    Object.assign(this, { what, small, onAxes });
    this.canvas = make("canvas", { className: "cloud", role: "img" });
    this.element = make("div", { className: "points" }, this.canvas);
    this.frames = [];
    this.position = 0;
    this.paths = false;
    this.field = null; // (area) → {points, plain, added}, or null while it is not there
    this.canvas.repaint = () => this.paint(this.frames, this.position);
    new ResizeObserver(this.canvas.repaint).observe(this.canvas);
  }

  /** settled: the choice; real: {points, classes} or null. */
  begin(settled, classes, real) {
    const { dataset } = settled.can;
    const [first, second = null] = settled.axes;
    this.classes = classes;
    this.real = real;
    this.frames = [];
    this.bounds = null;
    this.names = dataset.columns;
    this.origins = originsOf(dataset);
    this.pair = [first, second];
    if (!this.small) this.describeAxes();
  }

  /** Lists to choose the dimensions from, where there are more than two. A list that is built anew loses the focus. */
  describeAxes() {
    if (this.listed !== this.names) this.listAxes();
    this.listed = this.names;
    this.lists.forEach((list, which) => (list.value = this.pair[which]));
  }

  listAxes() {
    this.element.querySelector(".axes")?.remove();
    this.lists = [];
    if (this.names.length < 3) return;
    this.lists = [0, 1].map((which) => make("select", { onchange: ({ target }) => this.choose(which, Number(target.value)) },
      ...this.names.map((name, axis) => make("option", { value: axis, textContent: name }))));
    this.element.append(make("p", { className: "axes" },
      ...this.lists.map((list, which) => make("label", {}, say(which ? "upright" : "across"), list))));
  }

  /** Another dimension across, or upright; where the other axis has it, both trade places. */
  choose(which, axis) {
    const other = this.pair[1 - which] === axis ? this.pair[which] : this.pair[1 - which];
    this.pair = which ? [other, axis] : [axis, other];
    this.bounds = null;
    this.describeAxes();
    this.canvas.repaint();
    this.onAxes(this.pair);
  }

  /** Around the real points, or around where the samples have come to. */
  around() {
    if (this.real) return boundsOf(flat(this.real.points, this.pair));
    const last = this.frames.at(-1);
    return boundsOf(flat(last ? this.of(last) : [], this.pair), last?.timestep === 0 ? 0 : UNFINISHED);
  }

  of(frame) {
    return frame[this.what] ?? frame.x_t ?? frame.x0;
  }

  paint(frames, position) {
    if (!this.real && this.frames.length !== frames.length) this.bounds = null;
    this.frames = frames;
    this.position = position;
    if (!this.names) return;
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return; // it is hidden: there is no area to show, and it is painted once it has a size
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.bounds ??= this.around();
    const place = placing(this.bounds, width, height);
    if (!this.small) this.paintAxes(context, place, width, height);
    if (this.real) {
      context.fillStyle = colour("real");
      dots(context, flat(this.real.points, this.pair).map(place), this.small ? 0.9 : 1.5);
    }
    const field = this.field?.(squareOf(this.bounds, width, height));
    if (field) paintField(context, field, place);
    if (frames.length && this.paths) this.paintPaths(context, place, position);
    if (frames.length) this.paintSamples(context, place, position);
  }

  paintSamples(context, place, position) {
    const at = (index) => flat(this.of(this.frames[Math.min(index, this.frames.length - 1)]), this.pair);
    const [before, after] = [at(Math.floor(position)), at(Math.ceil(position))];
    const share = position % 1;
    const places = before.map(([x, y], i) => place([x + share * (after[i][0] - x), y + share * (after[i][1] - y)]));
    const radius = (this.small ? 0.6 : 1) * (places.length > 2000 ? 1.4 : places.length > 500 ? 2 : 2.6);
    for (const number of new Set(this.classes)) {
      context.fillStyle = this.colourOf(number);
      dots(context, places.filter((_, i) => this.classes[i] === number), radius);
    }
  }

  /** From the noise to where the samples stand. */
  paintPaths(context, place, position) {
    const passed = this.frames.slice(0, Math.floor(position) + 1).map((frame) => flat(frame.x_t ?? this.of(frame), this.pair).map(place));
    const every = Math.max(1, Math.ceil(passed[0].length / MOST_PATHS));
    context.lineWidth = 1;
    context.globalAlpha = 0.45;
    for (let i = 0; i < passed[0].length; i += every) {
      context.strokeStyle = this.colourOf(this.classes[i]);
      context.beginPath();
      for (const places of passed) context.lineTo(...places[i]);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  colourOf(number) {
    return number < 0 ? colour("accent") : colour(`class-${number % COLOURS}`);
  }

  paintAxes(context, place, width, height) {
    context.fillStyle = colour("faint-ink");
    context.strokeStyle = colour("line");
    context.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    context.lineWidth = 1;
    const { x, y } = ticksOf(this.bounds, width, height);
    const written = (tick, ticks, origin) => (origin
      ? dateAt(origin, tick, language, { time: !ticks.every(Number.isInteger) })
      : tick.toLocaleString(language, { maximumSignificantDigits: 15 }));
    const [first, second] = this.pair.map((axis) => this.origins[axis]);
    const line = (...ends) => {
      context.beginPath();
      context.moveTo(...ends[0]);
      context.lineTo(...ends[1]);
      context.stroke();
    };
    const texts = [];
    for (const tick of x) {
      const [u] = place([tick, 0]);
      line([u, 0], [u, height]);
      const text = written(tick, x, first);
      if (u + 4 < width - Math.max(CORNER, context.measureText(text).width)) texts.push([text, u + 4, height - 6]);
    }
    for (const tick of this.pair[1] === null ? [] : y) {
      const [, v] = place([0, tick]);
      line([0, v], [width, v]);
      if (v > CORNER && v < height - CORNER) texts.push([written(tick, y, second), 6, v - 4]);
    }
    context.strokeStyle = colour("paper"); // around a number, so that no line hides its sign
    context.lineWidth = 4;
    for (const text of texts) {
      context.strokeText(...text);
      context.fillText(...text);
    }
  }
}

function paintField(context, { points, plain, added }, place) {
  const longest = Math.max(longestOf(plain), added ? longestOf(added) : 0);
  context.lineWidth = 1.1;
  context.strokeStyle = colour("soft-ink");
  arrows(context, points, plain, place, longest);
  if (!added) return;
  context.strokeStyle = colour("accent");
  arrows(context, points, added, place, longest);
}

function dots(context, places, radius) {
  context.beginPath();
  for (const [u, v] of places) {
    context.moveTo(u + radius, v);
    context.arc(u, v, radius, 0, 2 * Math.PI);
  }
  context.fill();
}
