// One of several: as chips, or as a list where they are many.

import { make } from "./elements.js";

const MOST_CHIPS = 14;
let made = 0;

export class Picker {
  /** `onPick(value)` when somebody picks another. */
  constructor(title, onPick) {
    this.name = `pick-${++made}`;
    this.title = title;
    this.onPick = onPick;
    this.note = make("p", { className: "note", hidden: true });
    this.element = make("fieldset", { className: "picker" });
    this.options = "";
  }

  /** options: [{value, text, note?}], values being strings; fewer than `least` are not worth showing. */
  show(options, value, least = 2) {
    this.element.hidden = options.length < least;
    const known = JSON.stringify(options);
    if (known !== this.options) this.build(options);
    this.options = known;
    if (this.list) this.list.value = value;
    for (const radio of this.element.querySelectorAll("input")) radio.checked = radio.value === value;
    const note = options.find((option) => option.value === value)?.note ?? "";
    this.note.textContent = note;
    this.note.hidden = !note;
  }

  build(options) {
    const picked = (event) => this.onPick(event.target.value);
    this.list = null;
    let body;
    if (options.length > MOST_CHIPS) {
      this.list = make("select", { onchange: picked, "aria-label": this.title });
      this.list.append(...options.map(({ value, text }) => make("option", { value, textContent: text })));
      body = this.list;
    } else {
      const chips = options.map(({ value, text }) =>
        make("label", { className: "chip" },
          make("input", { type: "radio", name: this.name, value, onchange: picked }), make("span", {}, text)));
      body = make("div", { className: "chips" }, ...chips);
    }
    this.element.replaceChildren(make("legend", {}, this.title), body, this.note);
  }
}
