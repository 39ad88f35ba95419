// Beside the scrubber: where the step stands on the noise schedule, and what of the run is shown.

import { askJson } from "./api.js";
import { colour, make } from "./elements.js";
import { logSnr } from "./schedule.js";
import { language, say } from "./words.js";

export const LOOKS = ["x0", "x_t", "both", "forward"]; // one of these …
export const EXTRAS = ["paths", "field"]; // … and of points of two dimensions, any of these

const SMALL = 1e-4; // numbers below are read as a power of ten
const RAISED = { "-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((digit, i) => [i, digit])) };

/** Three digits of a number. */
export function number(value) {
  const short = (one) => one.toLocaleString(language, { maximumSignificantDigits: 3 });
  if (value === 0 || Math.abs(value) >= SMALL) return short(value);
  const [digits, power] = value.toExponential(2).split("e");
  return `${short(Number(digits))}·10${[...power].map((one) => RAISED[one]).join("")}`;
}

export class Explain {
  /** `onLook(names)` when somebody wants to see something else. */
  constructor(element, onLook) {
    this.element = element;
    this.onLook = onLook;
    this.schedules = new Map(); // of promises, by model
    this.curve = make("canvas", { className: "curve", role: "img" });
    this.caption = make("figcaption");
    this.looks = make("div", { className: "chips", role: "radiogroup", "aria-label": say("shown") });
    this.note = make("p", { className: "note" });
    element.replaceChildren(make("figure", {}, this.curve, this.caption), make("div", {}, this.looks, this.note));
    this.side = { width: 0, height: 0 }; // of the curve, in the page's pixels: to ask for it would lay the page out
    new ResizeObserver(([{ contentRect }]) => this.resize(contentRect)).observe(this.curve);
    document.addEventListener("theme", () => this.paint());
  }

  /** The noise schedule of a model. */
  async schedule(model) {
    if (!this.schedules.has(model)) {
      const asked = askJson(`models/${encodeURIComponent(model)}/schedule`);
      asked.catch(() => this.schedules.delete(model));
      this.schedules.set(model, asked);
    }
    return this.schedules.get(model);
  }

  /** schedule: of the model that is shown; look, extras: [names], of what is chosen and of what may be */
  show(schedule, look, extras) {
    this.known = schedule;
    this.element.hidden = false;
    if (String(extras) !== String(this.extras)) this.build(extras);
    this.extras = extras;
    const chosen = LOOKS.find((name) => look.includes(name)) ?? LOOKS[0];
    for (const input of this.looks.querySelectorAll("input")) {
      input.checked = input.type === "radio" ? input.value === chosen : look.includes(input.value);
    }
    this.note.textContent = say(`note ${chosen}`);
    this.paint();
  }

  /** Built anew the chips would lose the focus of a keyboard. */
  build(extras) {
    const looked = () => this.onLook([...this.looks.querySelectorAll(":checked")].map(({ value }) => value));
    const chips = (names, type) => names.map((name) => make("label", { className: "chip" },
      make("input", { type, name: `look-${type}`, value: name, onchange: looked }), make("span", {}, say(`look ${name}`))));
    this.looks.replaceChildren(...chips(LOOKS, "radio"), ...chips(extras, "checkbox"));
  }

  hide() {
    this.element.hidden = true;
  }

  /** t may lie between two timesteps, while a trajectory plays. */
  at(t) {
    this.t = t;
    if (!this.known || this.element.hidden) return;
    const alphaBar = this.alphaBar(t);
    const T = this.known.alpha_bar.length - 1;
    const snr = logSnr(alphaBar);
    this.caption.textContent = say("on the schedule", {
      t: Math.round(t), T, alphaBar: number(alphaBar), snr: Number.isFinite(snr) ? number(snr) : snr < 0 ? "−∞" : "∞",
    });
    this.curve.setAttribute("aria-label", `${say("noise schedule")}: ${this.caption.textContent}`);
    this.paint();
  }

  alphaBar(t) {
    const { alpha_bar: values } = this.known;
    const [below, above] = [values[Math.floor(t)], values[Math.ceil(t)]];
    return below + (t % 1) * (above - below);
  }

  resize({ width, height }) {
    const ratio = devicePixelRatio || 1;
    this.side = { width, height };
    Object.assign(this.curve, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.curve.getContext("2d").scale(ratio, ratio);
    this.paint();
  }

  /** ᾱ over the way from t = T to 0, as an area, and a dot where the step stands. */
  paint() {
    const { width, height } = this.side;
    if (!this.known || !width) return;
    const context = this.curve.getContext("2d");
    context.clearRect(0, 0, width, height);
    const T = this.known.alpha_bar.length - 1;
    const place = (t) => [6 + (1 - t / T) * (width - 12), height - 6 - this.alphaBar(t) * (height - 12)];
    context.beginPath();
    for (let i = 0; i <= 100; i++) context.lineTo(...place(T * (1 - i / 100)));
    context.strokeStyle = colour("edge");
    context.lineWidth = 1.5;
    context.stroke();
    context.lineTo(width - 6, height - 6);
    context.lineTo(6, height - 6);
    context.fillStyle = colour("line");
    context.fill();
    if (this.t === undefined) return;
    const [u, v] = place(Math.min(this.t, T));
    context.strokeStyle = context.fillStyle = colour("accent");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(u, height - 6);
    context.lineTo(u, v);
    context.stroke();
    context.beginPath();
    context.arc(u, v, 4.5, 0, 2 * Math.PI);
    context.fill();
  }
}
