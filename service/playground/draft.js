// What can be shown at once of samples that take long: those of a few-step student, or of a few steps.

import { settle } from "./choice.js";
import { expectedSeconds } from "./cost.js";

// Seconds of the network: what is there sooner follows a hand. A movement may wait for the answer before its own, and HTTP
// and the page take about as long as the network does: both answers are there within 150 ms.
const AT_ONCE = 0.03;
const FEW = 4; // steps where there is no student
const WORTH = 0.5; // share of the time that a draft may take

/** A cheaper choice with the same seeds; null where the choice itself is there at once, or nothing is much cheaper.
 *
 * choice: what somebody chose, as for `settle`. → settled, with `student`: does a student draw it? */
export function draftOf(catalog, choice) {
  const whole = settle(catalog, choice);
  if (!whole) return null;
  const seconds = expectedSeconds(whole);
  if (seconds !== null && seconds <= AT_ONCE) return null;
  const drafts = [ofStudent(catalog, choice, whole), inFewSteps(catalog, whole)].filter(Boolean);
  return drafts.find((one) => seconds === null || expectedSeconds(one) <= WORTH * seconds) ?? null;
}

function ofStudent(catalog, choice, whole) {
  const isStudent = ({ model }) => whole.can.dataset.models.find((one) => one.name === model).few_step;
  const way = whole.can.ways.find((one) => one.guidance === whole.guidance && isStudent(one));
  if (!way || way.model === whole.model) return null;
  const { guidance_scale } = choice; // where nobody chose one, the student's own is the better one
  const own = { sampler: undefined, steps: undefined, eta: undefined, variance: undefined, guidance_interval: undefined };
  const usual = settle(catalog, { ...whole, ...own, guidance_scale, model: way.model });
  const late = expectedSeconds(usual) > AT_ONCE;
  return { ...(late ? settle(catalog, { ...usual, steps: 1 }) : usual), student: true };
}

/** By a sampler that draws no noise: in few steps it is the nearest to the whole. */
function inFewSteps(catalog, whole) {
  const smooth = Object.keys(catalog.samplers).filter((name) => {
    const { stochastic, evaluations_per_step: each } = catalog.samplers[name];
    return !stochastic && each === 1;
  });
  const sampler = smooth.includes(whole.sampler) ? whole.sampler : (smooth[0] ?? whole.sampler);
  const steps = whole.can.model.few_step ? 1 : Math.min(FEW, whole.steps);
  return { ...settle(catalog, { ...whole, sampler, steps, eta: undefined, resample: 1 }), student: false };
}
