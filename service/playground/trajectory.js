// A run from its noise to its samples: what has come of it, frame by frame.

import { imageOf, cut } from "./pictures.js";

export class Trajectory {
  /** settled: what is sampled. Then `frames` are {step, of, timestep, x0, x_t}: points, or a part of a bitmap for each
   * image; x0 is null at step 0, and x_t where it was not asked for. `result` is null until the run is done. */
  constructor(settled) {
    const { n, can: { dataset } } = settled;
    Object.assign(this, { n, kind: dataset.kind, shape: dataset.shape, frames: [], result: null });
  }

  /** One `progress` event. */
  async add({ step, of, timestep, x_t, ...x0 }) {
    const [now, noisy] = await Promise.all([this.read(x0), this.read(x_t ?? {})]);
    this.frames.push({ step, of, timestep, x0: now, x_t: noisy });
  }

  /** The `result` event: what a run ends at is both x̂0 and x_t. */
  async done(result) {
    const end = this.kind === "points"
      ? result.points
      : (await Promise.all(result.images.map((image) => imageOf(image.b64_png)))).map((bitmap) => ({ bitmap }));
    const of = this.frames.at(-1)?.of ?? result.steps;
    this.frames.push({ step: of, of, timestep: 0, x0: end, x_t: end });
    this.result = result;
  }

  async read({ points, b64_png }) {
    if (points) return points;
    return b64_png ? cut(await imageOf(b64_png), this.n, this.shape) : null;
  }

  /** The i-th image's own run, as if it had been sampled alone: its seed gives it again. */
  alone(i) {
    const only = (parts) => parts && [parts[i]];
    const image = this.result.images[i];
    return Object.assign(Object.create(Trajectory.prototype), {
      ...this,
      n: 1,
      frames: this.frames.map((frame) => ({ ...frame, x0: only(frame.x0), x_t: only(frame.x_t) })),
      result: { ...this.result, seed: image.seed, images: [image] },
    });
  }
}
