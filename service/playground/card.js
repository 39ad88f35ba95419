// What is measured of a model: the figures of its card, each in one sentence.

import { language, say } from "./words.js";

// What a figure is shown as, in the order of what they say.
const SHOWN = {
  frechet_ratio: "times",
  sliced_wasserstein_ratio: "times",
  label_accuracy: "share",
  precision: "share",
  recall: "share",
  two_sample_accuracy: "share",
  agreement: "share",
  off_curve: "share",
};
const BRIEF = ["frechet_ratio", "sliced_wasserstein_ratio", "label_accuracy"]; // under a cell of a comparison

const number = (value, digits) => value.toLocaleString(language, { maximumFractionDigits: digits });
const share = (value) => (value).toLocaleString(language, { style: "percent", maximumFractionDigits: value > 0.995 || value < 0.01 ? 2 : 0 });
const shown = (name, value) => (SHOWN[name] === "share" ? share(value) : number(value, 2));

/** The card's measurements: [{title, settings, figures: [{name, value, sentence}]}], of the model and what guides it. */
export function measurements({ can: { model, way }, guidance }) {
  const guides = guidance === "none" ? [] : model.guidance_models.filter((one) => one.guidance === guidance);
  const nets = model.controlnets.filter((one) => one.kind === way.hint);
  const entries = [
    ...Object.entries(model.metrics),
    ...guides.flatMap((one) => Object.entries(one.metrics).filter(([title]) => one.guidance === "auto" || title === `guiding ${model.name}`)),
    ...nets.flatMap((one) => Object.entries(one.metrics)),
  ];
  return entries.map(([title, metrics]) => ({ title, metrics, figures: figuresOf(metrics) })).filter(({ figures }) => figures.length);
}

function figuresOf(metrics) {
  return Object.keys(SHOWN).filter((name) => typeof metrics[name] === "number").map((name) => ({
    name,
    value: shown(name, metrics[name]),
    sentence: say(`card ${name}`, { value: shown(name, metrics[name]),
      floor: share(metrics.agreement_floor ?? 0), ceiling: share(metrics.agreement_ceiling ?? 0) }),
  }));
}

/** Are samples copies of training rows? One sentence. A share counts as more than chance beyond three deviations of it. In
 * a table of few values rows are equal by chance. */
export function memorisation({ can: { model } }) {
  const found = model.metrics.memorisation ?? {};
  const { samples, nearer_than_real: near, nearer_than_real_by_chance: chance } = found;
  const { equal_to_training: equal, equal_to_training_of_real: real } = found;
  if (equal !== undefined) return say("copies equal", { value: share(equal), real: share(real) });
  if (near === undefined) return say("copies unknown");
  const more = near > chance + 3 * Math.sqrt((chance * (1 - chance)) / samples);
  return say(more ? "copies some" : "copies none", { value: share(near), chance: share(chance) });
}

/** What was measured with just these settings, in a few words; "" where nothing was. */
export function brief(settled) {
  const { sampler, steps, guidance_scale: scale, guidance } = settled;
  const found = measurements(settled).find(({ metrics }) => metrics.sampler === sampler && metrics.steps === steps
    && (metrics.guidance_scale === scale || guidance === "none" || scale === null));
  const figures = found?.figures.filter(({ name }) => BRIEF.includes(name)) ?? [];
  return figures.map(({ name, value }) => say(`brief ${name}`, { value })).join(", ");
}
