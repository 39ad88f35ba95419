// The page's words, in the language that is chosen. Each language is one file with the same keys.

import { english } from "./words-en.js";

const CATALOGUES = { en: english };

export let language = "en";

/** The words of a key; `values` go into it. */
export function say(key, values = {}) {
  const words = CATALOGUES[language][key];
  if (words === undefined) throw new Error(`there are no words for ${key} in ${language}`);
  return typeof words === "function" ? words(values) : words;
}

/** Seconds, as precisely as somebody who waits wants to know them. */
export function seconds(value) {
  if (value < 0.95) return say("milliseconds", { value: Number((1000 * value).toPrecision(1)).toLocaleString(language) });
  if (value >= 90) return say("minutes", { value: Math.round(value / 60).toLocaleString(language) });
  return say("seconds", { value: (value < 10 ? value.toFixed(1) : Math.round(value)).toLocaleString(language) });
}
