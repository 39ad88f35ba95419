// A trajectory in time: frames as they come, shown no faster than eyes can follow, and again as often as one likes.

import { still } from "./elements.js";

const SECONDS = 1.8; // from noise to sample, at least
const SLOW = 5; // times as long in slow motion
const REST = 1.2; // seconds that a loop rests at its end

export class Player {
  /** `paint(position)`: between 0 and the last frame's number, fractions lying between two frames; `onMove()` after. */
  constructor(paint, onMove) {
    this.paint = paint;
    this.onMove = onMove;
    this.slow = this.loop = false;
    this.begin(0);
  }

  /** frames: how many are expected. latest: show each as soon as it is there, for what changes under one's hands. */
  begin(expected, { latest = false } = {}) {
    this.pause();
    this.pace = Math.max(1, expected - 1) / SECONDS; // frames a second
    this.latest = latest || still();
    this.count = 0;
    this.position = 0;
    this.following = true;
  }

  /** One more frame is there. */
  grew(count) {
    this.count = count;
    if (!this.following) return this.onMove();
    if (this.latest) return this.seek(count - 1, true);
    if (count === 1) this.moved(0);
    this.play();
  }

  seek(position, following = false) {
    this.pause();
    this.following = following;
    this.moved(Math.min(Math.max(0, position), Math.max(0, this.count - 1)));
  }

  replay() {
    if (still()) return this.step();
    this.following = true;
    if (this.position >= this.count - 1) this.position = 0;
    this.play();
  }

  /** Where nothing should move by itself, replay is one frame at a time. */
  step() {
    this.seek(this.position >= this.count - 1 ? 0 : Math.floor(this.position) + 1);
  }

  play() {
    if (this.request) return;
    let before = null;
    let rested = 0;
    const tick = (now) => {
      const last = this.count - 1;
      const seconds = (now - (before ?? now)) / 1000;
      before = now;
      if (this.loop && this.position >= last && (rested += seconds) > REST) this.position = rested = 0;
      else this.position = Math.min(last, this.position + (seconds * this.pace) / (this.slow ? SLOW : 1));
      this.request = this.position < last || (this.loop && last > 0) ? requestAnimationFrame(tick) : null;
      this.moved(this.position);
    };
    this.request = requestAnimationFrame(tick);
    this.onMove();
  }

  pause() {
    cancelAnimationFrame(this.request);
    this.request = null;
  }

  get playing() {
    return Boolean(this.request);
  }

  moved(position) {
    this.position = position;
    if (this.count) this.paint(position);
    this.onMove();
  }
}
