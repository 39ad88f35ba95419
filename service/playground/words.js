// The page's words, in the language that is chosen. Each language is one file, words-….js, with the same keys.

import { LANGUAGES } from "./languages.js";
import { recall, remember } from "./storage.js";

const KIND = "localStorage";
const KEPT = "spirale-language";
// Spaces at which no line may end: between a number and its unit, and inside of French punctuation.
const UNBROKEN = /(?<=\d) (?=(?:ms|s|min|kB|MB|ko|Mo|%)(?!\p{L}))| (?=[;:?!»])|(?<=«) /gu;

/** What somebody chose, else the first of the browser's languages that there is. */
function chosen() {
  const wanted = [recall(KIND, KEPT), ...(globalThis.navigator?.languages ?? [])];
  return wanted.map((one) => one?.slice(0, 2)).find((one) => LANGUAGES.includes(one)) ?? "en";
}

export const language = chosen();
const { words, samplers, etas } = await import(`./words-${language}.js`);

/** The words of a key; `values` go into it. */
export function say(key, values = {}) {
  const found = words[key];
  if (found === undefined) throw new Error(`there are no words for ${key} in ${language}`);
  return (typeof found === "function" ? found(values) : found).replace(UNBROKEN, "\u00a0");
}

/** One line on a sampler: the language's own, else the service's. */
export function sayOfSampler(name, { title, explanation }) {
  return samplers[name]?.replace(UNBROKEN, "\u00a0") ?? `${title}: ${explanation}`;
}

/** One line on a sampler's η, in the same way. */
export function sayOfEta(name, { explanation }) {
  return etas[name]?.replace(UNBROKEN, "\u00a0") ?? explanation;
}

/** Seconds, as precisely as somebody who waits wants to know them. */
export function seconds(value) {
  if (value < 0.95) return say("milliseconds", { value: Number((1000 * value).toPrecision(1)).toLocaleString(language) });
  if (value >= 90) return say("minutes", { value: Math.round(value / 60).toLocaleString(language) });
  const rounded = value < 10 ? Number(value.toFixed(1)) : Math.round(value);
  return say("seconds", { value: rounded.toLocaleString(language) });
}

/** What a language calls itself. */
export function nameOf(other) {
  const name = new Intl.DisplayNames(other, { type: "language" }).of(other);
  return name[0].toLocaleUpperCase(other) + name.slice(1);
}

/** The page's own words, and a button for each other language: the page begins anew with it, at the same address. */
export function dress(page, languages) {
  page.documentElement.lang = language;
  for (const one of page.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  for (const one of page.querySelectorAll("[data-label]")) one.setAttribute("aria-label", say(one.dataset.label));
  for (const one of page.querySelectorAll("[data-title]")) one.title = say(one.dataset.title);
  for (const other of LANGUAGES.filter((name) => name !== language)) {
    const button = page.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", lang: other, textContent: nameOf(other) });
    button.addEventListener("click", () => {
      remember(KIND, KEPT, other);
      location.reload();
    });
    languages.append(button);
  }
}
