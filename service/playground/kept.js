// Runs that are done: what was drawn once is not sampled again to be looked at, or to be taken along.

const MOST = 12;

export class Kept {
  constructor(most = MOST) {
    this.most = most;
    this.runs = new Map(); // the longest unused first
  }

  /** request: the body that was asked for. null where its run is not kept. */
  get(request) {
    const key = JSON.stringify(request);
    const run = this.runs.get(key) ?? null;
    if (run) this.put(request, run);
    return run;
  }

  put(request, run) {
    const key = JSON.stringify(request);
    this.runs.delete(key);
    this.runs.set(key, run);
    if (this.runs.size > this.most) this.runs.delete(this.runs.keys().next().value);
  }

  /** The models are others now, or may be. */
  clear() {
    this.runs.clear();
  }
}
