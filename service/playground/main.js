// The page: a choice, the picture that it makes, and the address that both are in.

import { asProblem, askJson } from "./api.js";
import { asRequest, drawnSeed, MAX_SEED, settle } from "./choice.js";
import { Comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { expectedSeconds } from "./cost.js";
import { filesOf, pngOf } from "./files.js";
import { Follower } from "./follower.js";
import { Kept } from "./kept.js";
import { KeyField } from "./key.js";
import { asQuery, corrections, fromQuery } from "./link.js";
import { Notice } from "./notice.js";
import { Pad } from "./pad.js";
import { showPicture } from "./pictures.js";
import { Quality } from "./quality.js";
import { Screen } from "./screen.js";
import { snapshot } from "./snapshot.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { Take } from "./take.js";
import { Views } from "./views.js";
import { Wait } from "./wait.js";
import { dress, say } from "./words.js";

const PAUSE = 250; // milliseconds without a change, after which what was changed is asked for

const EMBEDDED = new URLSearchParams(location.search).get("embed") === "1"; // the page is in somebody else's

const part = (id) => document.getElementById(id);
const parts = (...ids) => Object.fromEntries(ids.map((id) => [id, part(id)]));
const actions = part("actions").elements;

let catalog = null;
let choice = fromQuery(new URLSearchParams(location.search)); // what somebody chose
let settled = null; // the same with everything filled in
let shown = null; // {settled, run}: what is on the stage, where it is done
let running = null; // the AbortController of what is being sampled
let typed = false; // was the seed just typed? Then the next picture is of that seed
let timer = null;

const notice = new Notice(part("notice"), () => (catalog ? run() : start()));
const keyField = new KeyField(part("key"), () => start());
const status = new Status(part("status"));
const take = new Take(part("take"), failed);
const views = new Views(parts("views", "lead", "drawing", "picture", "comparison"), open);
const quality = new Quality(part("quality"));
const controls = new Controls(part("controls"), change);
const kept = new Kept();
const follower = new Follower(() => run());
const pad = new Pad(part("pad"), () => {
  choice.drawing = undefined;
  choice.strokes = pad.asText;
  if (pad.empty) {
    follower.forget();
    run();
  } else follower.want();
});
const wait = new Wait(part("wait"));
const stage = new Stage(
  { ...parts("picture", "scrubber", "explain", "legend", "told"), wait },
  { onAlone: lookAlone, onLook: see, onError: failed },
);
const screen = new Screen(part("screen"), {
  player: stage.player,
  generate: () => part("actions").requestSubmit(),
  onScreen: (is) => {
    choice.screen = is ? "1" : undefined;
    if (!settled) return;
    settled.screen = choice.screen;
    if (shown) address();
  },
});
const comparison = new Comparison(
  { ...parts("comparison", "legend"), wait },
  (settled) => stage.reference(settled),
  (settled) => {
    choice = { ...settled, view: "generate", over: undefined, values: undefined };
    run({ remember: true });
  },
);

async function start() {
  notice.clear();
  status.start();
  try {
    catalog = await askJson("models");
  } catch (error) {
    return failed(error);
  }
  kept.clear();
  stage.field.clear();
  status.device = catalog.device;
  await arrive();
}

/** Show what the address says, and say where it asks for what is not here. */
async function arrive() {
  const query = new URLSearchParams(location.search);
  show();
  if (!settled) return;
  screen.set(Boolean(settled.screen));
  pad.show(settled.strokes);
  await run({ again: false, remark: corrections(query, settled) });
}

/** Fill in the choice, and show it; the seed stays until another is wanted. */
function show() {
  settled = settle(catalog, choice);
  views.mark(settled?.view ?? choice.view);
  if (!settled) return notice.show({ message: say("no drawings"), status: 422 });
  choice.seed = settled.seed;
  views.show(settled.view);
  actions.seed.value = settled.seed;
  controls.show(settled);
  quality.show(settled);
}

/** Another view of the same data, with the same seed. false: not yet, and the link is an ordinary one. */
function open(view) {
  if (!catalog) return false;
  choice = { view, dataset: choice.dataset, seed: choice.seed };
  history.pushState(null, "", `?view=${view}`);
  notice.clear();
  pad.show();
  run();
  return true;
}

function change(changes) {
  stop(); // at once: what was asked before is freed when the next request comes
  choice = { ...choice, ...changes };
  show();
  clearTimeout(timer);
  timer = setTimeout(run, PAUSE);
}

/** remember: this picture gets an entry of its own in the history. again: sample it even where it is kept. */
async function run({ remember = false, again = true, remark = "" } = {}) {
  stop();
  typed = false;
  notice.clear();
  show();
  if (!settled) return;
  const { view } = settled;
  const drawn = view === "draw" && !settled.drawing && !pad.empty;
  part("remark").textContent = remark;
  if (view === "draw" && !drawn && !settled.drawing) return empty();
  if (settled.asks === "prompt" && !settled.prompt) return notice.show({ message: say("say it in words"), status: 422 });
  const mine = (running = new AbortController());
  const { signal } = mine;
  busy(true);
  try {
    if (view === "compare") await compare(signal);
    else await sample(signal, { drawn, again });
    if (!follower.wanted) address(remember);
  } catch (error) {
    if (!signal.aborted) failed(error);
  } finally {
    if (running === mine) busy(false);
  }
}

async function sample(signal, { drawn, again }) {
  const found = again || drawn ? null : kept.get(asRequest(settled));
  const strokes = pad.asText;
  take.clear();
  if (found) {
    await stage.show(settled, found, signal);
  } else {
    const control = drawn ? { kind: settled.hint, image: pad.picture(), scale: settled.hint_scale } : undefined;
    const pace = { control, latest: settled.view === "draw", expected: expectedSeconds(settled) };
    const done = await stage.sample(settled, signal, pace);
    if (done.result.control) await showPicture(part("understood"), done.result.control.image, signal);
    if (settled.hint && pad.asText !== strokes) return; // the pen has gone on, and the next request is of that
    if (settled.hint) settled = settle(catalog, { ...choice, drawing: (choice.drawing = done.result.control.image) });
    kept.put(asRequest(settled), done);
  }
  shown = { settled, run: stage.run };
  const unknown = stage.run.result.unknown_words;
  if (unknown?.length) part("remark").textContent = say("not understood", { words: unknown.join(", ") });
  take.show(settled, filesOf(stage.run, stage.pane));
}

async function compare(signal) {
  empty();
  shown = null;
  await comparison.run(catalog, settled, signal);
  take.show(settled, { PNG: () => pngOf(snapshot(comparison.grid)) });
}

/** One of several images by itself. It has been sampled: it is looked at, and not sampled again. */
function lookAlone(i, { label, seed }) {
  const only = label === null ? {} : { asks: "label", label };
  const alone = { ...choice, ...only, seed, n: 1 };
  if (shown?.run === stage.run) kept.put(asRequest(settle(catalog, alone)), stage.run.alone(i));
  choice = alone;
  run({ remember: true, again: false });
}

/** Something else of the run is looked at: nothing is sampled for that. */
function see(look) {
  choice.look = look.filter((name) => name !== "x0");
  settled = settle(catalog, choice);
  stage.see(settled.look);
  if (shown) {
    shown.settled = settled;
    address();
    take.show(settled, filesOf(stage.run, stage.pane));
  }
}

/** Nothing on the stage, and nothing to take along. */
function empty() {
  stage.clear();
  take.clear();
  shown = null;
  part("understood").hidden = true;
}

function stop() {
  clearTimeout(timer);
  running?.abort();
  running = null;
  stage.stop();
  busy(false);
}

/** Somebody presses Stop: what is seen then, and what the page says of it, are the same run. */
function stopHere() {
  const { frames } = stage;
  const begun = frames.length && !("before" in part("picture").dataset);
  follower.forget();
  stop();
  if (begun) {
    part("remark").textContent = say("stopped", frames.at(-1));
    shown = null;
  } else if (shown) {
    choice = { ...fromQuery(asQuery(shown.settled)) };
    run({ again: false, remark: say("stopped early") });
  }
}

function busy(is) {
  if (!is) running = null;
  actions.generate.textContent = say(is ? "stop" : "generate");
  actions.generate.classList.toggle("primary", !is);
}

function failed(error) {
  const problem = asProblem(error);
  if (!problem) return;
  stage.stop();
  if (problem.status === 401) keyField.ask();
  else notice.show(problem);
}

function address(remember) {
  const query = asQuery(settled);
  part("whole").href = `?${query}`;
  if (EMBEDDED) query.set("embed", "1");
  const link = `?${query}`;
  if (link === location.search) return;
  if (remember) history.pushState(null, "", link);
  else history.replaceState(null, "", link);
}

part("actions").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return stopHere();
  if (!actions.keep.checked && !typed) choice.seed = drawnSeed();
  run({ remember: true });
});
actions.surprise.addEventListener("click", () => {
  choice.seed = drawnSeed();
  run({ remember: true });
});
actions.seed.max = MAX_SEED;
actions.seed.addEventListener("change", () => {
  if (!actions.seed.validity.valid) {
    actions.seed.value = settled.seed;
    return;
  }
  change({ seed: actions.seed.value });
  typed = true; // Enter submits the form right after this
});
part("undo").addEventListener("click", () => pad.undo());
part("clear").addEventListener("click", () => pad.clear());
addEventListener("popstate", () => {
  choice = fromQuery(new URLSearchParams(location.search));
  if (catalog) arrive();
});

dress(document, part("languages"));
if (EMBEDDED) document.body.dataset.embed = "";
start();
