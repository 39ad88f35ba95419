// The quiet line at the bottom: what the device does, from /metrics.

import { ask, asProblem } from "./api.js";
import { language, say, seconds } from "./words.js";

const EVERY = 3000; // milliseconds
const SOON = 400; // until what was just asked for can be seen in /metrics
const WINDOW = 60_000; // milliseconds that the median is of: what was long ago tells nothing of now

export class Status {
  constructor(element) {
    this.element = element;
    this.device = "";
    this.turn = 0;
    this.seen = []; // what /metrics told within the window, the oldest first
    document.addEventListener("visibilitychange", () => this.turn && this.start());
  }

  /** Tell from now on, while the page can be seen; until a key is wanted that is not there. */
  async start() {
    const turn = ++this.turn;
    while (turn === this.turn && !document.hidden) {
      try {
        await this.tell();
      } catch (error) {
        this.seen = []; // the service may be another by the time it answers again
        const problem = asProblem(error);
        this.element.textContent = problem?.message ?? "";
        if (problem?.status === 401) return;
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  }

  /** The page has asked for something, or has got it: tell before it is time. */
  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), SOON);
  }

  async tell() {
    await ask("readyz");
    const now = { at: performance.now(), ...figures(await (await ask("metrics")).text()) };
    this.element.textContent = told(now, this.seen, this.device);
    this.seen = [...this.seen.filter(({ at }) => now.at - at < WINDOW), now];
  }
}

/** The text format of Prometheus → what the line tells. Sums go over devices, datasets and models. */
export function figures(text) {
  const found = { waiting: 0, active: 0, seconds: 0, evaluations: 0, latencies: new Map() };
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = /^(spirale_\w+)(\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name === "spirale_rows_queued") found.waiting += Number(value);
    if (name === "spirale_rows_active") found.active += Number(value);
    if (name === "spirale_queued_device_seconds") found.seconds += Number(value);
    if (name === "spirale_network_evaluations_total") found.evaluations += Number(value);
    if (name === "spirale_request_seconds_bucket" && !/outcome="(?!ok")/.test(labels)) {
      const bound = Number(/le="([^"]+)"/.exec(labels)[1].replace("+Inf", "Infinity"));
      found.latencies.set(bound, (found.latencies.get(bound) ?? 0) + Number(value));
    }
  }
  return found;
}

/** Where half of the requests lie below, between two bounds of a cumulative histogram {bound: count}; null of none. */
export function median(latencies) {
  const bounds = [...latencies].sort(([a], [b]) => a - b);
  const half = (bounds.at(-1)?.[1] ?? 0) / 2;
  let [low, below] = [0, 0];
  for (const [bound, count] of bounds) {
    if (count >= half && half > 0) return bound === Infinity ? low : low + ((half - below) / (count - below)) * (bound - low);
    [low, below] = [bound, count];
  }
  return null;
}

/** What a cumulative histogram has counted since an earlier one. */
export const since = (earlier, now) => new Map([...now].map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]));

function told(now, seen, device) {
  const before = seen.at(-1);
  const p50 = seen.length ? median(since(seen[0].latencies, now.latencies)) : null;
  const passed = before ? (now.at - before.at) / 1000 : 0;
  const rate = passed > 0 ? Math.max(0, now.evaluations - before.evaluations) / passed : 0;
  const busy = now.active + now.waiting;
  return [
    device,
    busy ? say("at work", { active: now.active, waiting: now.waiting, time: seconds(now.seconds) }) : say("idle"),
    rate >= 1 ? say("rate", { rate: Math.round(rate).toLocaleString(language) }) : null,
    p50 === null ? null : `p50 ${seconds(p50)}`,
  ].filter(Boolean).join(" · ");
}
