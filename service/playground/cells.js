// The cells of a comparison, by one field or by two: each is a choice of its own, over the same seeds.

import { at } from "./choice.js";

// What is forgotten of the settings where another value is compared, because it belonged to that.
const BELONGS = { guidance: ["model", "guidance_scale", "guidance_interval"], model: ["guidance_scale", "guidance_interval"],
  sampler: ["eta", "variance"] };

/** A line for each value of `over`, with a cell for each value of `by`, or one: {asked, settled}, or null where what is
 * asked for is not possible together. */
export function cellsOf(catalog, settled) {
  const { over, values, by, by_values: others } = settled;
  const forgotten = [over, by].flatMap((field) => BELONGS[field] ?? []);
  const without = Object.fromEntries(forgotten.map((name) => [name, undefined]));
  return values.map((value) => (others ?? [null]).map((other) => {
    const asked = { [over]: value, ...(by && { [by]: other }) };
    const cell = at(catalog, settled, { ...without, ...asked });
    return Object.keys(asked).every((field) => cell[field] === asked[field]) ? { asked, settled: cell } : null;
  }));
}
