// The column of controls: what the chosen dataset can do, and nothing else.

import { alike } from "./catalog.js";
import { drawnSeed, scalesOf } from "./choice.js";
import { Dial } from "./dial.js";
import { make } from "./elements.js";
import { Picker } from "./picker.js";
import { language, say, sayOfEta, sayOfSampler } from "./words.js";

const NUMBERS = ["steps", "guidance_scale", "seed"]; // compared over values that one may choose
const NONE = "none"; // a comparison by one field
const ADVISED = ["guidance_scale", "guidance_interval", "sampler", "steps", "eta", "variance"];
// What is forgotten when something else is chosen, because it belonged to that.
const FORGOTTEN = {
  dataset: ["axes", "picture", "mask", "strength", "resample", "counts", "format", "judge", "distinct", "model", "asks", "label", "prompt", "guidance", ...ADVISED, "n", "hint", "hint_scale", "drawing", "strokes", "values", "by_values"],
  asks: ["counts", "model", "guidance", ...ADVISED],
  guidance: ["model", ...ADVISED, "values", "by_values"],
  hint: ["model", ...ADVISED, "hint_scale", "drawing", "strokes"],
  model: ADVISED,
  sampler: ["eta", "variance"],
  over: ["values"],
};

export class Controls {
  /** `onChange(changes)`: {name: value, …}, undefined for what is forgotten. */
  constructor(element, onChange) {
    const without = (name) => Object.fromEntries((FORGOTTEN[name] ?? []).map((other) => [other, undefined]));
    const change = (name) => (value) => onChange({ ...without(name), [name]: value });
    this.dataset = new Picker(say("control dataset"), change("dataset"));
    this.over = new Picker(say("control over"), change("over"));
    this.values = this.list("values", change("values"));
    this.by = new Picker(say("control by"), (by) => onChange({ by: by === NONE ? undefined : by, by_values: undefined }));
    this.byValues = this.list("by-values", change("by_values"));
    this.hint = new Picker(say("control hint"), change("hint"));
    this.asks = new Picker(say("control asks"), (key) => {
      const next = this.possible[key];
      onChange({ ...(alike(next.asks, this.asked) ? {} : without("asks")), label: undefined, ...next });
    });
    this.prompt = this.words(change("prompt"));
    this.guidance = new Picker(say("control guidance"), change("guidance"));
    this.scale = new Dial(say("control scale"), change("guidance_scale"));
    this.hintScale = new Dial(say("control hint scale"), change("hint_scale"));
    this.model = new Picker(say("control model"), change("model"));
    this.sampler = new Picker(say("control sampler"), change("sampler"));
    this.variance = new Picker(say("control variance"), change("variance"));
    this.eta = new Dial("η", change("eta"));
    this.steps = new Dial(say("control steps"), change("steps"));
    this.strength = new Dial(say("control strength"), change("strength"));
    this.resample = new Dial(say("control resample"), change("resample"));
    this.n = new Dial(say("control n"), change("n"));
    this.walk = new Picker(say("control walk"), (key) => onChange({ seed_to: key === "two" ? drawnSeed() : undefined, mix: undefined }));
    this.mix = new Dial(say("control mix"), change("mix"));
    element.replaceChildren(
      this.dataset.element, this.over.element, this.values.element, this.by.element, this.byValues.element, this.asks.element, this.prompt.element,
      this.hint.element, this.hintScale.element, this.strength.element, this.resample.element, this.model.element, this.guidance.element, this.scale.element,
      this.sampler.element, this.variance.element, this.eta.element, this.steps.element, this.n.element, this.walk.element,
      this.mix.element,
    );
  }

  words(onWords) {
    const input = make("input", { type: "text", id: "prompt", maxLength: 200, autocomplete: "off", required: true });
    const examples = make("p", { className: "note" });
    input.addEventListener("input", () => onWords(input.value.trim()));
    const element = make("div", { className: "words" }, make("label", { htmlFor: "prompt" }, say("control prompt")), input, examples);
    return { element, input, examples, onWords };
  }

  list(id, onList) {
    const input = make("input", { type: "text", id, autocomplete: "off" }); // a pad of digits has no space
    input.addEventListener("change", () => onList(listed(input.value, language)));
    return { element: make("div", { className: "words" }, make("label", { htmlFor: id }, say("control values")), input), input };
  }

  show(settled) {
    const { can, asks, label, guidance, over, by } = settled;
    const compared = [over, by];
    const { dataset } = can;
    this.dataset.show(Object.keys(can.datasets).map((value) => ({ value, text: value })), settled.dataset);

    this.over.show(over ? can.overs.map((value) => ({ value, text: say(`over ${value}`) })) : [], over);
    const bys = [{ value: NONE, text: say("by none") }, ...can.bys.map((value) => ({ value, text: say(`over ${value}`) }))];
    this.by.show(over ? bys : [], by ?? NONE);
    for (const [list, field, values] of [[this.values, over, settled.values], [this.byValues, by, settled.by_values]]) {
      list.element.hidden = !NUMBERS.includes(field);
      if (field) list.input.value = values.join(", ");
    }

    this.possible = can.possible;
    this.asked = asks;
    const chosen = can.possible.findIndex((one) => one.asks === asks && one.label === label);
    this.asks.show(can.possible.map((one, key) => ({ value: String(key), text: said(one) })), String(chosen));

    this.prompt.element.hidden = asks !== "prompt";
    if (asks === "prompt") this.showPrompt(settled.prompt, dataset.prompts);

    this.hint.show(dataset.controls.map((value) => ({ value, text: say(`hint ${value}`) })), settled.hint,
      settled.hint ? 2 : Infinity);
    this.hintScale.show(settled.hint && { min: 0, max: 2, handy: 2, step: 0.05 }, settled.hint_scale);

    this.model.show(compared.includes("model") ? [] : can.models.map((value) => ({ value, text: value })), settled.model);
    this.guidance.show(compared.includes("guidance") ? [] : can.guidances.map((value) => ({ value, text: value, note: say(`guidance ${value}`) })), guidance);
    const [weakest, strongest] = scalesOf(can.model);
    this.scale.show(settled.guidance_scale === null || ["guidance_scale", "guidance", "model"].some((one) => compared.includes(one)) ? null
      : { min: weakest, max: strongest, handy: Math.min(strongest, { "classifier-free": 8, auto: 4 }[guidance] ?? 20), step: 0.1, note: say(`scale ${guidance}`) },
      settled.guidance_scale);

    const samplers = Object.entries(can.samplers).map(([value, spec]) =>
      ({ value, text: value, note: sayOfSampler(value, spec) }));
    this.sampler.show(compared.includes("sampler") ? [] : samplers, settled.sampler);
    const { eta, variance } = compared.includes("sampler") ? {} : can.samplers[settled.sampler].options;
    this.variance.show(variance && !compared.includes("variance") ? can.model.variances.map((value) => ({ value, text: value })) : [], settled.variance);
    const [least, most] = eta?.bounds ?? [];
    this.eta.show(eta && settled.eta !== null ? { min: least, max: most, handy: most, step: 0.05, note: sayOfEta(settled.sampler, eta) } : null, settled.eta);
    this.steps.show(compared.includes("steps") ? null : stepsOf(can.model), settled.steps);
    this.n.show(settled.counts ? null : { min: 1, max: dataset.max_n, handy: dataset.max_n, step: 1, log: dataset.max_n > 100 }, settled.n);
    this.showWalk(settled);
    this.resample.show(settled.resample && { min: 1, max: 20, handy: 10, step: 1, note: say("resample note") }, settled.resample);
    this.strength.show(settled.strength === null ? null : { min: 0, max: 1, handy: 1, step: 0.01,
      note: say(settled.mask ? "strength of a part" : "strength of all") }, settled.strength);
  }

  showWalk({ view, seed, seed_to: to, mix, can: { way } }) {
    const ends = view === "generate" && way.edits.includes("seed_to") ? ["one", "two"] : [];
    this.walk.show(ends.map((value) => ({ value, text: say(`walk ${value}`) })), to === null ? "one" : "two");
    this.mix.show(to === null ? null : { min: 0, max: 1, handy: 1, step: 0.005, note: say("walk between", { seed, to }) }, mix);
  }

  showPrompt(prompt, { examples }) {
    if (document.activeElement !== this.prompt.input) this.prompt.input.value = prompt;
    if (examples.join("\n") === this.prompt.shown) return; // a button that is built anew loses the focus
    this.prompt.shown = examples.join("\n");
    const links = examples.map((text) =>
      make("button", { type: "button", className: "quiet", onclick: () => this.prompt.onWords(text) }, text));
    this.prompt.examples.replaceChildren(...links);
  }
}

/** The numbers of a list as somebody writes it: between commas, semicolons or spaces, and where one writes so, 1,5 is a
 * number. */
export function listed(text, language) {
  const parts = text.split(/[\s;]+/).map((part) => part.replace(/,$/, ""));
  const one = (part) => (language !== "en" && /^\d+,\d+$/.test(part) ? [part.replace(",", ".")] : part.split(","));
  return parts.flatMap(one).filter(Boolean);
}

function stepsOf({ T, few_step: few }) {
  return few ? { min: 1, max: few.steps.at(-1), handy: few.steps.at(-1), step: 1 } : { min: 1, max: T, handy: T, step: 1, log: T > 20 };
}

function said({ asks, label }) {
  return { nothing: say("anything"), each: say("each class"), prompt: say("in words") }[asks] ?? label;
}
