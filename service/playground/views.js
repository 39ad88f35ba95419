// The views of the page: which one is open, and what of the page belongs to it.

import { say } from "./words.js";

export class Views {
  /** views: has a link for each view; lead: its sentence; drawing, picture, comparison: its parts. `onView(view)`. */
  constructor({ views: nav, lead, drawing, editing, picture, comparison, data }, onView) {
    Object.assign(this, { nav, lead, drawing, editing, picture, comparison, data });
    nav.addEventListener("click", (event) => {
      const view = event.target.dataset?.view;
      if (!view || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (onView(view)) event.preventDefault();
    });
  }

  mark(view) {
    for (const link of this.nav.querySelectorAll("a")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  show(view) {
    document.body.dataset.view = view;
    document.title = `Spirale: ${say(`page ${view}`)}`;
    this.lead.textContent = say(`lead ${view}`);
    this.drawing.hidden = view !== "draw";
    this.editing.hidden = view !== "edit";
    this.picture.hidden = view === "compare" || view === "data";
    this.data.hidden = view !== "data";
    this.comparison.hidden = view !== "compare";
  }
}
