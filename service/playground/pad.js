// A pad to draw on: by mouse, by finger, and by keyboard.

import { colour, make } from "./elements.js";
import { SIDE } from "./link.js";
import { decodeStrokes, encodeStrokes } from "./strokes.js";

const PEN = 15; // pixels wide, about as MNIST's at that size
const STRIDE = 8; // pixels that an arrow key moves the pen
const KEYS = "keys";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const onPad = (coordinate) => Math.min(SIDE, Math.max(0, coordinate));

export class Pad {
  /** `onDraw()` at every change. */
  constructor(canvas, onDraw) {
    this.canvas = canvas;
    this.onDraw = onDraw;
    this.strokes = [];
    this.held = new Map(); // what holds a pen down, a pointer's id or KEYS → the stroke that it draws
    this.pen = { x: SIDE / 2, y: SIDE / 4, shown: false }; // the keyboard's
    canvas.width = canvas.height = SIDE;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pen.shown = false;
      this.start(event.pointerId, this.under(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.extend(event.pointerId, this.under(one));
    });
    canvas.addEventListener("lostpointercapture", (event) => this.held.delete(event.pointerId));
    canvas.addEventListener("keydown", (event) => this.pressed(event));
    canvas.addEventListener("blur", () => {
      this.held.delete(KEYS);
      this.pen.shown = false;
      this.paint();
    });
    document.addEventListener("theme", () => this.paint());
    this.paint();
  }

  get empty() {
    return this.strokes.length === 0;
  }

  /** The strokes as a link has them. */
  get asText() {
    return this.empty ? undefined : encodeStrokes(this.strokes);
  }

  /** Show the strokes of a link, or none: nobody has drawn them now, so that nothing is asked for. */
  show(text) {
    this.strokes = text ? decodeStrokes(text, SIDE) : [];
    this.held.clear();
    this.paint();
  }

  clear() {
    this.strokes = [];
    this.held.clear();
    this.changed();
  }

  /** Takes the last stroke back, and lifts every pen: what goes on being moved draws nothing until it is put down again. */
  undo() {
    this.strokes.pop();
    this.held.clear();
    this.changed();
  }

  /** The drawing as a data URL of a PNG: black on white, whatever the theme. */
  picture() {
    const page = make("canvas", { width: SIDE, height: SIDE });
    const context = page.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, SIDE, SIDE);
    this.ink(context, "black");
    return page.toDataURL("image/png");
  }

  /** The point under a pointer; of one that has left the pad while it draws, the nearest point of the pad. */
  under({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width) * SIDE, ((clientY - box.top) / box.height) * SIDE].map(onPad);
  }

  start(holder, point) {
    const stroke = [point];
    this.held.set(holder, stroke);
    this.strokes.push(stroke);
    this.changed();
  }

  extend(holder, point) {
    const stroke = this.held.get(holder);
    if (!stroke) return;
    stroke.push(point);
    this.changed();
  }

  /** Arrows move the pen, space puts it down and lifts it, Backspace takes the last stroke back. */
  pressed(event) {
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " " && event.key !== "Backspace") return;
    event.preventDefault();
    this.pen.shown = true;
    if (event.key === "Backspace") return this.undo();
    if (event.key === " ") {
      return this.held.delete(KEYS) ? this.paint() : this.start(KEYS, [this.pen.x, this.pen.y]);
    }
    this.pen.x = onPad(this.pen.x + STRIDE * arrow[0]);
    this.pen.y = onPad(this.pen.y + STRIDE * arrow[1]);
    if (this.held.has(KEYS)) this.extend(KEYS, [this.pen.x, this.pen.y]);
    else this.paint();
  }

  changed() {
    this.paint();
    this.onDraw();
  }

  paint() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, SIDE, SIDE);
    this.ink(context, colour("ink"));
    if (!this.pen.shown) return;
    context.lineWidth = 2;
    context.strokeStyle = colour("accent");
    context.beginPath();
    context.arc(this.pen.x, this.pen.y, this.held.has(KEYS) ? 5 : 9, 0, 2 * Math.PI);
    context.stroke();
  }

  ink(context, style) {
    Object.assign(context, { strokeStyle: style, lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(...stroke[0]);
      for (const point of stroke) context.lineTo(...point);
      const [[x, y]] = stroke;
      const rests = stroke.every((point) => point[0] === x && point[1] === y);
      if (rests) context.lineTo(x + 0.01, y); // a line of no length has no round ends, and would paint nothing
      context.stroke();
    }
  }
}
