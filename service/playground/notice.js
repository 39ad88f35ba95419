// What went wrong, when to try again, and what would be cheaper.

import { say } from "./words.js";

export class Notice {
  /** element: has a paragraph with role=alert, and beside it the buttons again and cheaper: a countdown is no news.
   * `onRetry()` and `onCheaper(draft)` when they are pressed. */
  constructor(element, onRetry, onCheaper) {
    this.element = element;
    this.text = element.querySelector("p");
    [this.again, this.cheaper] = element.querySelectorAll("button");
    this.again.addEventListener("click", onRetry);
    this.cheaper.addEventListener("click", () => onCheaper(this.draft));
  }

  clear() {
    clearInterval(this.timer);
    this.element.hidden = true;
  }

  /** problem: told as it is; with a time to wait, that is counted down. draft: a cheaper choice, offered where this one is
   * too much for the service now; or null. */
  show({ message, status, retryAfter, tooMuch }, draft = null) {
    this.clear();
    this.text.textContent = message;
    this.again.hidden = status >= 400 && status < 500 && status !== 429; // asked again it would be refused again
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
