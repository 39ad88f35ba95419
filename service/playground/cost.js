// What a request costs: network evaluations of a sample, and seconds on this device.

/** Network evaluations of one sample, by how the way's own defaults are counted in /models; within an interval of
 * guidance, at most so many. */
export function evaluations(settled) {
  const { sampler, steps, guidance, guidance_scale: scale, can } = settled;
  const off = guidance === "none" || isOff(guidance, scale);
  return Math.round(plain(sampler, steps, can, settled) * (off ? perStep(settled, 1) : guided(settled)));
}

/** Does guidance at this scale evaluate nothing besides the network? */
const isOff = (guidance, scale) => guidance === "auto" ? scale === 1 : scale === 0 || (guidance === "classifier-free" && scale === 1);

/** Seconds until n samples are there on an idle device; null before the model is warmed up. */
export function expectedSeconds(settled) {
  const { sampler, steps, n, can } = settled;
  const { engine } = can.model;
  if (!engine) return null;
  const passes = plain(sampler, steps, can, settled);
  return passes * passSeconds(engine, (n * evaluations(settled)) / passes);
}

/** Network evaluations without guidance. The last step always takes one; from a picture on it is a part of the steps, and
 * where a part of it is redrawn all but the last are taken several times. */
function plain(sampler, steps, { samplers }, { strength = null, resample = null } = {}) {
  const taken = strength === null ? steps : Math.max(1, Math.ceil(Number((steps * strength).toFixed(9)))); // 50 × 0.14 is 7
  return samplers[sampler].evaluations_per_step * (taken - 1) * (resample ?? 1) + 1;
}

/** Network evaluations of one step in so many halves of guidance. The ControlNet takes as many; only one where the hint
 * is all that is asked, because the other half is without it. */
const perStep = ({ asks, controlled }, halves) => halves + (controlled ? (asks === "nothing" ? 1 : halves) : 0);

/** The same of a guided step: two halves, but fewer of a model that guides itself, or whose other network is smaller. */
function guided(settled) {
  const { way, samplers } = settled.can;
  const { sampler, steps, guidance_scale: scale, guidance_interval: interval } = way.defaults;
  if (interval || isOff(way.guidance, scale)) return perStep(settled, 2);
  return way.network_evaluations / plain(sampler, steps, { samplers });
}

/** Seconds of one pass of so many rows: between the sizes that are timed, evenly; beyond the fastest, at its rate. */
function passSeconds({ network_evaluations_per_second: rates, knee }, rows) {
  const timed = Object.entries(rates).map(([size, rate]) => [Number(size), Number(size) / rate]);
  const above = timed.find(([size]) => size >= rows);
  const below = timed.findLast(([size]) => size <= rows);
  if (!above || rows >= knee) return rows / (rates[knee] ?? Math.max(...Object.values(rates)));
  if (!below || above[0] === below[0]) return above[1];
  return below[1] + ((rows - below[0]) / (above[0] - below[0])) * (above[1] - below[1]);
}
