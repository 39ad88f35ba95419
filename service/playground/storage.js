// What the browser keeps for the page: nothing where it blocks the data of sites, and then this page alone remembers.

const here = new Map();

/** kind: "localStorage" or "sessionStorage". null where nothing is kept. */
export function recall(kind, name) {
  try {
    return globalThis[kind].getItem(name) ?? here.get(name) ?? null;
  } catch {
    return here.get(name) ?? null;
  }
}

/** text: null forgets. */
export function remember(kind, name, text) {
  try {
    if (text === null) globalThis[kind].removeItem(name);
    else globalThis[kind].setItem(name, text);
    here.delete(name);
  } catch {
    here.set(name, text); // blocked, or full
  }
}
