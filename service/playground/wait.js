// What is waited for, and for how long: a line on the picture, where one looks.

import { say, seconds } from "./words.js";

const PATIENCE = 400; // milliseconds that need no explanation
const LONG = 2; // seconds; a wait that is shorter is not announced

export class Wait {
  /** element: a paragraph over the picture. */
  constructor(element) {
    this.element = element;
  }

  /** Something was asked for that is expected to take so many seconds; null where that is not known. */
  begin(expected) {
    this.end();
    this.began = null;
    const long = expected !== null && expected >= LONG;
    const text = long ? say("expected", { time: seconds(expected) }) : say("asking");
    this.timer = setTimeout(() => this.tell(text), long ? 0 : PATIENCE);
  }

  /** A `waiting` event. */
  queued({ jobs, seconds: left }) {
    this.tell(say("waiting", { jobs, time: seconds(left) }));
  }

  /** A `progress` event. */
  at({ step, of }) {
    const now = performance.now();
    this.began ??= { now, step };
    const done = step - this.began.step;
    const left = done > 0 ? ((now - this.began.now) / 1000 / done) * (of - step) : null;
    if (left !== null && left >= 1) this.tell(say("running", { step, of, time: seconds(left) }));
    else if (step > 0) this.end();
  }

  /** So many of several requests are done. */
  counted(done, all) {
    if (done < all) this.tell(say("done so far", { done, all }));
  }

  tell(text) {
    clearTimeout(this.timer);
    this.element.textContent = text;
    this.element.hidden = false;
  }

  end() {
    clearTimeout(this.timer);
    this.element.hidden = true;
  }
}
