// The ways to ask a dataset, as /models has them. The service alone decides what is possible: no rule stands here.
//
// `asks` says what samples are to show: "nothing" in particular, a "label", "each" label in turn, or a "prompt".

const WAY = { nothing: "nothing", label: "label", each: "label", prompt: "prompt" };

/** Are both asked in the same way, each class in turn as one of them? */
export const alike = (asks, other) => WAY[asks] === WAY[other];

/** The ways to ask for that, the usual one first. hint: the kind of picture that is followed, or null. */
export const waysTo = (dataset, asks, hint) =>
  dataset.ways.filter((way) => way.asks === WAY[asks] && way.hint === hint);

/** The guidance that some ways offer, the usual one first. */
export const guidancesOf = (ways) => [...new Set(ways.map((way) => way.guidance))];

/** What may be asked for: [{asks, label?}]. */
export function askable(dataset, hint) {
  const can = (asks) => waysTo(dataset, asks, hint).length > 0;
  const found = [];
  if (can("nothing")) found.push({ asks: "nothing" });
  if (can("label")) {
    if (!hint) found.push({ asks: "each" });
    found.push(...dataset.labels.map((label) => ({ asks: "label", label })));
  }
  if (can("prompt")) found.push({ asks: "prompt" });
  return found;
}
