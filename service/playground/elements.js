// Elements made in one line each.

/** <tag class=… {properties}>children</tag>; `properties` are the DOM's own, or attributes where it has none. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** The colours of the style sheet: they change with the theme. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** The number that a field takes and that is nearest to what is typed; NaN where no number is. */
export function nearestTaken({ valueAsNumber, min, max, step }) {
  const within = Math.min(Number(max), Math.max(Number(min), valueAsNumber));
  return step === "any" ? within : Math.round(within);
}

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
