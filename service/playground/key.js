// The API key, where the service wants one. It is kept for this tab only, and sent to this service only.

import { recall, remember } from "./storage.js";
import { say } from "./words.js";

const KIND = "sessionStorage";
const NAME = "spirale-key";

export const key = {
  get value() {
    return recall(KIND, NAME) ?? "";
  },
  set value(text) {
    remember(KIND, NAME, text || null);
  },
};

/** Shows the field for the key when it is needed; `onKey` is called when one was given. */
export class KeyField {
  constructor(form, onKey) {
    this.form = form;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      key.value = form.elements.key.value.trim();
      form.hidden = true;
      onKey();
    });
  }

  /** For one, or for another: the one that is here is not taken, or no more. */
  ask() {
    this.form.hidden = false;
    this.form.querySelector("label").textContent = say(key.value ? "page key refused" : "page key");
    this.form.elements.key.value = key.value;
    this.form.elements.key.focus();
  }
}
