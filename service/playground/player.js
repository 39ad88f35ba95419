// A trajectory in time: frames as they come, shown no faster than eyes can follow, and again as often as one likes.

import { still } from "./elements.js";

const SECONDS = 1.8; // from noise to sample, at least

export class Player {
  /** `paint(position)`: between 0 and the last frame's number, fractions lying between two frames; `onMove()` after. */
  constructor(paint, onMove) {
    this.paint = paint;
    this.onMove = onMove;
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
    const tick = (now) => {
      const last = this.count - 1;
      this.position = Math.min(last, this.position + ((now - (before ?? now)) / 1000) * this.pace);
      before = now;
      this.request = this.position < last ? requestAnimationFrame(tick) : null;
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
