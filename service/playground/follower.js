// One piece of work at a time, always for the latest wish: for what changes faster than it can be answered.

export class Follower {
  /** `work()` → a promise that never rejects. */
  constructor(work) {
    this.work = work;
    this.wanted = false;
    this.working = false;
  }

  /** Work now, or once more when the work under way is done; however often it is wished for meanwhile. */
  async want() {
    this.wanted = true;
    if (this.working) return;
    this.working = true;
    while (this.wanted) {
      this.wanted = false;
      await this.work();
    }
    this.working = false;
  }

  /** Forget a wish that has not been begun. */
  forget() {
    this.wanted = false;
  }
}
