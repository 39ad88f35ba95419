// What /models says, and what follows from it: what may be asked of a dataset, and which model answers.
//
// `asks` is what the samples are to be of: "nothing" in particular, a "label", "each" label in turn, or a "prompt".

const READS = { nothing: null, label: "label", each: "label", prompt: "text" };
const BY_GRADIENT = { label: "classifier", each: "classifier", prompt: "clip" };

/** Are both answered in the same way, each class in turn as one of them? */
export const alike = (asks, other) => READS[asks] === READS[other];

/** The models that can answer, the one that does by default first.
 *
 * hint  the kind of picture that is to be followed, if any */
export function answering(dataset, asks, guidance, hint) {
  const models = dataset.models.filter((model) => !hint || model.controlnets.some((control) => control.kind === hint));
  if (asks !== "nothing" && guidance === BY_GRADIENT[asks]) {
    const steered = models.filter((model) => model.guidance_models.some((guide) => guide.guidance === guidance));
    return [...steered.filter((model) => model.conditioning === null), ...steered.filter((model) => model.conditioning === "label")];
  }
  const reading = models.filter((model) => model.conditioning === READS[asks]);
  return reading.length || asks !== "nothing" ? reading : models;
}

/** How labels or prompts can steer there, or a hint where there is neither; the usual way first. */
export function guidances(dataset, asks, hint) {
  if (asks === "nothing") return hint ? ["classifier-free", "none"] : [];
  const by = BY_GRADIENT[asks];
  const preferred = dataset.models.some((model) =>
    model.conditioning === null && model.guidance_models.some((guide) => guide.guidance === by && guide.default_for_prompts));
  const known = preferred ? [by, "classifier-free", "none"] : ["classifier-free", by, "none"];
  return known.filter((guidance) => answering(dataset, asks, guidance, hint).length);
}

/** What may be asked for: [{asks, label?}]. */
export function askable(dataset, hint) {
  const can = (asks) => guidances(dataset, asks, hint).length > 0;
  const found = [];
  if (answering(dataset, "nothing", null, hint).length) found.push({ asks: "nothing" });
  if (dataset.labels.length && can("label")) {
    if (!hint) found.push({ asks: "each" });
    found.push(...dataset.labels.map((label) => ({ asks: "label", label })));
  }
  if (dataset.prompts && can("prompt")) found.push({ asks: "prompt" });
  return found;
}

/** What the cards advise: {sampler, steps, eta, variance, guidance_scale}, the last null where nothing is scaled. */
export function adviceFor(model, { guidance, asks, hint }) {
  const { sampler, steps, guidance_scale } = steering(model, { guidance, asks, hint }) ?? model.defaults;
  const scaled = guidance !== null && guidance !== "none";
  return { ...model.defaults, sampler, steps, guidance_scale: scaled ? guidance_scale : null };
}

/** What steers the model besides itself, if anything: by its gradient, or by a hint that is alone. */
function steering(model, { guidance, asks, hint }) {
  if (hint && asks === "nothing") return model.controlnets.find((control) => control.kind === hint);
  return model.guidance_models.find((guide) => guide.guidance === guidance);
}
