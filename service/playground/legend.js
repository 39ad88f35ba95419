// Which colour is which class.

import { COLOURS } from "./cloud.js";
import { make } from "./elements.js";
import { say } from "./words.js";

/** Items for the classes of points, and for the real ones; none for images, which show what they are. */
export function legendOf({ can, asks }, classes) {
  if (can.dataset.kind !== "points") return [];
  const item = (key, text) => make("li", { className: key }, text);
  const numbers = asks === "nothing" ? [] : [...new Set(classes)].slice(0, COLOURS);
  return [
    ...numbers.map((number) => item(`class-${number}`, can.labels[number])),
    ...(can.model.reference ? [item("real", say("real"))] : []),
  ];
}
