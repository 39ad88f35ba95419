// What has been chosen on the page: filled in from the catalogue, and as a request.
//
// A choice has only what somebody chose; `settle` fills in the rest and drops what does not apply.

import { axesIn } from "./axes.js";
import { askable, guidancesOf, waysTo } from "./catalog.js";

export const VIEWS = ["generate", "draw", "edit", "compare", "data"];
export const FOLLOWING = ["generate", "draw", "edit"]; // the views in which samples follow a hand
export const FORMATS = { images: ["parquet", "webdataset", "imagefolder", "npy"], points: ["csv", "parquet", "npy"] }; // of jobs, the usual one first
const EACH = 100; // rows of a class that a job is proposed with
const MOST_ROWS = 10_000_000; // of a job
export const MAX_SEED = Number.MAX_SAFE_INTEGER; // the service takes more, but JavaScript would round it
const MOST_EACH = 20; // labels that are shown one of each by default
const EDITED = 4; // samples that begin from a picture
const COMPARED = 6; // images in a line …
const MOST_COMPARED = 10; // … and where there is one of each class
const MOST_VALUES = 12;
const MOST_CELLS = 60; // of a comparison by two fields
const STEPS = [1, 2, 3, 5, 10, 20, 50];
const FEW_STEPS = [1, 3, 10]; // beside another field, where a cell has an image of every class
const SCALES = { "classifier-free": [0, 1, 1.5, 2, 4, 8], classifier: [0, 1, 2, 4, 8, 16], clip: [0, 1, 2, 4, 8, 16], auto: [1, 1.5, 2, 2.5, 3, 4] };

// What may be seen of a run besides x̂0, of which datasets and models.
const flat = ({ kind, shape }) => kind === "points" && shape[0] === 2;
const plain = ({ table }) => !table.length; // others are rounded to their columns' values, where no score points to
const scored = (dataset, model) => flat(dataset) && plain(dataset) && !model.few_step; // the x̂0 of a student is no posterior mean
const LOOKS = { x_t: () => true, both: () => true, forward: () => true, paths: flat, field: scored };

export const mayBeSeen = (look, dataset, model) => look in LOOKS && LOOKS[look](dataset, model);

export const drawnSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

const edits = (way) => way.hint === null && way.edits.includes("mask"); // may its samples begin from any picture?

/** The datasets that a view can show: {name: dataset}. */
export function datasetsFor(catalog, view) {
  const all = Object.entries(catalog.datasets);
  const can = { draw: (dataset) => dataset.controls.length, edit: (dataset) => dataset.ways.some(edits) };
  return Object.fromEntries(all.filter(([, dataset]) => can[view]?.(dataset) ?? true));
}

/** The choice with everything that applies filled in, and `catalog`'s own dataset, model and options beside it.
 *
 * What is not possible falls back to what is. null where the view has nothing to show. */
export function settle(catalog, choice) {
  const view = VIEWS.includes(choice.view) ? choice.view : "generate";
  const datasets = datasetsFor(catalog, view);
  const names = Object.keys(datasets);
  if (!names.length) return null;
  const name = pick(choice.dataset, names, names.find((one) => datasets[one].kind === "images") ?? names[0]);
  const dataset = datasets[name];

  const hint = view === "draw" ? pick(choice.hint, dataset.controls, dataset.controls.at(-1)) : null;
  const redraws = view === "edit" && Boolean(choice.picture && choice.mask);
  const waysThere = (asks) => waysOf(dataset, asks, hint, view, redraws);
  const unasked = { data: "label", edit: "each" }[view]; // there it is counts; here all is of one picture
  const possible = askable(dataset, hint).filter((one) => one.asks !== unasked && waysThere(one.asks).length);
  const first = hint || view === "edit" ? possible[0] : (possible.find((one) => one.asks === "each") ?? possible[0]);
  const { asks, label } =
    possible.find((one) => one.asks === choice.asks && (one.asks !== "label" || one.label === choice.label)) ?? first;
  const ways = waysThere(asks);
  const guidances = guidancesOf(ways);
  const guidance = pick(choice.guidance, guidances, guidances[0]);
  const guided = ways.filter((way) => way.guidance === guidance);
  const student = (one) => view === "data" && dataset.models.some(({ name, few_step: few }) => few && name === one.model);
  const way = guided.find((one) => one.model === choice.model) ?? guided.find(student) ?? guided[0]; // many rows, cheaply
  const model = dataset.models.find((one) => one.name === way.model);
  const { T } = model;
  const labels = model.labels.length ? model.labels : dataset.labels; // in the order of its classes

  const advised = way.defaults;
  const few = model.few_step ?? null; // a student takes nothing else
  const samplers = few ? { [few.sampler]: catalog.samplers[few.sampler] } : catalog.samplers;
  const sampler = pick(choice.sampler, Object.keys(samplers), advised.sampler);
  const { options } = catalog.samplers[sampler];
  const scale = advised.guidance_scale === null ? null : within(choice.guidance_scale, ...scalesOf(model), advised.guidance_scale);
  const models = guided.map((one) => one.model);
  const anyGuidance = [choice.over, choice.by].includes("guidance");
  const named = {
    sampler: Object.keys(samplers),
    guidance: guidances,
    model: anyGuidance ? [...new Set(ways.map((one) => one.model))] : models,
    variance: options.variance ? model.variances : [],
  };
  const overs = oversOf(advised, named);
  const over = view === "compare" ? pick(choice.over, overs, "steps") : null;
  const bys = over ? overs.filter((one) => one !== over) : [];
  const by = pick(choice.by, bys, null);
  const n = whole(choice.n, 1, dataset.max_n, usualN(view, dataset, asks));
  const seed = whole(choice.seed, 0, MAX_SEED, null) ?? drawnSeed();
  const variance = options.variance ? pick(choice.variance, model.variances, advised.variance) : null;
  const walks = view === "generate" && way.edits.includes("seed_to");
  const compared = (field, chosen) => field
    && (named[field] ?? values(field, chosen, { guidance, model, seed, n, asks, kind: dataset.kind, grid: by !== null }));
  const overValues = compared(over, choice.values);
  const seedTo = walks ? whole(choice.seed_to, 0, MAX_SEED, null) : null;
  return {
    view,
    screen: choice.screen === "1" ? "1" : undefined,
    dataset: name,
    model: model.name,
    asks,
    label,
    prompt: asks === "prompt" ? (choice.prompt ?? dataset.prompts.examples[0] ?? "") : undefined,
    guidance,
    guidance_scale: scale,
    guidance_interval: guidance === "classifier-free" && scale > 1 // a smaller scale would not hold outside it
      ? interval(choice.guidance_interval) ?? advised.guidance_interval : null,
    sampler,
    steps: few ? nearest(choice.steps, few.steps, advised.steps) : whole(choice.steps, 1, T, advised.steps),
    eta: few ? null : options.eta ? within(choice.eta, ...options.eta.bounds, advised.eta) : null,
    variance,
    n,
    seed,
    seed_to: seedTo,
    mix: seedTo === null ? null : within(choice.mix, 0, 1, 0.5),
    picture: view === "edit" ? choice.picture : undefined,
    mask: redraws ? choice.mask : undefined,
    strength: view === "edit" ? within(choice.strength, 0, 1, redraws ? 1 : 0.5) : null,
    resample: redraws && variance !== "learned" ? whole(choice.resample, 1, 20, advised.resample) : null,
    controlled: way.hint !== null, // does a ControlNet take part?
    hint,
    hint_scale: hint && within(choice.hint_scale, 0, 2, advised.control_scale),
    drawing: hint ? choice.drawing : undefined,
    strokes: hint ? choice.strokes : undefined,
    step: FOLLOWING.includes(view) ? whole(choice.step, 0, 1e6, null) : null, // that a link opens at; null is the last one
    look: view === "compare" ? [] : (choice.look ?? []).filter((name) => mayBeSeen(name, dataset, model)),
    axes: dataset.kind === "points" && view !== "data" ? axesOf(choice.axes, dataset) : null,
    counts: view === "data" ? countsOf(choice.counts, asks === "each" ? labels.length : 1) : null,
    judge: view === "data" && asks === "each" && model.judged ? within(choice.judge, 0, 1, 0) || null : null,
    distinct: view === "data" && model.training_rows && choice.distinct === "1" ? "1" : undefined,
    format: view === "data" ? pick(choice.format, FORMATS[dataset.kind], FORMATS[dataset.kind][0]) : null,
    over,
    values: overValues,
    by,
    by_values: by && compared(by, choice.by_values).slice(0, Math.floor(MOST_CELLS / overValues.length)),
    can: {
      samplers, datasets, dataset, model, way, models, labels, possible, ways, guidances, overs, bys,
    },
  };
}

/** redraws: ways that follow what the mask keeps take the place of those that do not, and otherwise come first. */
function waysOf(dataset, asks, hint, view, redraws) {
  const ways = waysTo(dataset, asks, hint).filter((way) => view !== "edit" || edits(way));
  if (!redraws) return ways;
  const following = waysTo(dataset, asks, "inpainting");
  const same = (way) => (other) => other.guidance === way.guidance && other.model === way.model;
  return [...following.filter((way) => !ways.some(same(way))), ...ways.map((way) => following.find(same(way)) ?? way)];
}

function usualN(view, dataset, asks) {
  if (dataset.kind === "points") return dataset.default_n;
  if (view === "edit") return Math.min(EDITED, dataset.max_n);
  if (view === "compare") return asks === "each" ? Math.min(dataset.labels.length, MOST_COMPARED) : COMPARED;
  return asks === "each" ? Math.min(dataset.labels.length, MOST_EACH, dataset.max_n) : dataset.default_n;
}

/** The fields that may be compared: those with more than one value. */
function oversOf({ guidance_scale }, named) {
  const several = Object.keys(named).filter((name) => named[name].length > 1);
  return ["steps", ...(guidance_scale === null ? [] : ["guidance_scale"]), ...several, "seed"];
}

/** What is compared: guidance scales, seeds, or numbers of steps. grid: beside another field. */
function values(over, chosen, { guidance, model, seed, n, asks, kind, grid }) {
  const few = grid && asks === "each" && kind === "images";
  const [usual, least, most, read] = {
    guidance_scale: [SCALES[guidance], ...scalesOf(model), within],
    seed: [[0, 1, 2, 3].map((i) => seed + i * n), 0, MAX_SEED, whole],
  }[over] ?? [model.few_step?.steps ?? (few ? FEW_STEPS : STEPS), 1, model.few_step?.steps.at(-1) ?? model.T, whole];
  const given = (chosen ?? []).map((value) => read(value, least, most, null)).filter((value) => value !== null);
  return given.length ? [...new Set(given)].slice(0, MOST_VALUES) : usual.filter((value) => value >= least && value <= most);
}

/** The dimensions that a cloud shows: of three or more two may be chosen. */
const axesOf = (chosen, { columns, axes }) => (columns.length < 3 ? null : axesIn(chosen, columns)) ?? axes;

/** How many rows of each class, or of all where there are none. */
function countsOf(chosen, classes) {
  const fits = chosen?.length === classes;
  return Array.from({ length: classes }, (_, i) => whole(fits ? chosen[i] : undefined, 0, MOST_ROWS, EACH));
}

/** The least and the most guidance scale that a model takes. */
export const scalesOf = ({ few_step: few }) => few?.guidance_range ?? [0, 20];

const pick = (wanted, options, otherwise) => (options.includes(wanted) ? wanted : otherwise);

function within(wanted, least, most, otherwise) {
  const number = wanted === "" || wanted === null || wanted === undefined ? NaN : Number(wanted);
  return Number.isFinite(number) ? Math.min(most, Math.max(least, number)) : otherwise;
}

function whole(wanted, least, most, otherwise) {
  const number = within(wanted, least, most, null);
  return number === null ? otherwise : Math.round(number);
}

function nearest(wanted, options, otherwise) {
  const number = within(wanted, options[0], options.at(-1), null);
  return number === null ? otherwise : options.reduce((a, b) => (Math.abs(b - number) < Math.abs(a - number) ? b : a));
}

/** [low, high] noise levels, of an array or of a link's text; null of anything else. */
function interval(wanted) {
  const [low, high, ...more] = String(wanted ?? "").split(",").map(Number);
  return low >= 0 && high >= low && high < Infinity && !more.length ? [low, high] : null;
}

/** The seed of the i-th sample: between two seeds all begin from the same noise. */
export const seedOf = ({ seed, seed_to: to }, i) => (to === null ? seed + i : seed);

/** A settled choice with something else. */
export const at = (catalog, settled, changes) => settle(catalog, { ...settled, ...changes });

/** The class's number of each sample, -1 where none was asked for. */
export function classesOf({ asks, label, n, can: { labels } }) {
  if (asks === "each") return Array.from({ length: n }, (_, i) => i % labels.length);
  return Array(n).fill(asks === "label" ? labels.indexOf(label) : -1);
}

const OPTIONS = ["guidance", "guidance_scale", "guidance_interval", "sampler", "steps", "eta", "variance", "n", "seed", "resample"];

/** A settled choice → the body of POST /sample. */
export function asRequest(settled) {
  const body = { dataset: settled.dataset, model: settled.model };
  if (settled.asks === "each") body.label = classesOf(settled).map((number) => settled.can.labels[number]);
  if (settled.asks === "label") body.label = settled.label;
  if (settled.asks === "prompt") body.prompt = settled.prompt;
  for (const name of OPTIONS) {
    if (settled[name] !== null) body[name] = settled[name];
  }
  if (settled.seed_to !== null) Object.assign(body, { seed_to: settled.seed_to, mix: Array(settled.n).fill(settled.mix) });
  if (settled.picture) body.init = { image: settled.picture, strength: settled.strength };
  if (settled.mask) body.mask = { image: settled.mask };
  if (settled.drawing) {
    body.control = { kind: settled.hint, image: settled.drawing, scale: settled.hint_scale, preprocess: false };
  }
  return body;
}
