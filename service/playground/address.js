// The address of the page, which says what is shown.

import { asQuery } from "./link.js";

export const EMBEDDED = new URLSearchParams(location.search).get("embed") === "1"; // the page is in somebody else's

export class Address {
  /** whole: the link to the page out of its frame. */
  constructor(whole) {
    this.whole = whole;
  }

  get query() {
    return new URLSearchParams(location.search);
  }

  /** remember: it gets an entry of its own in the history. */
  show(settled, { remember = false } = {}) {
    const query = asQuery(settled);
    this.whole.href = `?${query}`;
    if (EMBEDDED) query.set("embed", "1");
    const link = `?${query}`;
    if (link === location.search) return;
    if (remember) history.pushState(null, "", link);
    else history.replaceState(null, "", link);
  }
}
