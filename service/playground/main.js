// The page: a choice, the picture that it makes, and the address that both are in.

import { asProblem, askJson } from "./api.js";
import { asQuery, drawnSeed, fromQuery, MAX_SEED, settle } from "./choice.js";
import { Comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { KeyField } from "./key.js";
import { Notice } from "./notice.js";
import { Pad } from "./pad.js";
import { bitmapOf, paint } from "./pictures.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { Take } from "./take.js";

const PAUSE = 250; // milliseconds without a change, after which what was changed is asked for
const PAUSE_DRAWING = 80;
const LEADS = {
  generate: "Every sample begins as noise. This is what the model believes it will become, step by step.",
  draw: "Draw, and a model follows while you do.",
  compare: "The same noise, taken to its end in several ways.",
};

const part = (id) => document.getElementById(id);
const actions = part("actions").elements;

let catalog = null;
let choice = fromQuery(new URLSearchParams(location.search)); // what somebody chose
let settled = null; // the same with everything filled in
let running = null; // the AbortController of what is being sampled
let timer = null;

const notice = new Notice(part("notice"), () => (catalog ? run() : start()));
const keyField = new KeyField(part("key"), () => start());
const status = new Status(part("status"));
const take = new Take(part("take"), failed);
const controls = new Controls(part("controls"), change);
const pad = new Pad(part("pad"), () => {
  choice.drawing = undefined;
  soon(PAUSE_DRAWING);
});
const stage = new Stage(
  { picture: part("picture"), scrubber: part("scrubber"), legend: part("legend"), told: part("told") },
  ({ label, seed }) => {
    const only = label === null ? {} : { asks: "label", label };
    choice = { ...choice, ...only, seed, n: 1 };
    run({ remember: true });
  },
);
const comparison = new Comparison(part("comparison"), (of) => stage.reference(of));

async function start() {
  notice.clear();
  status.start();
  try {
    catalog = await askJson("models");
  } catch (error) {
    return failed(error);
  }
  status.device = catalog.device;
  show();
  if (settled) run();
}

/** Fill in the choice, and show it; the seed stays until another is wanted. */
function show() {
  settled = settle(catalog, choice);
  const view = settled?.view ?? choice.view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!settled) return notice.show({ message: "No model here follows drawings: train one, such as mnist-control-sketch.", status: 422 });
  choice.seed = settled.seed;
  document.body.dataset.view = view;
  document.title = `Spirale: ${view}`;
  part("lead").textContent = LEADS[view];
  part("drawing").hidden = view !== "draw";
  part("picture").hidden = view === "compare";
  part("comparison").hidden = view !== "compare";
  actions.seed.value = settled.seed;
  controls.show(settled);
}

function change(changes) {
  stop(); // at once: what was asked before is freed when the next request comes
  choice = { ...choice, ...changes };
  show();
  soon(PAUSE);
}

/** Ask when nothing has changed for so long. */
function soon(pause) {
  clearTimeout(timer);
  timer = setTimeout(run, pause);
}

/** remember: this picture gets an entry of its own in the history. */
async function run({ remember = false } = {}) {
  stop();
  notice.clear();
  show();
  if (!settled) return;
  const { view } = settled;
  const drawn = view === "draw" && !pad.empty;
  part("remark").textContent = "";
  if (view === "draw" && !drawn && !settled.drawing) return empty();
  if (settled.asks === "prompt" && !settled.prompt) {
    return notice.show({ message: "Say in words what to draw.", status: 422 });
  }
  const mine = (running = new AbortController());
  const { signal } = mine;
  busy(true);
  try {
    if (view === "compare") {
      empty();
      await comparison.run(catalog, settled, signal);
    } else {
      const control = drawn ? { kind: settled.hint, image: pad.picture(), scale: settled.hint_scale } : undefined;
      const result = await stage.run(settled, signal, { control, latest: view === "draw" });
      if (result.control) await understood(result.control.image, signal);
      if (result.unknown_words?.length) part("remark").textContent = `Not understood: ${result.unknown_words.join(", ")}`;
    }
    address(remember);
    take.show(settled);
  } catch (error) {
    if (!signal.aborted) failed(error);
  } finally {
    if (running === mine) busy(false);
  }
}

/** Nothing on the stage, and nothing to take along. */
function empty() {
  stage.clear();
  take.clear();
  part("understood").hidden = true;
}

function stop() {
  clearTimeout(timer);
  running?.abort();
  running = null;
  stage.stop();
  busy(false);
}

function busy(is) {
  if (!is) running = null;
  actions.generate.textContent = is ? "Stop" : "Generate";
  actions.generate.classList.toggle("primary", !is);
}

function failed(error) {
  const problem = asProblem(error);
  if (!problem) return;
  stage.stop();
  if (problem.status === 401) keyField.ask();
  else notice.show(problem);
}

/** The hint, as the model was given it: with it in the address the picture is the same. Throws AbortError. */
async function understood(image, signal) {
  const bitmap = await bitmapOf(image);
  signal.throwIfAborted(); // by now the choice may be another
  choice.drawing = image;
  settled = settle(catalog, choice);
  const canvas = part("understood").querySelector("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  paint(canvas, { bitmap });
  part("understood").hidden = false;
}

function address(remember) {
  const link = `?${asQuery(settled)}`;
  if (link === location.search) return;
  if (remember) history.pushState(null, "", link);
  else history.replaceState(null, "", link);
}

part("actions").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return stop();
  if (!actions.keep.checked) choice.seed = drawnSeed();
  run({ remember: true });
});
actions.surprise.addEventListener("click", () => {
  choice.seed = drawnSeed();
  run({ remember: true });
});
actions.seed.max = MAX_SEED;
actions.seed.addEventListener("change", () => {
  if (actions.seed.validity.valid) change({ seed: actions.seed.value });
  else actions.seed.value = settled.seed;
});
part("undo").addEventListener("click", () => pad.undo());
part("clear").addEventListener("click", () => pad.clear());
document.querySelector("nav").addEventListener("click", (event) => {
  const view = event.target.dataset?.view;
  if (!view || event.ctrlKey || event.metaKey || event.shiftKey || !catalog) return;
  event.preventDefault();
  choice = { view, dataset: choice.dataset, seed: choice.seed };
  history.pushState(null, "", `?view=${view}`);
  notice.clear();
  run();
});
addEventListener("popstate", () => {
  choice = fromQuery(new URLSearchParams(location.search));
  if (catalog) run();
});

start();
