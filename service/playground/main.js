// The page: a choice, the picture that it makes, and the address that both are in.

import { Actions } from "./actions.js";
import { Address, EMBEDDED } from "./address.js";
import { askJson } from "./api.js";
import { drawnSeed, FOLLOWING, settle } from "./choice.js";
import { Comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { DataSet } from "./data-set.js";
import { draftOf } from "./draft.js";
import { Drawing } from "./drawing.js";
import { Editing } from "./editing.js";
import { filesOf, pngOf } from "./files.js";
import { asQuery, corrections, fromQuery } from "./link.js";
import { Live } from "./live.js";
import { lacks, OnStage } from "./onstage.js";
import { Quality } from "./quality.js";
import { Screen } from "./screen.js";
import { snapshot } from "./snapshot.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { Take } from "./take.js";
import { Trouble } from "./trouble.js";
import { Views } from "./views.js";
import { Wait } from "./wait.js";
import { dress, say } from "./words.js";

const part = (id) => document.getElementById(id);
const parts = (...ids) => Object.fromEntries(ids.map((id) => [id, part(id)]));

const address = new Address(part("whole"));

let catalog = null;
let choice = fromQuery(address.query); // what somebody chose
let settled = null; // the same with everything filled in
let running = null; // the AbortController of what is being sampled

const trouble = new Trouble(parts("notice", "key"), {
  onCheaper: change, onKey: start,
});
const status = new Status(part("status"));
const take = new Take(part("take"), failedBeside);
const views = new Views(parts("views", "lead", "drawing", "editing", "picture", "comparison", "data"), open);
const dataSet = new DataSet(part("data"), { onChange: change, onError: failedBeside });
const quality = new Quality(part("quality"), failedBeside);
const controls = new Controls(part("controls"), change);
const live = new Live({ draw, rest: () => run({ over: onStage.drafted === onStage.wish(settled) }) });
const easels = {
  draw: new Drawing(parts("pad", "undo", "clear", "understood"), () => handed("draw")),
  edit: new Editing(parts("editing", "source", "file", "sampled", "invert", "unerase", "keepall"), () => handed("edit"),
    failedBeside),
};
const actions = new Actions(part("actions"), {
  onGenerate: ({ fresh }) => {
    choice.step = undefined;
    if (fresh) choice.seed = drawnSeed();
    run({ remember: true, again: true });
  },
  onStop: stopHere,
  onSeed: (seed) => change({ seed }),
});
const wait = new Wait(part("wait"));
const stage = new Stage(
  { ...parts("picture", "scrubber", "explain", "legend", "told"), wait },
  {
    onAlone: lookAlone, onLook: (look) => see({ look: look.filter((name) => name !== "x0") }), onAxes: (axes) => see({ axes }),
    onError: failedBeside,
  },
);
const onStage = new OnStage({ stage, easels, label: part("draft") });
const screen = new Screen(part("screen"), {
  player: () => (settled?.view === "compare" ? comparison.player : stage.player),
  generate: () => part("actions").requestSubmit(),
  onScreen: (is) => {
    choice.screen = is ? "1" : undefined;
    if (settled) settled.screen = choice.screen;
    if (settled && onStage.relabel(settled)) tell();
  },
});
const comparison = new Comparison(
  { ...parts("comparison", "legend"), wait },
  (settled) => stage.reference(settled),
  (settled) => {
    choice = { ...settled, view: "generate" };
    run({ remember: true });
  },
);

/** Begin, or begin again: the service may be another than the one that was asked before. */
async function start() {
  const first = !catalog;
  trouble.clear();
  status.start();
  try {
    catalog = await askJson("models");
  } catch (error) {
    return failed(error);
  }
  onStage.renew(catalog);
  status.device = catalog.device;
  await (first ? arrive() : run({ again: true }));
}

/** Show what the address says, and say where it asks for what is not here. */
async function arrive() {
  const { query } = address;
  show();
  if (!settled) return;
  screen.set(Boolean(settled.screen));
  for (const easel of Object.values(easels)) easel.show(settled);
  await run({ remark: corrections(query, settled) });
}

/** Fill in the choice, and show it; the seed stays until another is wanted. */
function show() {
  settled = settle(catalog, choice);
  views.mark(settled?.view ?? choice.view);
  if (!settled) return trouble.say(say(choice.view === "edit" ? "no edits" : "no drawings"));
  choice.seed = settled.seed;
  views.show(settled.view);
  if (settled.view === "data") dataSet.show(settled);
  else dataSet.leave();
  actions.show(settled.seed);
  controls.show(settled);
  quality.show(settled);
}

/** Another view of the same data, with the same seed. false: not yet, and the link is an ordinary one. */
function open(view) {
  if (!catalog) return false;
  const [taken] = onStage.shown?.run.result.images ?? []; // what was sampled can be edited
  const { dataset, axes, seed } = choice;
  choice = { view, dataset, axes, seed, ...(view === "edit" && taken && { picture: taken.b64_png }) };
  history.pushState(null, "", `?view=${view}`);
  trouble.clear();
  for (const easel of Object.values(easels)) easel.show(settle(catalog, choice) ?? undefined);
  run();
  return true;
}

/** Something was drawn by hand. */
function handed(view) {
  choice = { ...choice, step: undefined, ...easels[view].choice };
  if (easels[view].lacks(choice)) run();
  else moved();
}

function change(changes) {
  choice = { ...choice, step: undefined, ...changes };
  moved();
  if ("dataset" in changes && settled) easels.edit.show(settled); // the picture belonged to the other one
}

/** A hand moves: what can be drawn at once follows it, and what was asked before gives way to what it asks for. */
function moved() {
  if (!live.moving) stop();
  trouble.clear();
  take.clear();
  show();
  if (!settled) return;
  live.moved({ follow: FOLLOWING.includes(settled.view) && !lacks(settled, easels) });
}

/** What can be drawn at once of what is chosen: the samples themselves, or a draft of them. */
async function draw() {
  const draft = draftOf(catalog, choice);
  const mine = (running = new AbortController());
  try {
    await onStage.follow(settled, draft, mine.signal);
  } catch (error) {
    if (!draft && !mine.signal.aborted) failed(error); // where a draft fails, the samples themselves will tell
  } finally {
    if (running === mine) running = null;
  }
}

/** remember: this picture gets an entry of its own in the history. again: sample it even where it is kept. over: a draft
 * of it is on the stage, and stays until it is there. */
async function run({ remember = false, again = false, over = false, remark = "" } = {}) {
  stop();
  trouble.clear();
  show();
  if (!settled) return;
  part("remark").textContent = remark;
  const lacking = lacks(settled, easels);
  if (lacking === "a picture") {
    empty();
    return address.show(settled);
  }
  if (lacking === "words") return trouble.say(say("say it in words"));
  const mine = (running = new AbortController());
  const { signal } = mine;
  actions.sampling = true;
  status.soon();
  if (!over) onStage.mark(null);
  try {
    if (settled.view === "data") empty();
    else if (settled.view === "compare") await compare(signal);
    else if (!(await bring(signal, { again, over }))) return;
    tell({ remember });
  } catch (error) {
    if (!signal.aborted) failed(error);
  } finally {
    if (running === mine) {
      running = null;
      actions.sampling = false;
      status.soon();
    }
  }
}

/** Resolves to: are the samples there that were chosen? */
async function bring(signal, how) {
  const before = choice;
  take.clear();
  const understood = await onStage.bring(settled, signal, how);
  if (understood && choice === before) {
    choice = { ...choice, ...understood };
    settled = settle(catalog, choice);
    onStage.relabel(settled); // it may be seen otherwise by now
  }
  return understood !== null;
}

/** What is on the stage is what is chosen: it gets the address, and can be taken along. */
function tell({ remember = false } = {}) {
  const { shown } = onStage;
  if (shown) {
    const unknown = shown.run.result.unknown_words;
    if (unknown?.length) part("remark").textContent = say("not understood", { words: unknown.join(", ") });
    take.show(shown.settled, filesOf(shown.run, stage.pane, stage.frames), () => stage.step);
  }
  address.show(settled, { remember });
}

async function compare(signal) {
  empty();
  await comparison.run(catalog, settled, signal);
  take.show(settled, { PNG: () => pngOf(snapshot(comparison.grid)) });
}

/** One of several images by itself. It has been sampled: it is looked at, and not sampled again. */
function lookAlone(i, { label, seed }) {
  const only = label === null ? {} : { asks: "label", label };
  const { look, screen } = choice;
  const whole = onStage.shown?.run === stage.run ? onStage.shown.settled : choice; // the choice may have gone on
  const alone = { ...whole, ...only, look, screen, seed, n: 1, step: undefined };
  onStage.keepAlone(i, settle(catalog, alone));
  choice = alone;
  run({ remember: true });
}

/** Something else of the run is looked at, or other axes: nothing is sampled for that. */
function see(chosen) {
  Object.assign(choice, chosen);
  settled = settle(catalog, choice);
  stage.see(settled);
  if (onStage.relabel(settled)) tell();
}

/** Nothing on the stage, and nothing to take along. */
function empty() {
  stage.clear();
  take.clear();
  onStage.clear();
  for (const easel of Object.values(easels)) easel.clear();
}

function stop() {
  live.stop();
  running?.abort();
  running = null;
  stage.stop();
  comparison.stop();
  actions.sampling = false;
}

/** Somebody presses Stop: what is seen then, and what the page says of it, are the same run. */
function stopHere() {
  const { frames } = stage;
  const before = "before" in part("picture").dataset;
  const { drafted, shown } = onStage;
  stop();
  if (drafted) return;
  if (frames.length && !before) {
    part("remark").textContent = say("stopped", frames.at(-1));
    onStage.clear();
  } else if (shown) {
    const { picture, mask } = shown.settled; // they may be too large for a link
    choice = { ...fromQuery(asQuery(shown.settled)), picture, mask };
    run({ remark: say("stopped early") });
  }
}

/** What is beside the run failed: the run goes on. retry: does the same again, where that may help. */
function failedBeside(error, retry = null) {
  trouble.show(error, { retry });
}

/** The run failed, or nothing can be run. */
function failed(error) {
  if (error.name !== "AbortError") stage.stop();
  trouble.show(error, { retry: start, draft: settled && cheaper() });
}

/** A choice that the service may take where this one is too much; null where there is none. */
function cheaper() {
  const draft = draftOf(catalog, choice);
  return draft?.student || ![settled.over, settled.by].includes("steps") ? draft : null; // the cells have steps of their own
}

addEventListener("popstate", () => {
  choice = fromQuery(address.query);
  if (catalog) arrive();
});

dress(document, part("languages"));
if (EMBEDDED) document.body.dataset.embed = "";
start();
