// A hand that moves a control: what can be drawn at once follows it, and what takes longer comes when it rests.

import { Follower } from "./follower.js";

const PAUSE = 250; // milliseconds without a movement, after which a hand rests

export class Live {
  /** `draw()` → a promise that never rejects: draws what can be drawn at once. `rest()` once, when the hand rests. */
  constructor({ draw, rest, pause = PAUSE }) {
    Object.assign(this, { rest, pause });
    this.follower = new Follower(draw);
    this.timer = null;
    this.moving = false;
  }

  /** follow: draw meanwhile; never more than one drawing is under way. */
  moved({ follow = true } = {}) {
    this.moving = true;
    clearTimeout(this.timer);
    const timer = (this.timer = setTimeout(async () => {
      await this.follower.working; // the last drawing is seen, also on a slow machine
      if (timer !== this.timer) return; // the hand has moved again, or was stopped
      this.moving = false;
      this.rest();
    }, this.pause));
    if (follow) this.follower.want();
  }

  /** Nothing is drawn for what was moved so far. */
  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.moving = false;
    this.follower.forget();
  }
}
