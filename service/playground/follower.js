// One piece of work at a time, always for the latest wish: for what changes faster than it can be answered.

export class Follower {
  /** `work()` → a promise that never rejects. */
  constructor(work) {
    this.work = work;
    this.wanted = false;
    this.working = null; // a promise while there is work
  }

  /** Work now, or once more when the work under way is done; however often it is wished for meanwhile. Resolves when
   * nothing is wished for any more. */
  want() {
    this.wanted = true;
    this.working ??= this.go();
    return this.working;
  }

  async go() {
    while (this.wanted) {
      this.wanted = false;
      await this.work();
    }
    this.working = null;
  }

  /** Forget a wish that has not been begun. */
  forget() {
    this.wanted = false;
  }
}
