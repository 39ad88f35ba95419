// The score field of a model of points, as it is asked of the service: one request under way, for the latest wish.

import { askJson } from "./api.js";
import { Follower } from "./follower.js";

const SIDE = 21; // arrows a side
const MOST = 60; // fields that are kept
const FINE = 1e-6; // of an area's width, or height

export class ScoreField {
  /** `onField()` when another field is there. `onError(error)`. */
  constructor(onField, onError) {
    Object.assign(this, { onField, onError });
    this.kept = new Map();
    this.follower = new Follower(() => this.fetch());
  }

  /** The field at a timestep over an area, if it is here; else null, and it is asked for.
   *
   * {points, plain, added}: where the arrows stand, ∇ log p(x_t), and what guidance to a label adds or null. */
  at(settled, timestep, area) {
    const wish = { settled, timestep, area };
    const found = this.kept.get(keyOf(wish));
    if (found === undefined) {
      this.wish = wish;
      this.follower.want();
    }
    return found ?? null;
  }

  async fetch() {
    const { wish } = this;
    const key = keyOf(wish);
    if (this.kept.has(key)) return;
    try {
      const [plain, guided] = await Promise.all(queriesOf(wish).map((query) => askJson(`score?${query}`)));
      const added = guided?.score.map((arrow, i) => arrow.map((value, axis) => value - plain.score[i][axis])) ?? null;
      this.keep(key, { points: plain.points, plain: plain.score, added });
      this.onField();
    } catch (error) {
      if (error.refused) this.keep(key, null); // it would be refused again, at each frame
      this.onError(error);
    }
  }

  /** field: null of one that is refused. */
  keep(key, field) {
    if (this.kept.size >= MOST) this.kept.delete(this.kept.keys().next().value);
    this.kept.set(key, field);
  }

  /** The models are others now, or may be. */
  clear() {
    this.kept.clear();
  }
}

const keyOf = (wish) => queriesOf(wish).join(" ");

/** [left, right, bottom, top] without digits that nobody sees: by width and height, for an area may be small and far off. */
const rounded = ([left, right, bottom, top]) => [...ends(left, right), ...ends(bottom, top)];

function ends(low, high) {
  const digits = Math.min(100, Math.max(0, Math.ceil(-Math.log10(FINE * (high - low)))));
  return [low, high].map((value) => Number(value.toFixed(digits)));
}

/** The unconditional field, and with a label the guided one. */
function queriesOf({ settled, timestep, area }) {
  const { dataset, model, asks, label, guidance } = settled;
  const shared = { dataset, model, timestep, side: SIDE, area: rounded(area).join(",") };
  const plain = new URLSearchParams(shared);
  if (asks !== "label") return [plain];
  const guided = new URLSearchParams({ ...shared, label, guidance });
  for (const name of ["guidance_scale", "guidance_interval"]) {
    if (settled[name] !== null) guided.set(name, settled[name]);
  }
  return [plain, guided];
}
