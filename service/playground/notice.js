// What went wrong, when to try again, and what would be cheaper.

import { say } from "./words.js";

export class Notice {
  /** element: has a paragraph with role=alert, and beside it the buttons again and cheaper: a countdown is no news.
   * `onCheaper(draft)` when the latter is pressed. */
  constructor(element, onCheaper) {
    this.element = element;
    this.text = element.querySelector("p");
    [this.again, this.cheaper] = element.querySelectorAll("button");
    this.again.addEventListener("click", () => {
      this.clear();
      this.retry();
    });
    this.cheaper.addEventListener("click", () => onCheaper(this.draft));
  }

  clear() {
    clearInterval(this.timer);
    this.element.hidden = true;
  }

  /** problem: told as it is; with a time to wait, that is counted down. retry: does again what failed, or null. draft: a
   * cheaper choice, offered where this one is too much for the service now; or null. */
  show({ message, status, retryAfter, tooMuch }, { retry = null, draft = null } = {}) {
    this.clear();
    this.text.textContent = message;
    this.retry = retry;
    const refused = status >= 400 && status < 500 && status !== 429; // asked again it would be refused again
    this.again.hidden = refused || !retry;
    this.draft = tooMuch ? draft : null;
    this.cheaper.hidden = !this.draft;
    if (this.draft) this.cheaper.textContent = say(draft.student ? "cheaper by a student" : "cheaper in few steps", draft);
    let left = retryAfter ?? 0;
    const count = () => {
      this.again.disabled = left > 0;
      this.again.textContent = left > 0 ? say("try again in", { left }) : say("try again");
      if (left-- <= 0) clearInterval(this.timer);
    };
    this.timer = setInterval(count, 1000);
    count();
    this.element.hidden = false;
  }
}
