// How good a model is: what its card has measured, in sentences, and its worst samples.

import { ask } from "./api.js";
import { measurements, memorisation } from "./card.js";
import { make } from "./elements.js";
import { language, say } from "./words.js";

export class Quality {
  /** element: a `details`. `onError(error)`. */
  constructor(element, onError) {
    Object.assign(this, { element, onError });
    this.worst = make("img", { className: "worst", alt: say("worst note") });
    this.evidence = make("figure", {}, this.worst, make("figcaption", { className: "note" }, say("worst note")));
    element.addEventListener("toggle", () => this.look());
  }

  /** settled: what is chosen; what was measured with just its settings comes first. */
  show(settled) {
    const { can: { model, way }, sampler, steps, guidance } = settled;
    const asked = JSON.stringify([sampler, steps, guidance, way.hint]);
    if (model === this.model && asked === this.asked) return;
    this.asked = asked;
    const fits = ({ metrics }) => metrics.sampler === sampler && metrics.steps === steps;
    const found = measurements(settled).sort((a, b) => fits(b) - fits(a));
    this.model = model;
    this.element.hidden = !found.length && !model.farthest;
    this.element.replaceChildren(make("summary", {}, say("how good")), ...alike(found).flatMap(([one, ...more]) => [
      make("h2", {}, [conditionsOf(one.metrics), ...more.map(({ metrics }) => say("also in", { precision: metrics.computed_in }))].join(", ")),
      make("ul", {}, ...one.figures.map(({ sentence }) => make("li", {}, sentence))),
    ]),
    make("h2", {}, say("copies")), make("p", {}, memorisation(settled)),
    make("h2", {}, say("worst")), model.farthest ? this.evidence : make("p", {}, say("worst unknown")),
    make("p", { className: "note" }, say("how good note", { model: settled.model })));
    this.look();
  }

  /** The picture of the worst samples, as soon as somebody looks: with the key, which an img would not send. */
  async look() {
    const { name, farthest } = this.model ?? {};
    if (!this.element.open || !farthest || this.pictured === name) return;
    this.pictured = name;
    URL.revokeObjectURL(this.worst.src);
    this.worst.removeAttribute("src");
    try {
      const picture = await (await ask(`models/${encodeURIComponent(name)}/farthest`)).blob();
      if (this.pictured === name && !this.worst.src) this.worst.src = URL.createObjectURL(picture); // two may be on their way
    } catch (error) {
      if (this.pictured !== name) return; // nobody waits for it any more
      this.pictured = null;
      this.onError(error);
    }
  }
}

/** Measurements that say the same, and differ by the precision alone, in one list: [[one, …], …]. */
function alike(found) {
  const lists = new Map();
  for (const one of found) {
    const key = JSON.stringify([conditionsOf({ ...one.metrics, computed_in: null }), one.figures]);
    lists.set(key, [...(lists.get(key) ?? []), one]);
  }
  return [...lists.values()];
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
