// What went wrong, and when to try again.

import { say } from "./words.js";

export class Notice {
  /** element: role=alert, with a paragraph and a button. `onRetry()` when it is pressed. */
  constructor(element, onRetry) {
    this.element = element;
    this.text = element.querySelector("p");
    this.button = element.querySelector("button");
    this.button.addEventListener("click", onRetry);
  }

  clear() {
    clearInterval(this.timer);
    this.element.hidden = true;
  }

  /** problem: told as it is; with a time to wait, that is counted down. */
  show({ message, status, retryAfter }) {
    this.clear();
    this.text.textContent = message;
    this.button.hidden = status >= 400 && status < 500 && status !== 429; // asked again it would be refused again
    let left = retryAfter ?? 0;
    const count = () => {
      this.button.disabled = left > 0;
      this.button.textContent = left > 0 ? say("try again in", { left }) : say("try again");
      if (left-- <= 0) clearInterval(this.timer);
    };
    this.timer = setInterval(count, 1000);
    count();
    this.element.hidden = false;
  }
}
