"""The page's pure modules, under Node: no browser, no service."""

import base64
import contextlib
import io
import itertools
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from model.samplers import SAMPLERS
from service.jobs.formats.registry import FORMATS, formats_of
from service.jobs.formats.shard import Shard
from service.routes.playground import LANGUAGES

FOLDER = Path(__file__).parents[4] / "service" / "playground"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed: pure modules of the page run in it")

WAY = {
    "asks": "label", "hint": None, "guidance": "classifier-free", "model": "digits-cfg", "network_evaluations": 20,
    "draws_labels": False, "edits": ["init", "mask", "seed_to"],
    "defaults": {"sampler": "ddim", "steps": 10, "guidance_scale": 3.0, "eta": 0.0, "variance": "fixed-small",
                 "control_scale": 1.0, "resample": 5},
}  # fmt: skip
CANNY = WAY | {"hint": "canny", "network_evaluations": 40}  # the ControlNet is in both halves
FAST = {"model": "digits-fast", "network_evaluations": 2, "edits": ["seed_to"],
        "defaults": WAY["defaults"] | {"steps": 2, "guidance_scale": 1.5}}  # fmt: skip
MODEL = {
    "name": "digits-cfg", "labels": ["0", "1", "2"], "T": 100, "variances": ["fixed-small"], "reference": 0,
    "few_step": None, "controlnets": [], "training_rows": True, "judged": True,
    "engine": {"network_evaluations_per_second": {"1": 100, "10": 500, "20": 800}, "knee": 20},
}  # fmt: skip
STUDENT = {"name": "digits-fast", "few_step": {"sampler": "ddim", "steps": [1, 2, 4], "guidance_range": [1, 2]}}
CATALOG = {
    "device": "cpu",
    "samplers": {
        "heun": {"stochastic": False, "evaluations_per_step": 2, "options": {}},
        "ddim": {"stochastic": False, "evaluations_per_step": 1, "options": {"eta": {"bounds": [0, 1]}}},
        "ddpm": {"stochastic": True, "evaluations_per_step": 1, "options": {}},
    },
    "datasets": {
        "digits": {
            "kind": "images", "shape": [1, 8, 8], "labels": ["0", "1", "2"], "columns": [], "table": [], "axes": [],
            "prompts": None,
            "controls": ["canny", "sketch"], "max_n": 64, "default_n": 1,
            "ways": [WAY, WAY | FAST, CANNY, CANNY | FAST | {"network_evaluations": 4}, WAY | {"hint": "sketch"}],
            "models": [MODEL, MODEL | STUDENT],
        }
    },
}  # fmt: skip


TREES = {  # a table: two numbers after a category, and a date with a missing value
    "kind": "points", "shape": [6], "labels": [], "prompts": None, "controls": [], "max_n": 500, "default_n": 20,
    "columns": ["kind=oak", "kind=elm", "height", "girth, cm", "planted", "planted missing"], "axes": [2, 3],
    "table": [{"name": "kind", "kind": "category"}, {"name": "height", "kind": "number"},
              {"name": "girth, cm", "kind": "number"},
              {"name": "planted", "kind": "date", "origin": "2014-01-01T00:00:00"}],
    "ways": [WAY | {"asks": "nothing", "guidance": "none", "model": "trees"}],
    "models": [MODEL | {"name": "trees", "labels": []}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run statements with these imports, `catalog` and the arguments at hand; what they return."""
    folder = tmp_path_factory.mktemp("modules")
    for module in FOLDER.glob("*.js"):
        shutil.copy(module, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "languages.js").write_text(f"export const LANGUAGES = {json.dumps(LANGUAGES)};")

    def run(imports: dict[str, str], statements: str, *given):
        lines = [f'const {{ {names} }} = await import("./{module}.js");' for module, names in imports.items()]
        given_json = json.dumps({"catalog": CATALOG, "given": given})
        script = f"""
            {"".join(lines)}
            const {{ catalog, given }} = {given_json};
            const result = await (async () => {{ {statements} }})();
            console.log(JSON.stringify(result, (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value));
        """
        done = subprocess.run(
            [NODE, "--input-type=module", "-"], input=script, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_follower_works_at_one_thing_at_a_time_and_ends_with_the_latest(run):
    """A pen that moves forty times while one answer is computed."""
    script = """
        let [now, most, position] = [0, 0, 0];
        const drawn = [];
        const follower = new Follower(async () => {
          most = Math.max(most, ++now);
          drawn.push(position);
          await new Promise((done) => setTimeout(done, 20));
          now -= 1;
        });
        const all = [];
        for (position = 1; position <= 40; position++) {
          all.push(follower.want());
          if (position % 20 === 0) await new Promise((done) => setTimeout(done, 5));
        }
        position = 40;
        await Promise.all(all);
        return { most, drawn };
    """
    told = run({"follower": "Follower"}, script)
    assert told["most"] == 1 and told["drawn"][0] == 1 and told["drawn"][-1] == 40 and len(told["drawn"]) == 2


def test_what_is_drawn_at_once_follows_a_hand_and_the_rest_comes_when_it_rests(run):
    """Thirty movements in 120 ms, then a rest; what is stopped never comes."""
    script = """
        const told = [];
        let under = 0;
        const make = () => new Live({ pause: 40, rest: () => told.push("rest"), draw: async () => {
          told.push(under++ ? "two" : "draw");
          await new Promise((done) => setTimeout(done, 30));
          under -= 1;
        } });
        const wait = (time) => new Promise((done) => setTimeout(done, time));
        const live = make();
        for (let i = 0; i < 30; i++) { live.moved(); await wait(4); }
        const moving = [...told, live.moving];
        await wait(150);
        const stopped = make();
        stopped.moved({ follow: false });
        stopped.stop();
        await wait(60);
        return { moving, told, after: live.moving };
    """
    told = run({"live": "Live"}, script)
    assert set(told["moving"]) == {"draw", True} and len(told["moving"]) >= 3
    assert told["told"][-1] == "rest" and told["told"].count("rest") == 1 and not told["after"]


DRAFTS = [  # of a choice: model, steps, sampler, scale, whether a student draws it
    ({}, ["digits-fast", 2, "ddim", 1.5, True]),
    ({"guidance_scale": 5}, ["digits-fast", 2, "ddim", 2, True]),  # the most that it has learned
    ({"n": 10}, ["digits-fast", 1, "ddim", 1.5, True]),  # of many it makes one step each
    ({"n": 10, "model": "digits-fast"}, ["digits-fast", 1, "ddim", 1.5, False]),
    ({"view": "draw", "sampler": "ddpm"}, ["digits-cfg", 4, "ddim", 3, False]),  # no student follows a sketch
    ({"view": "draw", "hint": "canny", "steps": 50}, ["digits-fast", 2, "ddim", 1.5, True]),
    ({"view": "draw", "steps": 50}, ["digits-cfg", 4, "ddim", 3, False]),
    ({"steps": 2, "guidance_scale": 1}, None),  # it is there at once itself
    ({"model": "digits-fast"}, None),
]


def test_a_draft_is_a_students_or_of_few_steps_where_the_samples_take_long(run):
    script = """
        return given[0].map((choice) => {
          const draft = draftOf(catalog, { dataset: "digits", asks: "label", label: "1", seed: 7, ...choice });
          if (draft?.seed !== 7 && draft) throw new Error("another seed");
          return draft && [draft.model, draft.steps, draft.sampler, draft.guidance_scale, draft.student];
        });
    """
    drafts = run({"draft": "draftOf"}, script, [choice for choice, _ in DRAFTS])
    assert drafts == [draft for _, draft in DRAFTS]


def test_a_student_is_asked_only_for_what_it_has_learned(run):
    script = """
        const digits = { dataset: "digits", asks: "label", label: "1", model: "digits-fast" };
        const settled = settle(catalog, { ...digits, steps: 40, sampler: "heun", guidance_scale: 9, eta: 0.5 });
        const compared = settle(catalog, { ...digits, view: "compare" });
        const { steps, sampler, guidance_scale: scale, eta } = settled;
        return { settled: [steps, sampler, scale, eta], overs: compared.can.overs, values: compared.values };
    """
    told = run({"choice": "settle"}, script)
    assert told == {"settled": [4, "ddim", 2, None], "overs": ["steps", "guidance_scale", "model", "seed"],
                    "values": [1, 2, 4]}  # fmt: skip


GRIDS = [  # of a choice: the titles of its columns, and of each line the cells that are possible
    ({"over": "steps", "values": ["1", "4"], "by": "guidance_scale", "by_values": ["0", "2"]}, [0, 2], ["11", "11"]),
    ({"over": "steps", "values": ["2", "9"], "by": "model"}, ["digits-cfg", "digits-fast"], ["11", "10"]),
    ({"over": "model", "by": "sampler"}, ["heun", "ddim", "ddpm"], ["111", "010"]),  # what a student has learned
    ({"over": "sampler", "by": "sampler"}, None, ["1", "1", "1"]),
    ({"over": "seed", "values": list(range(20)), "by": "steps"}, [1, 2, 3, 5, 10], ["11111"] * 12),
]


@pytest.mark.parametrize(("choice", "columns", "possible"), GRIDS)
def test_two_fields_make_a_grid_over_the_same_seeds(run, choice, columns, possible):
    script = """
        const one = { dataset: "digits", asks: "label", label: "1", view: "compare", seed: 7 };
        const settled = settle(catalog, { ...one, ...given[0] });
        const again = settle(catalog, fromQuery(asQuery(settled)));
        const isRight = ({ asked, settled }) =>
          Object.entries(asked).every(([name, value]) => asRequest(settled)[name] === value);
        const lines = cellsOf(catalog, settled);
        const cells = lines.flat().filter(Boolean);
        return { columns: settled.by_values, again: [again.over, again.values, again.by, again.by_values],
          same: [settled.over, settled.values, settled.by, settled.by_values],
          possible: lines.map((line) => line.map((cell) => (cell ? 1 : 0)).join("")),
          seeds: [...new Set(cells.map(({ settled }) => settled.seed))],
          right: cells.every(isRight),
          told: corrections(asQuery(settled), settled) };
    """
    imports = {"choice": "settle, asRequest", "cells": "cellsOf", "link": "asQuery, fromQuery, corrections"}
    told = run(imports, script, choice)
    assert told["columns"] == columns and told["possible"] == possible and told["right"] and told["told"] == ""
    assert told["again"] == told["same"] and (told["seeds"] == [7] or choice["over"] == "seed")


def test_a_job_is_asked_by_counts_and_its_classes_grow_together(run):
    script = """
        const of = (choice) => asJob(settle(catalog, { view: "data", dataset: "digits", seed: 7, ...choice }));
        const job = { rows: 40, rows_done: 20, request: { label: { 0: 30, 2: 10 } } };
        const filtered = { judge: "0.9", distinct: "1" };
        return { proposed: of({ asks: "each" }), chosen: of({ asks: "each", counts: ["3", "0", "2"], format: "npy" }),
          filtered: of({ asks: "each", ...filtered }), without: of({ asks: "nothing", ...filtered, judge: "0" }),
          done: classesDone(job), none: classesDone({ ...job, request: { label: null } }), formats: FORMATS };
    """
    told = run({"choice": "settle, FORMATS", "jobs": "asJob, classesDone"}, script)
    assert told["proposed"]["model"] == "digits-fast"  # many rows: where nothing else is chosen, a student makes them
    assert told["proposed"]["label"] == {"0": 100, "1": 100, "2": 100} and "n" not in told["proposed"]
    assert told["chosen"]["label"] == {"0": 3, "2": 2} and told["chosen"]["format"] == "npy"
    assert told["done"] == [{"label": "0", "done": 15, "all": 30}, {"label": "2", "done": 5, "all": 10}]
    assert told["filtered"]["accept"] == {"judge": 0.9} and told["filtered"]["distinct"] is True
    assert told["without"]["distinct"] is True and "accept" not in told["without"] | told["proposed"]
    assert told["none"] == [] and {kind: set(of) for kind, of in told["formats"].items()} == {
        kind: set(formats_of(kind)) for kind in ("images", "points")
    }


def test_older_data_sets_are_shown_however_many_newer_ones_were_cancelled(run):
    script = """
        const all = [...Array(130).keys()].map((i) => ({ id: `job-${i}`, state: i < 120 ? "cancelled" : "done" }));
        const asked = [];
        globalThis.fetch = async (path) => {
          asked.push(path);
          const query = new URLSearchParams(path.split("?")[1]);
          const from = all.findIndex(({ id }) => id === query.get("before")) + 1;
          return Response.json({ jobs: all.slice(from, from + Number(query.get("limit"))) });
        };
        const ids = async () => (await newestJobs()).map(({ id }) => id);
        const few = await ids();
        for (const job of all) job.state = "done";
        return [few, (await ids()).length, asked];
    """
    found, of_many, asked = run({"jobs": "newestJobs"}, script)
    assert found == [f"job-{i}" for i in range(120, 130)] and of_many == 100
    assert asked == ["jobs?limit=100", "jobs?limit=100&before=job-99", "jobs?limit=100"]


def test_jobs_that_go_on_are_followed_one_by_one_until_one_ends(run):
    script = """
        const state = (i) => ["done", "queued", "queued", "queued", "queued", "queued", "running", "done"][i];
        const all = [...Array(8).keys()].map((i) => ({ id: `job-${i}`, state: state(i) }));
        const asked = [];
        globalThis.fetch = async (path) => {
          asked.push(path);
          const job = all.find(({ id }) => path === `jobs/${id}`);
          return job ? Response.json({ ...job, rows_done: 4 }) : Response.json({ detail: "gone" }, { status: 404 });
        };
        const listed = all.map((job) => ({ ...job }));
        const found = await followed(listed);
        all[6].state = "done";
        const ended = await followed(listed);
        all.splice(6, 1);
        const gone = await followed(listed);
        const before = asked.length;
        const none = await followed(listed.slice(7));
        return { found, first: asked.slice(0, 5), ended, gone, none, more: asked.length - before };
    """
    told = run({"jobs": "followed"}, script)
    assert told["first"] == [f"jobs/job-{i}" for i in range(2, 7)]  # the newest of six has to wait
    assert [(job["id"], job["rows_done"]) for job in told["found"]] == [(f"job-{i}", 4) for i in range(2, 7)]
    assert told["ended"] is told["gone"] is told["none"] is None and told["more"] == 0


def test_contact_sheets_are_read_from_the_beginnings_of_files(run):
    rng = np.random.default_rng(0)
    count, numbers = 5, np.arange(5)
    images = Shard(rng.integers(0, 255, (count, 6, 4), np.uint8), numbers, numbers + 9, numbers % 2, ("no", "yes"))
    points = Shard(rng.random((count, 2), np.float32), numbers, numbers, numbers % 2, ("no", "yes"), ("x", "y"))
    files = {
        name: list(next(iter(FORMATS[name].write(images).values())))
        for name in ("parquet", "webdataset", "imagefolder", "npy")
    }
    script = """
        const [files, table] = given;
        const { npy, ...packed } = Object.fromEntries(
          Object.entries(files).map(([name, bytes]) => [name, Uint8Array.from(bytes)]));
        const found = Object.values(packed).map((bytes) => pngsIn(bytes, 4));
        const cut = pngsIn(packed.webdataset.subarray(0, packed.webdataset.length >> 1), 9).length;
        return { found, cut, npy: imagesIn(npy, 4), points: pointsIn(table.slice(0, -3), 9) };
    """
    table = FORMATS["csv"].write(points)[".csv"].decode()
    told = run({"jobs": "pngsIn, imagesIn, pointsIn"}, script, files, table)
    for pngs in told["found"]:
        read = [np.asarray(Image.open(io.BytesIO(bytes(png)))) for png in pngs]
        np.testing.assert_array_equal(read, images.data[:4])
    assert 0 < told["cut"] < count
    np.testing.assert_array_equal(np.reshape(told["npy"]["images"], (4, 6, 4)), images.data[:4])
    assert told["points"]["columns"] == ["x", "y"] and told["points"]["labels"] == ["no", "yes", "no", "yes"]
    np.testing.assert_array_equal(np.float32(told["points"]["points"]), points.data[:4])  # the last line is cut off


def test_of_a_table_its_columns_of_numbers_are_drawn(run):
    rows = ["label,port,age,fare,seed", '1,"Bath, ""old""",22,,7', "2,,30,7.5,8", ""]
    told = run({"jobs": "pointsIn"}, "return pointsIn(given[0], 9);", "\r\n".join(rows))
    assert told == {"columns": ["age"], "points": [[22], [30]], "labels": ["1", "2"]}


def test_a_part_is_rubbed_out_cell_by_cell(run):
    script = """
        const mask = new Mask(8, 6);
        mask.begin();
        mask.line([1.5, 2.5], [5.5, 2.5], 0.6);
        const one = [...mask.cells];
        mask.begin();
        mask.line([20, 20], [7.9, 5.9], 1); // from outside
        const two = [...mask.cells];
        const again = new Mask(8, 6);
        again.read(mask.pixels);
        const same = again.cells.every((cell, i) => cell === two[i]);
        const takenBack = [mask.undo()];
        const undone = [...mask.cells];
        mask.clear();
        const { empty } = mask;
        takenBack.push(mask.undo());
        const back = [...mask.cells];
        takenBack.push(mask.undo(), mask.undo());
        return { one, two, undone, same, empty, back, takenBack };
    """
    told = run({"mask": "Mask"}, script)
    one, two = (np.reshape(told[name], (6, 8)) for name in ("one", "two"))
    np.testing.assert_array_equal(np.argwhere(one), [[2, x] for x in range(1, 6)])
    assert two[5, 7] and two.sum() > one.sum() and told["same"] and told["empty"]
    assert told["undone"] == told["one"] == told["back"] and told["takenBack"] == [True, True, True, False]


def test_samples_that_begin_from_a_picture_are_asked_and_counted_so(run):
    script = """
        const picture = "iVBORw0KGgo+/A==";
        return given[0].map((edited) => {
          const shared = { view: "edit", dataset: "digits", picture, seed: 7, guidance_scale: 1 };
          const settled = settle(catalog, { ...shared, ...edited });
          const { init, mask, resample, model } = asRequest(settled);
          const again = asRequest(settle(catalog, fromQuery(asQuery(settled))));
          return { model, strength: init.strength, masked: mask?.image === picture, resample: resample ?? null,
            cost: evaluations(settled), same: JSON.stringify(again) === JSON.stringify(asRequest(settled)) };
        });
    """
    mask = "iVBORw0KGgo+/A=="
    imports = {"choice": "settle, asRequest", "cost": "evaluations", "link": "asQuery, fromQuery"}
    told = run(imports, script, [{}, {"strength": "0.25", "model": "digits-fast"}, {"mask": mask}])
    shared = {"model": "digits-cfg", "same": True}  # no student begins from a picture
    assert told == [
        {"strength": 0.5, "masked": False, "resample": None, "cost": 5} | shared,  # half of ten steps
        {"strength": 0.25, "masked": False, "resample": None, "cost": 3} | shared,
        {"strength": 1, "masked": True, "resample": 5, "cost": 9 * 5 + 1} | shared,
    ]


def test_from_a_picture_on_a_part_of_the_steps_is_counted_without_what_floats_add(run):
    """50 × 0.14 is 7.000000000000001, and yet seven steps."""
    script = """
        return given[0].map(([steps, strength]) => evaluations(settle(catalog,
          { view: "edit", dataset: "digits", picture: "-", sampler: "ddim", guidance_scale: 1, steps, strength })));
    """
    strengths = [(50, 0.14), (25, 0.28), (100, 0.07), (100, 0.55), (50, 0.15), (50, 0.141), (10, 0)]
    told = run({"choice": "settle", "cost": "evaluations"}, script, strengths)
    assert told == [7, 7, 7, 55, 8, 8, 1]


UNGUIDED = WAY | {
    "asks": "nothing", "guidance": "none", "network_evaluations": 10,
    "defaults": WAY["defaults"] | {"guidance_scale": None},
}  # fmt: skip
AUTO = UNGUIDED | {
    "guidance": "auto", "network_evaluations": 12.5, "defaults": WAY["defaults"] | {"guidance_scale": 2},
}  # fmt: skip
KNOWN = UNGUIDED | {
    "hint": "inpainting", "guidance": "classifier-free", "edits": ["mask"], "network_evaluations": 30,
    "defaults": WAY["defaults"] | {"guidance_scale": 2, "resample": 1},
}  # fmt: skip
KNOWN_UNGUIDED = KNOWN | {
    "guidance": "none", "network_evaluations": 20,
    "defaults": UNGUIDED["defaults"] | {"resample": 1},
}  # fmt: skip
MASKED = [  # of an edit: guidance, its scale, resample, whether a ControlNet takes part, network evaluations
    ({"mask": "-"}, ["classifier-free", 2, 1, True, 30]),
    ({"mask": "-", "guidance_scale": 1}, ["classifier-free", 1, 1, True, 20]),
    ({"mask": "-", "guidance": "auto"}, ["auto", 2, 5, False, 58]),  # 1.25 evaluations a step; nothing follows it there
    ({"mask": "-", "asks": "label", "label": "1"}, ["classifier-free", 3, 5, False, 92]),  # nothing follows it there
    ({"mask": "-", "guidance": "none"}, ["none", None, 1, True, 20]),
    ({}, ["none", None, None, False, 5]),
]


@pytest.mark.parametrize(("choice", "expected"), MASKED)
def test_a_mask_is_shown_as_it_is_answered(run, choice, expected):
    script = """
        const [choice, ways] = given;
        catalog.datasets.digits.ways.push(...ways);
        const settled = settle(catalog, { dataset: "digits", view: "edit", picture: "-", asks: "nothing", ...choice });
        const { guidance, guidance_scale: scale = null, resample = null } = asRequest(settled);
        if (settled.can.models.length > 1) throw new Error("a way stands there twice");
        return [guidance, scale, resample, settled.controlled, evaluations(settled)];
    """
    imports = {"choice": "settle, asRequest", "cost": "evaluations"}
    assert run(imports, script, choice, [UNGUIDED, AUTO, KNOWN, KNOWN_UNGUIDED]) == expected


def test_between_two_seeds_all_samples_begin_from_the_same_noise(run):
    script = """
        const way = { dataset: "digits", asks: "each", n: 3, seed: 5, seed_to: "9", mix: "0.25" };
        const settled = settle(catalog, way);
        const { seed, seed_to: to, mix } = asRequest(settled);
        const again = settle(catalog, fromQuery(asQuery(settled)));
        return { body: [seed, to, mix], seeds: [seedOf(settled, 2), seedOf({ ...settled, seed_to: null }, 2)],
          same: JSON.stringify(asRequest(again)) === JSON.stringify(asRequest(settled)) };
    """
    told = run({"choice": "settle, asRequest, seedOf", "link": "asQuery, fromQuery"}, script)
    assert told == {"body": [5, 9, [0.25] * 3], "seeds": [5, 7], "same": True}


def test_runs_are_kept_by_what_was_asked_and_the_longest_unused_goes_first(run):
    script = """
        const kept = new Kept(2);
        kept.put({ seed: 1 }, "one");
        kept.put({ seed: 2 }, "two");
        kept.get({ seed: 1 });
        kept.put({ seed: 3 }, "three");
        return [1, 2, 3].map((seed) => kept.get({ seed }));
    """
    assert run({"kept": "Kept"}, script) == ["one", None, "three"]


def test_strokes_come_back_from_a_link_nearly_as_they_were_drawn(run):
    curve = [[100 + 80 * np.cos(a), 110 + 80 * np.sin(a)] for a in np.linspace(0, 6, 200)]
    script = """
        const text = encodeStrokes(given[0]);
        return { text, strokes: decodeStrokes(text, 224), bad: given[1].map((text) => decodeStrokes(text, 224)) };
    """
    bad = ["", "!", "_w", "Af__", "AAAA"]  # no letters of ours; fewer points than promised; outside; none at all
    told = run({"strokes": "encodeStrokes, decodeStrokes"}, script, [curve, [[5, 6]]], bad)
    back, dot = told["strokes"]
    assert dot == [[5, 6]] and len(back) < 40 and len(told["text"]) < 120 and told["bad"] == [None] * 5
    ends = np.array(list(itertools.pairwise(back)))
    for x, y in curve:
        start, along = ends[:, 0], ends[:, 1] - ends[:, 0]
        share = (((np.array([x, y]) - start) * along).sum(1) / (along**2).sum(1)).clip(0, 1)
        assert np.hypot(*(start + share[:, None] * along - [x, y]).T).min() < 2


def test_archives_pictures_and_arrays_are_what_python_reads(run):
    with io.BytesIO() as buffer:
        Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(buffer, "PNG")
        png = list(buffer.getvalue())
    script = """
        return {
          zip: zip([["a.txt", Uint8Array.of(104, 105)], ["é.bin", new Uint8Array(3)]]),
          png: withTexts(Uint8Array.from(given[0]), { Seed: "7", Parameters: '{"prompt": "ça"}' }),
          npy: npy(Float32Array.from([1, 2, 3, 4, 5, 6]), [3, 2]),
          flat: npy(Uint8Array.of(9, 8), [2]),
        };
    """
    files = run({"zip": "zip", "png": "withTexts", "npy": "npy"}, script, png)
    with zipfile.ZipFile(io.BytesIO(bytes(files["zip"]))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"hi", "é.bin": b"\0\0\0"}
    picture = Image.open(io.BytesIO(bytes(files["png"])))
    assert picture.text == {"Seed": "7", "Parameters": '{"prompt": "ça"}'}
    np.testing.assert_array_equal(np.asarray(picture), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(np.load(io.BytesIO(bytes(files["npy"]))), np.float32([[1, 2], [3, 4], [5, 6]]))
    np.testing.assert_array_equal(np.load(io.BytesIO(bytes(files["flat"]))), np.uint8([9, 8]))


def test_an_animation_is_played_with_all_its_frames(run):
    frames = [np.full((4, 6, 3), value, np.uint8) for value in (10, 120, 250)]
    pngs = []
    for frame in frames:
        with io.BytesIO() as buffer:
            Image.fromarray(frame).save(buffer, "PNG")
            pngs.append(list(buffer.getvalue()))
    script = "return animated(given[0].map((png) => Uint8Array.from(png)), [100, 100, 900]);"
    animation = Image.open(io.BytesIO(bytes(run({"apng": "animated"}, script, pngs))))
    assert animation.n_frames == 3 and animation.info["loop"] == 0
    for i, frame in enumerate(frames):
        animation.seek(i)
        np.testing.assert_array_equal(np.asarray(animation.convert("RGB")), frame)
    assert animation.info["duration"] == 900


@pytest.mark.parametrize("colours", [2, 256, 20_000])
def test_a_gif_is_played_with_all_its_frames_exactly_up_to_256_colours(run, colours):
    """Noise needs all of LZW's codes, several times over."""
    rng = np.random.default_rng(0)
    if colours > 256:  # a smooth picture of many: near ones become one
        frames = np.stack(np.meshgrid(np.arange(120), np.arange(160), [90]), -1)[:, :, 0][None].astype(np.uint8)
    else:
        frames = (
            rng.permutation(256)[:colours].astype(np.uint8)[rng.integers(0, colours, (3, 80, 100, 1))].repeat(3, -1)
        )
    script = """
        const [frames, height, width, delays] = given;
        return gif(frames.map((frame) => Uint8Array.from(frame)), width, height, delays);
    """
    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], -1)
    delays = [120] * (len(frames) - 1) + [1500]
    made = run({"gif": "gif"}, script, opaque.reshape(len(frames), -1).tolist(), *frames.shape[1:3], delays)
    animation = Image.open(io.BytesIO(bytes(made)))
    assert animation.n_frames == len(frames) and animation.info["loop"] == 0
    for i, frame in enumerate(frames):
        animation.seek(i)
        assert animation.info["duration"] == delays[i]
        found = np.asarray(animation.convert("RGB")).astype(int)
        assert np.abs(found - frame).max() <= (0 if colours <= 256 else 16)


def test_a_cards_figures_become_sentences(run):
    """Those that were measured with just these settings are told in brief; others are not laid on them."""
    model = {
        "name": "m", "guidance_models": [], "controlnets": [],
        "metrics": {
            "measured": {"samples": 5, "sampler": "ddim", "steps": 20, "guidance_scale": 1.5, "frechet_ratio": 1.7134,
                         "label_accuracy": 0.9956, "precision": 0.913},
            "memorisation": {"samples": 2000, "nearer_than_real": 0.004, "nearer_than_real_by_chance": 0.01},
            "likelihood": {"bits": 3},
        },
    }  # fmt: skip
    script = """
        const way = { can: { model: given[0] }, sampler: "ddim", guidance: "none", guidance_scale: null };
        const of = (steps) => ({ ...way, steps });
        const copies = (memorised) => memorisation({ can: { model: { metrics: { memorisation: memorised } } } });
        const { memorisation: few } = given[0].metrics;
        const many = [0.016, 0.02].map((share) => ({ ...few, nearer_than_real: share }));
        return { all: measurements(of(20)).map(({ figures }) => figures.map(({ sentence }) => sentence)),
          brief: [brief(of(20)), brief(of(5))],
          copies: [few, ...many, undefined, { equal_to_training: 0.25, equal_to_training_of_real: 0.1 }].map(copies) };
    """
    told = run({"card": "measurements, brief, memorisation"}, script, model)
    ((frechet, accuracy, precision),) = told["all"]
    assert "1.71 times as far" in frechet and "99.56%" in accuracy and "91%" in precision
    by_chance, within_chance, more, unknown, equal = told["copies"]
    assert by_chance.startswith("No: 0.4% of its samples") and by_chance.endswith("1%.")
    assert within_chance.startswith("No: 2%") and more.startswith("Perhaps: 2%") and unknown.startswith("Nobody has")
    assert equal == "25% of its samples equal a training row; of real rows it has not seen, 10% do."
    assert told["brief"] == ["1.71 × the distance of real test images, 99.56% read right", ""]


LINKS = {
    "dataset=digits&label=1&steps=5&seed=3": [],
    "dataset=digits&label=1&seed=3&eta=0.5&sampler=ddim": [],
    "dataset=digits&labels=each&seed=3": [],
    "dataset=digits&label=12": ["label “12” → every class"],
    "dataset=cats&label=1": ["dataset “cats” → digits"],
    "dataset=digits&label=1&sampler=euler&steps=1e9": ["sampler “euler” → ddim", "steps “1e9” → 100"],
    "dataset=digits&label=1&sampler=heun&eta=0.5": ["eta “0.5” → left out"],
    "dataset=digits&label=1&n=many&colour=red": ["n “many” → 1", "colour “red” → left out"],
    "dataset=digits&label=1&seed=9007199254740993": ["seed “9007199254740993” → 9007199254740991"],
    "dataset=digits&prompt=a+cat": ["prompt “a cat” → left out"],
    "dataset=digits&labels=some": ["labels “some” → left out"],
    "view=compare&over=colour&values=2,x": ["over “colour” → steps", "values “x” → left out"],
    "view=compare&over=steps&by=seed&by_values=1,x": ["by_values “x” → left out"],
    "view=compare&over=steps&by=steps": ["by “steps” → left out"],
    "view=paint": ["view “paint” → generate"],
}


def test_a_link_that_asks_for_what_is_not_here_is_corrected_in_one_sentence(run):
    script = """
        return given[0].map((link) => {
          const query = new URLSearchParams(link);
          return corrections(query, settle(catalog, fromQuery(query)));
        });
    """
    said = run({"choice": "settle", "link": "corrections, fromQuery"}, script, list(LINKS))
    for sentence, told in zip(said, LINKS.values(), strict=True):
        assert sentence == (f"This link asks for what is not here; shown instead: {'; '.join(told)}." if told else "")


def test_a_link_says_all_of_a_choice(run):
    script = """
        const choice = { view: "draw", dataset: "digits", asks: "label", label: "2", steps: "7", step: "4", seed: "5",
          n: "3", guidance_scale: "2.5", drawing: "iVBORw0KGgo+/A==", strokes: "AQUG" };
        const settled = settle(catalog, choice);
        const again = settle(catalog, fromQuery(asQuery(settled)));
        const body = asRequest(settled);
        return { same: JSON.stringify(body) === JSON.stringify(asRequest(again)), body, strokes: again.strokes,
          step: again.step };
    """
    told = run({"choice": "settle, asRequest", "link": "asQuery, fromQuery"}, script)
    assert told["same"] and told["strokes"] == "AQUG" and told["step"] == 4 and "step" not in told["body"]
    assert told["body"]["control"]["image"] == "iVBORw0KGgo+/A=="
    assert told["body"]["steps"] == 7 and told["body"]["label"] == "2" and told["body"]["guidance_scale"] == 2.5


AXES = {  # of a link: the axes that are shown, what its address says of them, and what is told
    "": ([2, 3], None, ""),
    "axes=4,height": ([4, 2], "planted,height", ""),
    "axes=height,+kind%3Doak": ([2, 0], "height,kind=oak", ""),
    "axes=4,3": ([4, 3], "planted,3", ""),  # a name with a comma in it
    "axes=height,3": ([2, 3], None, ""),  # those that are shown anyway
    "axes=height,height": ([2, 3], None, "axes “height,height” → left out"),
    "axes=height,6": ([2, 3], None, "axes “height,6” → left out"),
    "axes=height,": ([2, 3], None, "axes “height,” → left out"),
    "axes=height": ([2, 3], None, "axes “height” → left out"),
}


@pytest.mark.parametrize("view", ["generate", "compare"])
@pytest.mark.parametrize("link", AXES)
def test_the_axes_of_a_cloud_are_the_services_or_the_links(run, link, view):
    script = """
        const [trees, link] = given;
        catalog.datasets.trees = trees;
        const query = new URLSearchParams(link);
        const settled = settle(catalog, fromQuery(query));
        const again = settle(catalog, fromQuery(asQuery(settled)));
        const cells = settled.over ? cellsOf(catalog, settled).flat().map((cell) => cell.settled.axes) : [];
        return { axes: [settled.axes, again.axes, settle(catalog, settled).axes, ...cells], body: asRequest(settled),
          said: asQuery(settled).get("axes"), told: corrections(query, settled) };
    """
    imports = {"choice": "settle, asRequest", "cells": "cellsOf", "link": "asQuery, fromQuery, corrections"}
    told = run(imports, script, TREES, f"dataset=trees&seed=1&view={view}&{link}")
    axes, said, corrected = AXES[link]
    assert all(one == axes for one in told["axes"]) and told["said"] == said and "axes" not in told["body"]
    assert told["told"] == (f"This link asks for what is not here; shown instead: {corrected}." if corrected else "")


def test_axes_are_left_out_where_there_are_not_three(run):
    script = """
        const [trees, columns] = given;
        catalog.datasets.trees = { ...trees, columns, table: [], axes: columns.length > 1 ? [0, 1] : [0] };
        return ["trees", "digits"].map((dataset) => {
          const query = new URLSearchParams({ dataset, seed: 1, axes: "1,0" });
          const settled = settle(catalog, fromQuery(query));
          return [settled.axes, asQuery(settled).has("axes"), corrections(query, settled).includes("axes")];
        });
    """
    imports = {"choice": "settle", "link": "asQuery, fromQuery, corrections"}
    assert run(imports, script, TREES, ["x", "y"]) == [[[0, 1], False, True], [None, False, True]]
    assert run(imports, script, TREES, ["x"])[0] == [[0], False, True]


def test_days_are_dates_on_an_axis(run):
    script = """
        const [trees] = given;
        const at = (days, language, origin = "2014-01-01T00:00:00") =>
          dateAt(origin, days, language, { time: !Number.isInteger(days) });
        return [originsOf(trees), at(200, "en"), at(200, "de"), at(0.5, "en"), at(-1, "en", "0900-03-01T00:00:00")];
    """
    origins, *dates = run({"axes": "originsOf, dateAt"}, script, TREES)
    assert origins == [None] * 4 + ["2014-01-01T00:00:00", None]
    dates = [" ".join(one.split()) for one in dates]  # some spaces are narrow
    assert dates == ["Jul 20, 2014", "20.07.2014", "Jan 1, 2014, 12:00 PM", "Feb 28, 900"]


def test_the_python_that_is_copied_prints_a_tables_own_columns(run):
    script = """
        globalThis.document = { baseURI: "http://localhost:8000/" };
        const { httpx } = await import("./commands.js");
        catalog.datasets.trees = given[0];
        catalog.datasets.plain = { ...given[0], table: [] };
        return ["trees", "plain"].map((dataset) => httpx(settle(catalog, { dataset, seed: 1 })));
    """
    of_table, of_points = run({"choice": "settle"}, script, TREES)
    table = {"columns": ["kind", "height"], "rows": [["oak", 3], ["elm", 4]]}
    for code, told in ((of_table, "2 rows, the first: {'kind': 'oak', 'height': 3}"), (of_points, "1 points")):
        lines, printed = code[code.index("raise_for_status()") + len("raise_for_status()") :], io.StringIO()
        answer = SimpleNamespace(json=lambda: {"table": table, "points": [[1, 0, 3]]})
        with contextlib.redirect_stdout(printed):
            exec(lines, {"answer": answer})
        assert printed.getvalue().startswith(told)


def test_rows_are_left_out_only_where_the_model_can_tell(run):
    script = """
        for (const model of catalog.datasets.digits.models) Object.assign(model, given[0]);
        const { judge, distinct } = settle(catalog, { view: "data", asks: "each", judge: "0.9", distinct: "1" });
        return [judge, distinct ?? null];
    """
    for judged, training_rows in itertools.product([True, False], repeat=2):
        found = run({"choice": "settle"}, script, {"judged": judged, "training_rows": training_rows})
        assert found == [0.9 if judged else None, "1" if training_rows else None]


COSTS = [  # of a choice: network evaluations of a sample, and seconds
    ({"steps": 10, "guidance_scale": 1}, 10, 10 * 1 / 100),
    ({"steps": 10, "guidance_scale": 3}, 20, 10 * (0.01 + 0.01 / 9)),  # two rows, between the sizes 1 and 10
    ({"steps": 5, "guidance_scale": 1, "sampler": "heun"}, 9, 9 / 100),
    ({"steps": 5, "guidance_scale": 1, "n": 10}, 5, 5 * 10 / 500),
    ({"steps": 5, "guidance_scale": 3, "n": 40}, 10, 5 * 80 / 800),
    ({"view": "draw", "hint": "canny", "steps": 10, "guidance_scale": 1}, 20, 10 * (0.01 + 0.01 / 9)),
    ({"view": "draw", "hint": "canny", "steps": 10, "guidance_scale": 3}, 40, 10 * (0.01 + 3 * 0.01 / 9)),
]


@pytest.mark.parametrize(("advised", "choice", "offered"), [
    (None, {}, True),
    (None, {"seed_to": 5}, False),
    (None, {"guidance_interval": "0.5,3"}, False),
    ([0.5, 3], {}, True),
    ([0.5, 3], {"guidance_interval": "0.5,2"}, False),
    ([0.5, 3], {"guidance_scale": 2}, False),  # the page keeps the interval, and the service does not
    ([0.5, 3], {"guidance_scale": 1}, True),  # no interval
])  # fmt: skip
def test_openais_client_is_offered_where_it_gives_the_same_pictures(run, advised, choice, offered):
    script = """
        const [advised, choice] = given;
        globalThis.document = { baseURI: "http://localhost:8000/" };
        const { notByOpenai, openai } = await import("./commands.js");
        const { digits } = catalog.datasets;
        digits.ways[0].defaults.guidance_interval = advised;
        digits.ways.push({ ...digits.ways[0], asks: "prompt" });
        digits.prompts = { examples: ["seven"] };
        const settled = settle(catalog, { asks: "prompt", seed: 1, ...choice });
        return [notByOpenai(settled), settled.guidance_scale, openai(settled)];
    """
    why, scale, command = run({"choice": "settle"}, script, advised, choice)
    assert (why is None) == offered
    # A request that names a scale has no interval.
    with_interval = advised is not None and scale > 1
    if offered:
        assert (f'"guidance_scale": {scale}' in command) == (not with_interval) and "undefined" not in command


def test_a_wait_is_expected_by_what_the_passes_take(run):
    script = """
        return given[0].map((choice) => {
          const settled = settle(catalog, { dataset: "digits", asks: "label", label: "1", ...choice });
          return [evaluations(settled), expectedSeconds(settled)];
        });
    """
    told = run({"choice": "settle", "cost": "evaluations, expectedSeconds"}, script, [choice for choice, *_ in COSTS])
    assert told == [[evaluations, pytest.approx(seconds)] for _, evaluations, seconds in COSTS]


def test_the_forward_process_is_the_schedules(run):
    """At ᾱ = 1 the data, at ᾱ = 0 noise of the data's mean and deviation, between them HJA20 eq. 4; the same noise."""
    data = [[1.0, 30.0]] * 4000
    schedule = {"alpha_bar": [1, 0.36, 0], "mean": [0.5, 20], "std": [2, 5]}
    script = """
        const frames = forward(given[0], [0, 1, 2], given[1], { kind: "points", shape: [2], seed: 7 });
        return { frames, logSnr: logSnr(0.2) };
    """
    told = run({"schedule": "forward, logSnr"}, script, data, schedule)
    start, middle, end = (np.array(frame["x_t"]) for frame in told["frames"])
    np.testing.assert_array_equal(start, data)
    np.testing.assert_allclose(middle, [0.5, 20] + 0.6 * (np.array(data) - [0.5, 20]) + 0.8 * (end - [0.5, 20]))
    np.testing.assert_allclose(end.mean(0), [0.5, 20], atol=4 * 5 / 4000**0.5)
    np.testing.assert_allclose(end.std(0), [2, 5], rtol=0.05)
    assert abs(np.corrcoef(end.T)[0, 1]) < 0.08 and told["logSnr"] == pytest.approx(np.log(0.25))
    assert [(frame["step"], frame["of"], frame["timestep"]) for frame in told["frames"]] == [
        (0, 2, 0),
        (1, 2, 1),
        (2, 2, 2),
    ]


def test_who_waits_reads_how_many_are_first_and_for_how_long(run):
    script = """
        const element = { hidden: true };
        const wait = new Wait(element);
        const said = [];
        const tell = () => said.push(element.hidden ? null : element.textContent);
        wait.begin(12.4); await new Promise((done) => setTimeout(done, 20)); tell();
        wait.queued({ jobs: 3, seconds: 41.2 }); tell();
        wait.queued({ jobs: 1, seconds: 0.4 }); tell();
        wait.at({ step: 0, of: 50 });
        const now = performance.now.bind(performance);
        performance.now = () => now() + 4000;
        wait.at({ step: 10, of: 50 }); tell();
        wait.at({ step: 49, of: 50 }); tell();
        wait.counted(2, 7); tell();
        wait.end(); tell();
        return said;
    """
    assert run({"wait": "Wait"}, script) == [
        "About 12\u00a0s on this machine.", "3 requests run first, about 41\u00a0s.",
        "1 request runs first, about 400\u00a0ms.", "Step 10 of 50, about 16\u00a0s left.", None,
        "2 of 7 are done.", None,
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "too_much"), [
    (429, {"detail": "this would wait 64 s"}, True),
    (504, {"detail": "not done within 120 s"}, True),
    (503, {"detail": "the engine takes no work: it is loading"}, False),
    (422, {"detail": "this takes too long"}, True),
    (422, {"detail": "n: 1 … 64", "errors": [{"field": "n", "detail": "1 … 64"}]}, False),
    (401, {"detail": "an API key is needed"}, False),
])  # fmt: skip
def test_less_is_offered_where_the_work_was_too_much_and_not_where_a_field_was_wrong(run, status, body, too_much):
    script = """
        globalThis.sessionStorage = { getItem: () => null };
        const [status, body] = given;
        globalThis.fetch = async () => new Response(JSON.stringify(body), { status, headers: { "Retry-After": "4" } });
        const told = (problem) => [problem.status, problem.message, problem.retryAfter, problem.tooMuch];
        return ask("sample", { body: {} }).catch(told);
    """
    assert run({"api": "ask"}, script, status, body) == [status, body["detail"], 4, too_much]


@pytest.mark.parametrize(("language", "reason", "told"), [
    ("en", "Bad Gateway", "The service answered 502 Bad Gateway."),
    ("de", "", "Der Dienst hat mit 502 geantwortet."),  # HTTP/2 has no reason
    ("fr", "Bad Gateway", "Le service a répondu 502 Bad Gateway."),
])  # fmt: skip
def test_an_answer_that_explains_nothing_is_told_in_the_pages_language(run, language, reason, told):
    script = """
        const [language, statusText] = given;
        globalThis.localStorage = { getItem: () => language };
        globalThis.sessionStorage = { getItem: () => null };
        globalThis.fetch = async () => new Response("<h1>Oh</h1>", { status: 502, statusText });
        const { ask } = await import("./api.js");
        return ask("models").catch(({ message }) => message);
    """
    assert run({}, script, language, reason) == told


def test_the_median_is_of_what_was_counted_since(run):
    """Refusals count for nothing, nor do answers of long ago: four fast ones, and since then two slow ones."""

    def text(fast: int, slow: int, refused: int) -> str:
        counts = [("0.01", fast), ("10", fast), ("20", fast + slow), ("+Inf", fast + slow)]
        lines = [f'spirale_request_seconds_bucket{{le="{bound}",outcome="ok"}} {count}' for bound, count in counts]
        return "\n".join([*lines, f'spirale_request_seconds_bucket{{le="0.01",outcome="refused"}} {refused}'])

    script = """
        const [before, now] = given.map((text) => figures(text).latencies);
        return [median(now), median(since(before, now)), median(since(now, now))];
    """
    imports = {"status": "figures, median, since"}
    script = "globalThis.document = { addEventListener() {} };" + script
    told = run(imports, script, text(4, 0, 100), text(4, 2, 500))
    assert told == [pytest.approx(0.0075), pytest.approx(15), None]


@pytest.mark.parametrize("other", [language for language in LANGUAGES if language != "en"])
def test_every_language_has_the_same_words(run, other):
    """And none of them leaves a value out, or says undefined; each has a line for each sampler."""
    script = """
        const all = (words) => Object.fromEntries(Object.entries(words).map(([key, text]) => {
          if (typeof text !== "function") return [key, [text, []]];
          const names = new Set(); // of the values that go into it
          const values = new Proxy({}, { get: (_, name) => (names.add(String(name)), 7) });
          return [key, [text(values), [...names].sort()]];
        }));
        const { words: others, samplers, etas } = await import(`./words-${given[0]}.js`);
        return [all(words), all(others), Object.keys(samplers), Object.keys(etas)];
    """
    english, others, samplers, etas = run({"words-en": "words"}, script, other)
    assert english.keys() == others.keys() and set(samplers) == set(SAMPLERS)
    assert set(etas) == {name for name, spec in SAMPLERS.items() if "eta" in {option.name for option in spec.options}}
    for key, (text, values) in english.items():
        in_other, its_values = others[key]
        assert text and in_other and "undefined" not in text + in_other and values == its_values, key
        assert text.count("7") == in_other.count("7"), key


def test_what_the_page_asks_for_by_name_is_there(run):
    words = run({"words-en": "words"}, "return Object.keys(words);")
    asked = {key for module in FOLDER.glob("*.js") for key in re.findall(r'say\("([^"]+)"', module.read_text())}
    asked |= set(re.findall(r'data-(?:say|label|title)="([^"]+)"', (FOLDER / "index.html").read_text()))
    assert len(asked) > 80 and asked <= set(words)


def test_languages_call_themselves_by_their_own_names(run):
    names = run({"words": "nameOf"}, "return given[0].map(nameOf);", ["de", "en", "fr", "pt"])
    assert names == ["Deutsch", "English", "Français", "Português"]


def test_the_language_is_the_browsers_or_the_chosen_one(run):
    script = """
        const { language, say, seconds } = await import("./words.js");
        return [language, say("step", { step: 1, of: 2 }), [0.04, 2, 2.34, 41.2, 200].map(seconds)];
    """
    setup = "Object.defineProperty(globalThis, 'navigator', { value: { languages: %s }, configurable: true });"
    stored = "globalThis.localStorage = { getItem: () => 'fr' };"
    english = ["en", "step 1 of 2", ["40\u00a0ms", "2\u00a0s", "2.3\u00a0s", "41\u00a0s", "3\u00a0min"]]
    french = ["fr", "étape 1 sur 2", ["40\u00a0ms", "2\u00a0s", "2,3\u00a0s", "41\u00a0s", "3\u00a0min"]]
    assert run({}, setup % '["it-IT", "en-GB", "fr"]' + script) == english
    assert run({}, setup % '["fr-CH", "en"]' + script) == french
    assert run({}, setup % '["en"]' + stored + script) == french
    blocked = "Object.defineProperty(globalThis, 'localStorage', { get() { throw new Error('blocked'); } });"
    assert run({}, setup % '["fr"]' + blocked + script) == french
    assert run({}, setup % "[]" + script) == english
    eta = "const { sayOfEta } = await import('./words.js'); return sayOfEta('ddim', { explanation: 'how noisy' });"
    assert run({}, setup % '["en"]' + eta) == "how noisy"
    assert run({}, setup % '["fr"]' + eta) == "0 est déterministe, 1 est aussi bruité que ddpm"


def test_no_line_ends_before_a_unit_or_inside_of_french_punctuation(run):
    script = """
        globalThis.localStorage = { getItem: () => given[0] };
        const { say } = await import("./words.js");
        const corrected = say("corrected to", { name: "n", given: "x", used: 1 });
        return [corrected, say("sure"), say("part of the way", { percent: 5 })];
    """
    assert run({}, script, "fr") == ["n «\u00a0x\u00a0» → 1", "Vraiment\u00a0?", "5\u00a0% du chemin"]
    assert run({}, script, "en") == ["n “x” → 1", "Sure?", "5% of the way"]


def test_a_small_number_is_a_power_of_ten(run):
    given = [2.43e-9, 1.5e-12, 1e-4, 0.69512, -19.83, 0, 1]
    numbers = run({"explain": "number"}, "return given[0].map(number);", given)
    assert numbers == ["2.43·10⁻⁹", "1.5·10⁻¹²", "0.0001", "0.695", "-19.8", "0", "1"]


def test_both_axes_of_one_scale_have_one_pitch(run):
    """Over all that a wide canvas shows, beyond the bounds of the points; axes of different scales have their own."""
    script = """
        const alike = { x: [-2.1, 1.8], y: [-1.9, 1.9] };
        const unlike = { x: [0, 1000], y: [0, 1] };
        return [ticksOf(alike, 800, 500), ticksOf(alike, 500, 800), ticksOf(unlike, 400, 400), ticksOf(alike, 0, 0)];
    """
    wide, upright, own, hidden = run({"axes": "ticksOf"}, script)
    assert wide == {"x": [-3, -2, -1, 0, 1, 2], "y": [-1, 0, 1]}
    assert upright == {"x": [-2, -1, 0, 1], "y": [-3, -2, -1, 0, 1, 2, 3]}
    assert own == {"x": [0, 500, 1000], "y": [0, 0.5, 1]}
    assert hidden == {"x": [], "y": []}


def test_ticks_of_data_far_from_zero_are_all_different(run):
    far = "return ticksOf({ x: [1700123000, 1700124000], y: [1e-7, 4e-7] }, 400, 400);"
    assert run({"axes": "ticksOf"}, far) == {
        "x": [1700123000, 1700123500, 1700124000],
        "y": pytest.approx([1e-7, 2e-7, 3e-7, 4e-7], rel=1e-12),
    }


@pytest.mark.parametrize(("interval", "asked"), [([0.5, 1], "0.5,1"), (None, None)])
def test_a_score_field_is_asked_for_once_and_kept(run, interval, asked):
    """Both of its requests: without a label, and with it, guided as the samples are."""
    script = """
        const asked = [];
        globalThis.fetch = async (path) => {
          asked.push(Object.fromEntries(new URLSearchParams(path.split("?")[1])));
          return Response.json({ points: [[0, 0]], score: [[asked.length, 0]] });
        };
        let came;
        const arrived = new Promise((done) => { came = done; });
        const field = new ScoreField(came, (error) => { throw error; });
        const guided = { guidance: "classifier-free", guidance_scale: 3, guidance_interval: given[0] };
        const asks = { asks: "label", label: "1", ...guided };
        const settled = { dataset: "spiral", model: "spiral-cfg", ...asks };
        const over = (width, height) => field.at(settled, 500, squareOf({ x: [-2, 2], y: [-1, 1] }, width, height));
        const first = over(400, 300);
        await arrived;
        return { first, found: over(400, 300), asked };
    """
    told = run({"field": "ScoreField", "axes": "squareOf"}, script, interval)
    assert told["first"] is None
    names = ("timestep", "area", "label", "guidance_scale", "guidance_interval")
    assert [[one.get(name) for name in names] for one in told["asked"]] == [
        ["500", "-1.5,1.5,-1.5,1.5", None, None, None], ["500", "-1.5,1.5,-1.5,1.5", "1", "3", asked]]  # fmt: skip
    assert told["found"] == {"points": [[0, 0]], "plain": [[1, 0]], "added": [[1, 0]]}


def test_a_hidden_cloud_asks_for_no_field(run):
    """It has no width, or no height; so has one that was taken off the page. It paints once it has a size."""
    script = """
        const context = new Proxy({}, { get: () => () => {}, set: () => true });
        const element = () => ({ append() {}, setAttribute() {}, getContext: () => context });
        globalThis.document = { addEventListener() {}, createElement: element };
        globalThis.getComputedStyle = () => ({ getPropertyValue: () => "" });
        globalThis.devicePixelRatio = 1;
        globalThis.ResizeObserver = class { observe() {} };
        const { Cloud } = await import("./cloud.js");
        const cloud = new Cloud("x0", { small: true });
        const areas = [];
        cloud.field = (area) => { areas.push(area); return null; };
        const dataset = { columns: ["x", "y"], table: [] };
        cloud.begin({ axes: [0, 1], can: { dataset } }, [], { points: [[-2, -1], [2, 1]], classes: [] });
        for (const [clientWidth, clientHeight] of given[0]) {
          Object.assign(cloud.canvas, { clientWidth, clientHeight });
          cloud.canvas.repaint();
        }
        return areas;
    """
    assert run({}, script, [[0, 0], [0, 300], [400, 0]]) == []
    half = 150 / 400 * 4.64  # of a square of 300 pixels, where 400 pixels show 4 and their margins
    assert run({}, script, [[0, 0], [400, 300]]) == [pytest.approx([-half, half, -half, half])]


def test_images_stand_in_lines_that_are_nearly_full(run):
    counts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16]
    lines = run({"pictures": "across"}, "return given[0].map(across);", counts)
    assert lines == [1, 2, 3, 2, 3, 3, 4, 4, 3, 5, 4, 4, 4]


def test_a_trajectory_is_played_slowly_and_again_and_again(run):
    """Five frames in 1.8 s, the clock in the test's hands: slow motion takes five times as long, a loop rests first."""
    script = """
        let tick = null;
        globalThis.requestAnimationFrame = (next) => ((tick = next), 1);
        globalThis.cancelAnimationFrame = () => (tick = null);
        globalThis.matchMedia = () => ({ matches: false });
        const player = new Player(() => {}, () => {});
        const at = (seconds) => (tick(1000 * seconds), Number(player.position.toFixed(3)));
        player.begin(5);
        player.count = 5;
        player.play();
        const plain = [at(0), at(0.9), at(1.8), player.playing];
        player.slow = true;
        player.replay();
        const slow = [at(0), at(0.9), at(9)];
        Object.assign(player, { slow: false, loop: true });
        player.replay();
        const loop = [at(0), at(1.8), at(2.8), at(3.2), at(4.1), player.playing];
        return { plain, slow, loop };
    """
    told = run({"player": "Player"}, script)
    assert told == {"plain": [0, 2, 4, False], "slow": [0, 0.4, 4], "loop": [0, 4, 4, 0, 2, True]}


def test_a_score_field_that_is_refused_is_asked_for_once_and_one_that_nothing_answers_again(run):
    script = """
        let asked = 0;
        let answer;
        globalThis.fetch = async () => { asked++; return answer(); };
        const settled = { dataset: "far", model: "far", asks: "none" };
        const area = [1700000000.123456, 1700000300.123456, 0, 300];
        const counted = async (fails) => {
          answer = fails;
          asked = 0;
          let failed;
          const field = new ScoreField(() => {}, () => failed());
          for (let i = 0; i < 2; i++) {
            const over = new Promise((done) => { failed = done; setTimeout(done, 50); });
            field.at(settled, 500, area);
            await over;
          }
          return asked;
        };
        const paths = [];
        const flat = [1700000000.123456, 1700001000.123456, 0, 0.001];
        const refused = await counted(() => Response.json({ detail: "none", errors: [{}] }, { status: 422 }));
        const silent = await counted(() => { throw new TypeError("no network"); });
        globalThis.fetch = async (path) => { paths.push(path); return Response.json({ points: [], score: [] }); };
        for (const one of [area, flat]) await new Promise((done) => new ScoreField(done, done).at(settled, 500, one));
        return { refused, silent, areas: paths.map((path) => new URLSearchParams(path.split("?")[1]).get("area")) };
    """
    told = run({"field": "ScoreField"}, script)
    assert (told["refused"], told["silent"]) == (1, 2)
    assert told["areas"] == ["1700000000.1235,1700000300.1235,0,300", "1700000000.123,1700001000.123,0,0.001"]


def test_the_score_is_not_offered_for_a_student(run):
    script = """
        const points = { kind: "points", shape: [2], table: [] };
        return [{ few_step: null }, { few_step: {} }].map((model) => mayBeSeen("field", points, model));
    """
    assert run({"choice": "mayBeSeen"}, script) == [True, False]


def test_a_class_without_a_name_is_not_in_the_legend(run):
    script = """
        const made = () => ({ setAttribute() {}, append(...all) { this.text = all.join(); } });
        globalThis.document = { createElement: made, addEventListener() {} };
        const { legendOf } = await import("./legend.js");
        const can = { dataset: { kind: "points" }, labels: given[0], model: { reference: true } };
        return legendOf({ asks: null, can }, [0, 1, 1]).map((item) => item.text);
    """
    assert run({}, script, []) == ["real"]
    assert run({}, script, ["a", "b"]) == ["a", "b", "real"]


def test_points_are_kept_in_float32_only_where_that_has_all_their_digits(run):
    powers = np.arange(-20, 20).repeat(5)
    singles = (np.random.default_rng(0).normal(size=200) * 10.0**powers).astype(np.float32)
    as_json = [float(str(value)) for value in singles]
    script = "return given.map((numbers) => floats(numbers)).map((found) => [found.constructor.name, [...found]]);"
    told = run({"npy": "floats"}, script, as_json, [1700000229.04, 0.5], [16777217, 0], [0, -1, 3])
    assert [name for name, _ in told] == ["Float32Array", "Float64Array", "Float64Array", "Float32Array"]
    assert np.array_equal(np.float32(told[0][1]), singles) and told[1][1] == [1700000229.04, 0.5]


def test_a_key_that_no_header_can_hold_is_asked_for_again(run):
    script = """
        globalThis.sessionStorage = { getItem: () => given[0], setItem() {}, removeItem() {} };
        globalThis.fetch = async () => Response.json({});
        try { await ask("models"); return "sent"; } catch (error) { return error.status; }
    """
    assert [run({"api": "ask"}, script, key) for key in ("abc-1~", "abc\u200b", "“abc”")] == ["sent", 401, 401]


@pytest.mark.parametrize(
    ("text", "language", "numbers"),
    [
        ("1, 2, 5", "en", ["1", "2", "5"]),
        ("1.5 2,5", "en", ["1.5", "2", "5"]),
        ("1, 2, 5", "de", ["1", "2", "5"]),
        ("1,5; 2,5", "de", ["1.5", "2.5"]),
        ("1,2,5;", "fr", ["1", "2", "5"]),
        (" ;, ", "de", []),
    ],
)
def test_a_list_is_read_as_it_is_written_in_the_pages_language(run, text, language, numbers):
    imports = {"controls": "listed"}
    assert run(imports, "return listed(given[0], given[1]);", text, language) == numbers


FAKE_PAGE = """
    const context = new Proxy({}, { get: () => () => {}, set: () => true });
    const element = () => ({ append() {}, replaceChildren() {}, setAttribute() {}, addEventListener() {}, dataset: {},
      querySelectorAll: () => [], getContext: () => context });
    globalThis.document = { addEventListener() {}, createElement: element };
    globalThis.getComputedStyle = () => ({ getPropertyValue: () => "" });
    globalThis.Image = class { width = 8; height = 8; set src(_) { queueMicrotask(() => this.onload()); } };
"""


def test_a_picture_that_a_draft_has_fitted_is_in_the_choice(run):
    """Else the address and the link would go without it: the one that was dropped is too large for them."""
    script = f"""
        {FAKE_PAGE}
        const {{ Editing }} = await import("./editing.js");
        const names = ["editing", "source", "file", "sampled", "invert", "unerase", "keepall"];
        const editing = new Editing(Object.fromEntries(names.map((name) => [name, element()])), () => {{}}, () => {{}});
        editing.picture = "large";
        const answered = {{ init: {{ image: btoa("small") }}, resized: [512, 512] }};
        const first = await editing.understood(answered, null, {{ picture: "large" }});
        const second = await editing.understood(answered, null, {{ picture: "large" }});
        editing.picture = "another";
        return [first, second, await editing.understood(answered, null, {{ picture: "large" }})];
    """
    fitted = {"picture": base64.b64encode(b"small").decode()}
    assert run({}, script) == [fitted, fitted, {}]


def test_taking_a_stroke_back_lifts_the_pen(run):
    script = f"""
        {FAKE_PAGE}
        const {{ Eraser }} = await import("./eraser.js");
        const eraser = new Eraser(element(), () => {{}});
        eraser.bitmap = {{ width: 28, height: 28 }};
        const press = (key) => eraser.pressed({{ key, preventDefault() {{}} }});
        const rubbed = () => eraser.mask.cells.filter(Boolean).length;
        const told = [];
        for (const key of [" ", "ArrowRight", "Backspace", "ArrowRight", "ArrowRight"]) {{
          press(key);
          told.push(rubbed());
        }}
        return told;
    """
    first, second, *after = run({}, script)
    assert 0 < first <= second and after == [0, 0, 0]
