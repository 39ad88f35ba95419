// How good a model is: what its card has measured, in sentences.

import { measurements } from "./card.js";
import { make } from "./elements.js";
import { language, say } from "./words.js";

export class Quality {
  /** element: a `details`. */
  constructor(element) {
    this.element = element;
  }

  /** settled: what is chosen; what was measured with just its settings comes first. */
  show(settled) {
    const fits = ({ metrics }) => metrics.sampler === settled.sampler && metrics.steps === settled.steps;
    const found = measurements(settled).sort((a, b) => fits(b) - fits(a));
    this.element.hidden = !found.length;
    this.element.replaceChildren(make("summary", {}, say("how good")), ...found.flatMap((one) => [
      make("h3", {}, conditionsOf(one.metrics)),
      make("ul", {}, ...one.figures.map(({ sentence }) => make("li", {}, sentence))),
    ]), make("p", { className: "note" }, say("how good note", { model: settled.model })));
  }
}

/** What was measured: how many samples, made how. */
function conditionsOf({ samples, sampler, steps, guidance_scale: scale, computed_in: precision }) {
  const parts = [
    samples && say("measured on", { samples: samples.toLocaleString(language) }),
    sampler, steps && say("steps", { number: steps }), typeof scale === "number" && say("scale", { number: scale.toLocaleString(language) }),
    precision !== "float32" && precision,
  ];
  return parts.filter(Boolean).join(", ");
}
