// Which colour is which class.

import { COLOURS } from "./cloud.js";
import { make } from "./elements.js";
import { say } from "./words.js";

/** Items for the classes of points, for the real ones, and for arrows; none for images, which show what they are. */
export function legendOf({ can, asks }, classes, { field = false } = {}) {
  if (can.dataset.kind !== "points") return [];
  const item = (key, text) => make("li", { className: key }, text);
  const numbers = [...new Set(classes)].filter((number) => number >= 0).sort((a, b) => a - b).slice(0, COLOURS);
  return [
    ...numbers.filter((number) => number in can.labels).map((number) => item(`class-${number}`, can.labels[number])),
    ...(can.model.reference ? [item("real", say("real"))] : []),
    ...(field ? [item("arrow score", say("legend score"))] : []),
    ...(field && asks === "label" ? [item("arrow added", say("legend added"))] : []),
  ];
}
