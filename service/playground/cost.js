// What a request costs: network evaluations of a sample, and seconds on this device.

/** Network evaluations of one sample, by how the way's own defaults are counted in /models; within an interval of
 * guidance, at most so many. */
export function evaluations(settled) {
  const { sampler, steps, guidance, guidance_scale: scale, guidance_interval: interval, can } = settled;
  const off = guidance === "none" || isOff(guidance, scale);
  return Math.round(plain(sampler, steps, can, settled) * (off ? 1 : interval ? 2 : ofGuidance(can)));
}

/** Does guidance at this scale evaluate nothing besides the network? */
const isOff = (guidance, scale) => guidance === "auto" ? scale === 1 : scale === 0 || (guidance === "classifier-free" && scale === 1);

/** Seconds until n samples are there on an idle device; null before the model is warmed up. */
export function expectedSeconds(settled) {
  const { sampler, steps, n, controlled, can } = settled;
  const { engine } = can.model;
  if (!engine) return null;
  const passes = plain(sampler, steps, can, settled);
  const rows = (n * evaluations(settled)) / passes + (controlled ? n : 0); // a ControlNet's pass costs about as much as a network's
  return passes * passSeconds(engine, rows);
}

/** Network evaluations without guidance. The last step always takes one; from a picture on it is a part of the steps, and
 * where a part of it is redrawn all but the last are taken several times. */
function plain(sampler, steps, { samplers }, { strength = null, resample = null } = {}) {
  const taken = strength === null ? steps : Math.max(1, Math.ceil(steps * strength));
  return samplers[sampler].evaluations_per_step * (taken - 1) * (resample ?? 1) + 1;
}

/** How many times as many evaluations guidance takes: 2, or less of a model that guides itself or within an interval. */
function ofGuidance({ way, samplers }) {
  const { sampler, steps, guidance_scale: scale } = way.defaults;
  const share = way.network_evaluations / plain(sampler, steps, { samplers });
  const off = isOff(way.guidance, scale);
  return off ? 2 : share;
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
