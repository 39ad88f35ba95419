// A choice as the query of a link, and what became of a link that asks for what is not here.

import { axesAsText, axesIn } from "./axes.js";
import { decodeStrokes } from "./strokes.js";
import { say } from "./words.js";

// As GET /sample has them, so that /sample?… is the picture of /?… where it can be asked so.
const TEXTS = [
  "view", "dataset", "model", "label", "prompt", "guidance", "guidance_interval", "sampler", "variance", "hint", "over", "by",
  "screen", "format", "distinct",
];
const NUMBERS = ["guidance_scale", "steps", "step", "eta", "n", "seed", "seed_to", "mix", "strength", "resample", "hint_scale", "judge"];
const NAMED = ["sampler", "guidance", "model", "variance"]; // compared over all their values
const COMPARED = { values: "over", by_values: "by" }; // the values of which field
const OTHERS = ["labels", ...Object.keys(COMPARED), "drawing", "strokes", "look", "axes", "embed", "counts", "picture", "mask"];
const PNG = "iVBORw0KGgo"; // what a PNG's base64 begins with
const PICTURES = ["picture", "mask"];
const MOST_LETTERS = 20_000; // of a picture in an address: servers take no longer ones
export const SIDE = 224; // pixels of the pad that strokes are drawn on

/** A settled choice → the query of a link that shows the same. */
export function asQuery(settled) {
  const query = new URLSearchParams();
  for (const name of [...TEXTS, ...NUMBERS]) {
    if (settled[name] !== null && settled[name] !== undefined) query.set(name, settled[name]);
  }
  if (settled.view === "generate") query.delete("view");
  if (settled.asks === "each") query.set("labels", "each");
  for (const [name, field] of Object.entries(COMPARED)) {
    if (settled[name] && !NAMED.includes(settled[field])) query.set(name, settled[name].join(","));
  }
  if (settled.counts) query.set("counts", settled.counts.join(","));
  const { axes, columns } = settled.can.dataset;
  if (settled.axes && String(settled.axes) !== String(axes)) query.set("axes", axesAsText(settled.axes, columns));
  if (settled.look.length) query.set("look", settled.look.join(","));
  if (settled.drawing) {
    query.set("drawing", urlSafe(settled.drawing));
    if (settled.strokes) query.set("strokes", settled.strokes);
  }
  for (const name of PICTURES) {
    if (settled[name]?.length <= MOST_LETTERS) query.set(name, urlSafe(settled[name]));
  }
  return query;
}

/** The other way: a choice. */
export function fromQuery(query) {
  const choice = {};
  for (const name of [...TEXTS, ...NUMBERS, "strokes"]) if (query.has(name)) choice[name] = query.get(name);
  choice.asks = query.has("prompt") ? "prompt" : query.has("label") ? "label" : query.get("labels");
  if (!choice.asks) choice.asks = query.has("dataset") ? "nothing" : undefined;
  if (query.has("look")) choice.look = query.get("look").split(",");
  if (query.has("axes")) choice.axes = query.get("axes").split(",").map((one) => one.trim());
  if (query.has("counts")) choice.counts = query.get("counts").split(",");
  for (const name of Object.keys(COMPARED)) if (query.has(name)) choice[name] = query.get(name).split(",");
  const drawing = fromUrlSafe(query.get("drawing") ?? "");
  if (drawing.startsWith(PNG)) choice.drawing = drawing;
  for (const name of PICTURES) {
    const picture = fromUrlSafe(query.get(name) ?? "");
    if (picture.startsWith(PNG)) choice[name] = picture;
  }
  if (!choice.drawing || !decodeStrokes(choice.strokes ?? "", SIDE)) delete choice.strokes;
  return choice;
}

/** What a link asked for that is not what is shown, in one sentence, and one more on its drawing; "" where all is shown. */
export function corrections(query, settled) {
  const shown = { ...settled, label: settled.asks === "each" ? say("each class") : settled.label };
  const found = [];
  for (const [name, given] of query) {
    const used = shown[name] ?? null;
    const known = TEXTS.includes(name) || NUMBERS.includes(name);
    if (OTHERS.includes(name) || given === "" || (name === "drawing" && settled.drawing)) continue;
    if (known && (NUMBERS.includes(name) ? Number(given) === used : given === String(used))) continue;
    found.push(used === null || !known
      ? say("corrected away", { name, given: short(given) })
      : say("corrected to", { name, given: short(given), used }));
  }
  const labels = query.get("labels");
  if (labels && labels !== settled.asks) found.push(say("corrected away", { name: "labels", given: short(labels) }));
  const look = query.get("look")?.split(",").filter((name) => !settled.look.includes(name));
  if (look?.length) found.push(say("corrected away", { name: "look", given: short(look.join(", ")) }));
  const { axes } = fromQuery(query);
  const pair = axesIn(axes, settled.can.dataset.columns);
  if (axes && (!pair || String(pair) !== String(settled.axes))) {
    found.push(say("corrected away", { name: "axes", given: short(query.get("axes")) }));
  }
  for (const name of Object.keys(COMPARED)) {
    const values = query.get(name)?.split(",").filter((value) => !settled[name]?.includes(Number(value)));
    if (values?.length) found.push(say("corrected away", { name, given: short(values.join(", ")) }));
  }
  const told = found.length ? [say("link corrected", { changes: found.join("; ") })] : [];
  if (settled.hint && query.has("drawing")) {
    if (!settled.drawing) told.push(say("drawing unreadable"));
    else if (!settled.strokes) told.push(say("pad is empty"));
  }
  return told.join(" ");
}

const short = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);
const urlSafe = (base64) => base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const fromUrlSafe = (text) => text.replaceAll("-", "+").replaceAll("_", "/").padEnd(Math.ceil(text.length / 4) * 4, "=");
