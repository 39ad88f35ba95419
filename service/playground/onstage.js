// What is on the stage: samples of what was wanted, or a draft of them.

import { asRequest, settle } from "./choice.js";
import { expectedSeconds } from "./cost.js";
import { Kept } from "./kept.js";
import { language, say } from "./words.js";

/** What has to be there before anything can be sampled; null where nothing is lacking. */
export function lacks(settled, easels) {
  if (easels[settled.view]?.lacks(settled)) return "a picture";
  return settled.asks === "prompt" && !settled.prompt ? "words" : null;
}

export class OnStage {
  /** stage: a Stage; easels: by view, where hands make a part of the request; label: an element that says that a draft
   * is shown. */
  constructor({ stage, easels, label }) {
    Object.assign(this, { stage, easels, label });
    this.kept = new Kept();
    this.clear();
  }

  /** The models are others now, or may be. */
  renew(catalog) {
    this.catalog = catalog;
    this.kept.clear();
    this.stage.renew();
  }

  /** Nothing is there. */
  clear() {
    this.shown = null; // {settled, run}: samples that are done
    this.drafted = null; // what a draft is shown of, as `wish` has it
    this.label.hidden = true;
  }

  /** What is wished for, as text: two of the same give the same picture. */
  wish(settled) {
    return [settled.view, this.easels[settled.view]?.version, JSON.stringify(asRequest(settled))].join(" ");
  }

  /** The samples that are here are seen in another way. → are they those of `settled`? Else they keep what they are of. */
  relabel(settled) {
    const same = this.shown !== null && this.wish(this.shown.settled) === this.wish(settled);
    if (same) this.shown.settled = settled;
    return same;
  }

  /** Bring samples here. again: sample them even where they are kept; over: see Stage.sample.
   *
   * Resolves to how the hand's part was understood, as a choice has it; null where the hand has gone on. Throws as
   * Stage.sample. */
  async bring(wanted, signal, { again = false, over = false } = {}) {
    const easel = this.easels[wanted.view];
    const fields = easel?.fields(wanted) ?? null;
    const before = easel?.version;
    const found = again || fields ? null : this.kept.get(asRequest(wanted));
    const done = found ?? (await this.stage.sample(wanted, signal, { fields, over, expected: expectedSeconds(wanted) }));
    if (found) await this.stage.show(wanted, found, signal);
    signal.throwIfAborted();
    this.clear();
    const understood = (await easel?.understood(done.result, signal, wanted)) ?? {};
    if (easel?.version !== before) return null;
    const exactly = settle(this.catalog, { ...wanted, ...understood });
    this.kept.put(asRequest(exactly), done);
    this.shown = { settled: exactly, run: this.stage.run };
    if (wanted.step !== null) this.stage.goTo(wanted.step);
    return understood;
  }

  /** Show at once what can be: a draft, or the samples themselves, of whose way there is little to see. */
  async follow(wanted, draft, signal) {
    const asked = draft ?? wanted;
    const easel = this.easels[wanted.view];
    const before = this.wish(wanted);
    const fields = easel?.fields(asked) ?? null;
    const done = await this.stage.sample(asked, signal, { fields, over: true, brief: true, expected: expectedSeconds(asked) });
    this.clear();
    this.mark(draft);
    await easel?.understood(done.result, signal, asked);
    this.drafted = before;
  }

  mark(draft) {
    this.label.hidden = !draft;
    if (!draft) return;
    const guidance_scale = draft.guidance_scale?.toLocaleString(language) ?? null;
    this.label.textContent = say(draft.student ? "draft of a student" : "draft in few steps", { ...draft, guidance_scale });
  }

  /** One of several images by itself: it has been sampled, and is kept as `alone`. */
  keepAlone(i, alone) {
    if (this.shown?.run === this.stage.run) this.kept.put(asRequest(alone), this.stage.run.alone(i));
  }
}
