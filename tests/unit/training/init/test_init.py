"""init: what it proposes can be built and trained, what it writes says what it means, and what it refuses says why."""

import itertools
import json
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model.checkpoints.denoiser import load_checkpoint
from model.data import DataConfig
from model.networks import build_encoder, build_network
from tests.folders import make_folder, make_table, noise
from tests.tiny import save_tiny, tiny_checkpoint
from tests.unit.training.data.test_decoded_images import images, truncated
from training.__main__ import app
from training.data.image_folder import read_folder
from training.data.table_file import read_columns
from training.data.training_set import DataError
from training.init import few_steps
from training.init.choices import Choice, Draft, Section
from training.init.probe import Pace, measure_pace
from training.init.propose import choose_size, recipe_for
from training.init.roles import DataSummary, Role, UnsupportedRole
from training.init.survey import near_copies, survey_images
from training.init.table_survey import survey_table
from training.recipe import (
    ClassifierRecipe,
    ControlFlowMapRecipe,
    DenoiserRecipe,
    DistillingRecipe,
    RecipeError,
    load_recipe,
    parse_recipe,
)
from training.tasks.registry import make_task


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """A working directory and a cache of its own, and no long measurement of the pace."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("training.init.probe.SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result) -> str:
    """What a person is told: the report, or the error that stopped it."""
    return result.output if result.exception is None else f"{result.output}{result.exception}"


def shortened(recipe: str) -> str:
    """The same TOML over three steps."""
    shorter = re.sub(r"^steps = \d+ #", "steps = 3 #", recipe, count=1, flags=re.MULTILINE)  # not those of [sampling]
    return re.sub(r"^warmup_steps = \d+", "warmup_steps = 0", shorter, flags=re.MULTILINE)


# The TOML


def test_what_is_written_is_what_is_meant():
    nasty = 'a "quoted" \\ name\twith \x7f and ü\n'
    head = {
        "name": Choice(nasty, f"a reason, {nasty}"),
        "description": Choice("long " * 30, "a reason that goes above the line"),
        "seed": Choice(0),
    }
    network = {
        "blocks": Choice(2, f"{nasty} above the line" * 10),
        "channels": Choice([48, 96], "two"),
        "learned": Choice(True),
        "rate": Choice(5e-4),
        "small": Choice(1e-05),
        "without": Choice(["a", nasty]),
    }
    draft = Draft(head, {"network": Section(network, "2.5 M parameters")})
    text = draft.to_toml()
    assert tomllib.loads(text) == draft.plain()
    assert draft.plain()["network"]["without"] == ["a", nasty]
    assert "seed = 0\n" in text
    assert "[network] # 2.5 M parameters\n" in text
    assert "\n# a reason that goes above the line\ndescription = " in text


# What is proposed


def amount(shape: tuple[int, ...], rows: int, device: str = "cpu", labels: int = 3, **options) -> DataSummary:
    kind = "points" if len(shape) == 1 else "images"
    data = DataConfig(dataset="mine", kind=kind, shape=shape, labels=tuple(f"class {i}" for i in range(labels)))
    return DataSummary(rows, data, torch.device(device), **options)


OWN = {"dataset": Choice("mine"), "images": Choice("photos"), "size": Choice([32, 32]), "channels": Choice(3)}
TABLE = {"dataset": Choice("mine"), "table": Choice("t.csv")}
SIDES = [4, 8, 12, 16, 28, 32, 36, 48, 64, 100, 128, 256]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_network_can_be_built_for_every_size(device):
    sizes = [(side, side) for side in SIDES] + list(itertools.combinations([8, 20, 28, 64], 2))
    for number, (height, width) in enumerate(sizes):
        of = amount((3, height, width), (50, 5_000)[number % 2], device)
        for role in (Role.CONDITIONAL, Role.CLASSIFIER):
            made = parse_recipe(recipe_for(role, "mine", OWN, of, "mine").plain(), "here")
            if isinstance(made, ClassifierRecipe):
                build_encoder(made.network, shape=of.data.shape, outputs=3, T=1000)
                continue
            network = build_network(made.network, shape=of.data.shape, labels=3, T=1000, learned_variance=False)
            *_, last = made.network.channels
            pixels = height * width // (made.network.patch * 2 ** (len(made.network.channels) - 1)) ** 2
            assert pixels <= 32**2  # of what the middle attends to
            assert network.middle[0].residual.conv2.out_channels == last


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_a_recipe_of_images(role):
    labels = 0 if role == Role.CLUSTERED else 3
    of = amount((3, 32, 32), 2_000, labels=labels, captioned=True, teacher=tiny_checkpoint().config, clusters=20)
    made = parse_recipe(recipe_for(role, f"mine-{role}", OWN, of, "mine").plain(), "here")
    assert made.name == f"mine-{role}"
    assert made.description
    distilled = isinstance(made, DistillingRecipe)
    assert (made.distillation.precision if distilled else made.optimisation.mixed_precision) in ("bfloat16", "bf16")
    if isinstance(made, ControlFlowMapRecipe):  # named by the data, as `init` names what it builds on
        assert (made.base, made.teacher) == ("mnist-fast", "mnist-" + role.removeprefix("fast-"))
    if isinstance(made, DenoiserRecipe):
        assert made.prediction.learned_variance == (role == Role.UNCONDITIONAL)
        assert (made.sampling.variance == "learned") == made.prediction.learned_variance
        assert made.objective.conditional == (role != Role.UNCONDITIONAL)


@pytest.mark.parametrize("role", [Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLASSIFIER])
@pytest.mark.parametrize("dimensions", [1, 13, 64])
def test_points_have_three_roles(role, dimensions):
    of = amount((dimensions,), 200)
    made = parse_recipe(recipe_for(role, "mine", TABLE, of, "mine").plain(), "here")
    assert made.network.kind == ("point-encoder" if role == Role.CLASSIFIER else "mlp")
    assert made.optimisation.mixed_precision == "no"


@pytest.mark.parametrize(
    ("role", "of", "says"),
    [
        (Role.CONDITIONAL, amount((3, 32, 32), 100, labels=0), "there are no classes: one folder a class"),
        (Role.CLASSIFIER, amount((5,), 100, labels=0), "there are no classes: a column: --label"),
        (Role.JUDGE, amount((5,), 100), "is of images only"),
        (Role.CONTROL_CANNY, amount((5,), 100), "is of images only"),
        (Role.CLIP, amount((3, 32, 32), 100), r"there are no captions: metadata\.jsonl"),
    ],
)
def test_a_role_that_the_data_cannot_have_says_what_is_missing(role, of, says):
    with pytest.raises(UnsupportedRole, match=f"--role {role}: {says}"):
        recipe_for(role, "mine", OWN, of, "mine")


def optimisation(summary: DataSummary) -> dict[str, Choice]:
    return recipe_for(Role.CONDITIONAL, "m", OWN, summary, "m").sections["optimisation"].choices


def test_more_data_is_trained_on_longer_and_seen_less_often():
    def steps(rows: int) -> int:
        return optimisation(amount((3, 32, 32), rows))["steps"].value

    taken = [steps(rows) for rows in (50, 500, 5_000, 50_000, 5_000_000)]
    assert taken == sorted(taken)
    assert taken[0] == 1500 and taken[-1] == 40_000
    assert taken[2] / 5_000 > taken[3] / 50_000


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("shape", [(5,), (3, 32, 32)])
@pytest.mark.parametrize(("rows", "batch"), [(3, 8), (72, 64), (128, 128), (200, 128), (50_000, None)])
def test_a_batch_is_a_power_of_two_and_no_more_than_the_rows(shape, device, rows, batch):
    options = optimisation(amount(shape, rows, device))
    largest = 512 if len(shape) == 1 else 256 if device == "cuda" else 128
    assert options["batch_size"].value == (batch or largest)


@pytest.mark.parametrize(("rows", "averaged"), [(50, "149"), (5_000_000, "1,000")])
def test_a_recipe_says_over_how_many_steps_weights_are_averaged(rows, averaged):
    options = optimisation(amount((3, 32, 32), rows))
    assert options["ema_decay"].why == f"averages about the last {averaged} steps"


@pytest.mark.parametrize(
    ("sides", "device", "size"),
    [
        ([(8, 8)] * 20, "cpu", [8, 8]),
        ([(40, 24)] * 20, "cpu", [40, 24]),
        ([(40, 24)] * 20 + [(40, 28)] * 5, "cpu", [16, 16]),
        ([(27, 27)] * 20, "cpu", [16, 16]),
        ([(640, 480)] * 20, "cpu", [32, 32]),
        ([(640, 480)] * 20, "cuda", [64, 64]),
        ([(5, 7)] * 20, "cpu", [8, 8]),
        ([(640, 480)] * 5 + [(30, 500)] * 20, "cpu", [28, 28]),
    ],
)
def test_the_size_is_their_own_or_about_as_large_as_they_are(tmp_path, sides, device, size):
    for index, (height, width) in enumerate(sides):
        noise(index, max(height, width), "L").crop((0, 0, width, height)).save(tmp_path / f"{index}.png")
    survey = survey_images(read_folder(tmp_path))
    assert choose_size(survey, torch.device(device)).value == size


def test_a_folder_whose_images_cannot_be_read_is_named_as_it_may_be_printed(tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    root.mkdir()
    (root / "0.png").write_text("no image")
    with pytest.raises(DataError, match=r"caf\\xe9: none of its 1 images can be read; 0\.png: "):
        survey_images(read_folder(root))


def test_grey_images_in_colour_files_are_grey(tmp_path):
    for index in range(10):
        noise(index, mode="L").convert("RGB").save(tmp_path / f"{index}.png")
    assert survey_images(read_folder(tmp_path)).grey
    noise(10).save(tmp_path / "10.png")
    assert not survey_images(read_folder(tmp_path)).grey


def test_frames_of_animations_that_are_not_read_are_counted(tmp_path):
    for index in range(3):
        frames = [noise(3 * index + frame) for frame in range(3)]
        frames[0].save(tmp_path / f"{index}.gif", save_all=True, append_images=frames[1 : 1 + index])
    assert "frames   2 with several frames: the first one is read" in list(survey_images(read_folder(tmp_path)).lines())


@pytest.mark.parametrize("count", [30, 3000])
@pytest.mark.parametrize(
    ("head", "cells", "label", "without"),
    [
        ("id,a,b,class", "{i},{x},{y},{k}", "class", ("id",)),
        ("a,b,colour", "{x},{y},{w}", "colour", ()),
        ("a,b,remark,class", "{x},{y},remark {i},{k}", "class", ("remark",)),
        ("a,b,colour,form", "{x},{y},{w},{w}", None, ()),
        ("a,b,remark", "{x},{y},remark {i}", None, ("remark",)),
        ("a,b,seven", "{x},{y},7", None, ("seven",)),
        ("x,y,kind", "{x},{y},{w}", "kind", ()),
        ("x,y,target,kind", "{x},{y},{x}1,{w}", "kind", ()),
        ("day,x,y", "2024-01-{d},{x},{y}", None, ()),
        ("class,x,y", "{d}.01.2024,{x},{y}", None, ()),
        ("day,x,y,kind", "2024-01-{d},{x},{y},{w}", "kind", ()),
    ],
)
def test_columns_are_taken_for_what_they_seem(tmp_path, head, cells, label, without, count):
    lines = [
        cells.format(i=i, x=i * 1.5, y=-i * 0.5, k=i % 3, w=["red", "blue"][i % 2], d=f"{1 + i % 5:02}")
        for i in range(count)
    ]
    (tmp_path / "t.csv").write_text("\n".join([head, *lines]))
    survey = survey_table(read_columns(tmp_path / "t.csv"))
    assert survey.label == label
    assert set(survey.without) == set(without)


# The command


@pytest.mark.parametrize(
    "written",
    [
        "5%",
        "$5",
        "€ 1.50",
        "5 €",
        "\u22125.5",
        "1.5D+00",
        "1'234.5",
        "1\u2019234",
        "1 234,5",
        "1\u202f234",
        "1_000",
        "5°",
    ],
)
def test_numbers_that_are_not_written_plainly_are_no_classes_and_it_is_said(tmp_path, written):
    cells = (written.translate({ord("1"): "2", ord("5"): "6"}) if line % 2 else written for line in range(40))
    (tmp_path / "t.csv").write_text(
        "a;b;c\n" + "".join(f"{cell};{line}.5;{line % 7}\n" for line, cell in enumerate(cells))
    )
    found = survey_table(read_columns(tmp_path / "t.csv"))
    assert found.label is None
    assert found.without == {"a": f"writes its numbers as {written!r}: digits alone are read"}


@pytest.mark.parametrize(
    "names", ["1st class,2nd class", "3d,2d", "<5,>5", "A1,B2", "4x4,2x4", "5-6,7-8", "No. 5,No. 6"]
)
def test_names_with_digits_are_still_classes(tmp_path, names):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{names.split(',')[i % 2]},{i}.5\n" for i in range(40)))
    assert survey_table(read_columns(tmp_path / "t.csv")).label == "a"


@pytest.mark.parametrize(("roles", "there"), [((), "photos"), (("conditional", "judge"), "photos-judge")])
def test_a_recipe_that_is_there_is_named_before_the_data_are_looked_at(roles, there):
    Path("recipes").mkdir()
    Path(f"recipes/{there}.toml").touch()
    told = said(run("init", "nowhere", "--name", "photos", *(one for role in roles for one in ("--role", role))))
    assert f"recipes/{there}.toml is there: --force writes it anew" in told


def test_a_recipe_that_cannot_be_trained_hides_no_other_from_the_list():
    Path("recipes").mkdir()
    Path("recipes/bad.toml").write_text('name = "bad"')
    told = run("list")
    assert told.exit_code == 0, said(told)
    assert "bad                  recipes/bad.toml cannot be trained: " in told.output and "mnist-cfg" in told.output


def test_init_reports_what_is_there_and_train_takes_its_recipe(tmp_path):
    root = make_folder(tmp_path / "photos", {"rose": 30, "tulip": 20})
    truncated(root / "rose" / "cut.png")
    noise(0).save(root / "tulip" / "copy.png")
    for index in range(20):
        nearly = np.asarray(noise(30 + index)) ^ 1
        Image.fromarray(nearly).save(root / "tulip" / f"near {index}.png")
    make_folder(root.parent / "more", {"": 9}, side=9)
    result = run("init", "photos", "--name", "flowers", "--unlabelled", "more")
    assert result.exit_code == 0, said(result)
    for line in (
        " to train on, 9 more without a label, ",
        "sizes    8×8 (71), 64×64 (1)",
        "modes    RGB (72)",
        "71 images in 2 classes",
        "  rose        30",
        "  tulip       41",
        "  rose/cut.png: broken: ",
        "copies: 1 is the same as another",
        "that are held out look like one that is trained on",
        "recipes/flowers.toml: 1,500 steps, about ",
        "now: python -m training train flowers",
    ):
        assert line in result.output
    text = Path("recipes/flowers.toml").read_text()
    assert "ms a step" in text and "M parameters" in text
    recipe = load_recipe("flowers")
    assert (recipe.data.images, recipe.data.unlabelled) == ("photos", "more")
    assert recipe.data.size == (8, 8)
    assert not (recipe.data.flip or recipe.data.shift or recipe.data.colour)
    assert "flowers" in run("list").output

    Path("recipes/flowers.toml").write_text(shortened(text))
    result = run("train", "flowers", "--no-graph", "--no-evaluate")
    assert result.exit_code == 0, said(result)
    assert "rose/cut.png" in result.output
    config = load_checkpoint(tmp_path / "checkpoints" / "flowers").config
    assert config.data.labels == ("rose", "tulip")
    assert config.data.shape == (3, 8, 8)


def test_init_of_a_table(tmp_path):
    make_table(tmp_path / "t.csv", lines=60, columns=4)
    text = (tmp_path / "t.csv").read_text().splitlines()
    numbered = [f"id,{text[0]}"] + [f"{number},{line}" for number, line in enumerate(text[1:])]
    (tmp_path / "t.csv").write_text("\n".join(numbered))
    result = run("init", "t.csv", "--name", "things", "--role", "conditional", "--role", "classifier")
    assert result.exit_code == 0, said(result)
    assert "without  id (counts the lines)" in result.output
    assert "columns  c0, c1, c2, c3; the label is kind" in result.output
    recipe = load_recipe("things")
    assert (recipe.data.label, recipe.data.without) == ("kind", ("id",))
    assert load_recipe("things-classifier").role == "classifier"


def test_what_is_called_by_control_characters_does_not_break_the_recipe(tmp_path):
    table = tmp_path / "a\nb.csv"
    table.write_text("x,note\x01 [data]\n" + "".join(f"{i * 1.5},w{i}\n" for i in range(60)))
    result = run("init", table.name, "--name", "things")
    assert result.exit_code == 0, said(result)
    recipe = load_recipe("things")
    assert (recipe.data.table, recipe.data.without) == ("a\nb.csv", ("note\x01 [data]",))


def test_minutes_cut_the_steps_and_too_few_are_refused(tmp_path, monkeypatch):
    make_table(tmp_path / "t.csv", lines=60)
    monkeypatch.setattr("training.init.command.measure_pace", lambda *_: Pace(0.1, shared=True))
    assert run("init", "t.csv", "--name", "whole").exit_code == 0
    assert load_recipe("whole").optimisation.steps == 810
    text = Path("recipes/whole.toml").read_text()
    assert "# about 81 s on this CPU, 100 ms a step, measured while other work ran on it" in text
    assert run("init", "t.csv", "--name", "cut", "--minutes", "0.4").exit_code == 0
    cut = load_recipe("cut").optimisation
    assert cut.steps == 240
    assert cut.warmup_steps < cut.steps and cut.save_every < cut.steps
    refused = run("init", "t.csv", "--name", "none", "--minutes", "0.1")
    assert isinstance(refused.exception, RecipeError)
    assert said(refused).endswith("allow at least --minutes 0.2")  # a table has no --size
    assert not Path("recipes/none.toml").exists()


def test_minutes_that_are_too_few_for_images_may_be_enough_for_smaller_ones(tmp_path, monkeypatch):
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    monkeypatch.setattr("training.init.command.measure_pace", lambda *_: Pace(1.0, shared=False))
    refused = run("init", "of", "--name", "none", "--minutes", "1")
    assert "a step takes 1 s here and measuring its samples 7 min, so that 1 minutes are 0 steps" in said(refused)
    assert said(refused).endswith("allow at least --minutes 8.7, or take smaller pictures by --size")


def test_minutes_count_the_measurement_and_what_they_buy_is_said(tmp_path, monkeypatch):
    """32 images a batch; 1,000 samples of 20 steps, each by two evaluations, of which a step counts for three."""
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    monkeypatch.setattr("training.init.command.measure_pace", lambda *_: Pace(0.1, shared=False))
    measuring = 1_000 * 20 * 2 / 3 / 32 * 0.1
    whole = run("init", "of", "--name", "whole").output
    assert "whole.toml: 1,500 steps, about 3 min on this CPU, 100 ms a step, of which 42 s to measure its sa" in whole
    for minutes, says in ((1, "noise"), (3, "less than there is to learn")):
        name = f"cut{minutes}"
        cut = run("init", "of", "--name", name, "--minutes", minutes).output
        steps = load_recipe(name).optimisation.steps
        assert steps * 0.1 + measuring == pytest.approx(60 * minutes, abs=0.1)
        assert f"{name}.toml: {steps:,} of about 1,500 steps: it will learn" in cut
        assert says in cut


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_the_pace_waits_for_whatever_device_there_is(kind, monkeypatch):
    device = torch.device(kind)

    class Instant:
        def __init__(self, task, accelerator): ...

        def take(self, number: int) -> None: ...

    waited = []
    monkeypatch.setattr("training.init.probe.TrainStep", Instant)
    monkeypatch.setattr("torch.accelerator.synchronize", waited.append)
    pace = measure_pace(None, SimpleNamespace(device=device))
    assert set(waited) == (set() if kind == "cpu" else {device})
    assert kind == "cpu" or not pace.shared


def test_what_needs_another_checkpoint_is_written_and_says_so(tmp_path):
    make_folder(tmp_path / "mine", {"a": 20, "b": 20})  # named as the checkpoint that is missing will be
    result = run("init", "mine", "--name", "mine", "--role", "control-canny")
    assert result.exit_code == 0, said(result)
    assert "recipes/mine-control-canny.toml: " in result.output
    assert "train mine first" in result.output
    assert load_recipe("mine-control-canny").base == "mine"
    assert "--minutes" not in result.output
    asked = run("init", "mine", "--name", "mine", "--role", "control-canny", "--minutes", 1, "--force")
    assert "train mine first, then init again with --force: --minutes is not kept" in " ".join(asked.output.split())


def train_shortly(name: str) -> None:
    path = Path(f"recipes/{name}.toml")
    path.write_text(shortened(path.read_text()))
    result = run("train", name, "--no-evaluate", "--no-graph")
    assert result.exit_code == 0, said(result)


@pytest.mark.parametrize("classes", [("red", "blue"), ()])
def test_a_trained_denoiser_is_distilled_by_a_recipe_of_its_own(tmp_path, monkeypatch, classes):
    monkeypatch.setitem(few_steps.RUNS, "points", 64)
    make_table(tmp_path / "t.csv", lines=60, classes=classes)
    assert run("init", "t.csv", "--name", "mine").exit_code == 0
    asked = ["init", "t.csv", "--name", "mine", "--role", "fast"]
    missing = run(*asked)
    assert "there is no model mine to distil: `train mine` first" in said(missing)
    assert [path.name for path in Path("recipes").iterdir()] == ["mine.toml"]
    train_shortly("mine")
    made = run(*asked)
    assert made.exit_code == 0, said(made)
    assert "for the teacher's runs" in made.output and "train mine-fast" in made.output
    recipe = load_recipe("mine-fast")
    assert (recipe.teacher, recipe.distillation.guidance_range) == ("mine", (1.0, 2.0) if classes else (1.0, 1.0))
    assert ("has no labels, so nothing guides it" in Path("recipes/mine-fast.toml").read_text()) == (not classes)
    train_shortly("mine-fast")
    student = load_checkpoint(Path("checkpoints/mine-fast"))
    assert student.config.distilled.teacher == "mine" and student.config.data.labels == tuple(sorted(classes))


def test_what_cannot_be_distilled_is_refused_before_anything_is_written(tmp_path):
    make_table(tmp_path / "t.csv", lines=60)
    points = DataConfig(dataset="mine", kind="points", shape=(3,))
    save_tiny(Path("checkpoints"), points, "mine-ddpm")
    save_tiny(Path("checkpoints"), points.model_copy(update={"dataset": "other"}), "elsewhere")
    save_tiny(Path("checkpoints"), points, "short", T=3, steps=1)
    for options, says in {
        (): r"there is no model mine .*mine-ddpm is there: --base mine-ddpm",
        ("--base", "elsewhere"): "--base elsewhere draws other, not mine",
        ("--base", "short"): "has T = 3: it cannot take 12 steps",
        ("--base", "mine-ddpm", "--from", "short"): "--from is of denoisers",
    }.items():
        result = run("init", "t.csv", "--name", "mine", "--role", "fast", *options)
        assert re.search(says, said(result)), said(result)
    assert not list(Path("recipes").glob("*"))


def test_near_copies_among_unlabelled_images_are_counted(tmp_path):
    of = images(make_folder(tmp_path / "of", {"a": 20, "b": 20}))
    assert near_copies(of) == 0
    close = of.held_out.rows.clone()
    close[:, 0, 0, 0] = (close[:, 0, 0, 0].int() + 1).clamp(max=255).to(torch.uint8)
    assert near_copies(replace(of, unlabelled=close)) == len(close)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--group", ["x"]), ("--unlabelled", ["x"]), ("--size", ["8"]), ("--grey", []), ("--fit", ["stretch"]),
        ("--flip", []), ("--shift", ["1"]), ("--colour", ["0.1"]),
    ],
)  # fmt: skip
def test_what_is_of_images_is_refused_for_a_table(tmp_path, option, value):
    make_table(tmp_path / "t.csv", lines=60)
    refused = said(run("init", "t.csv", "--name", "mine", option, *value))
    assert option in refused and ": is of images, and t.csv is no folder" in refused


@pytest.mark.parametrize(
    ("option", "value"), [("--label", "a"), ("--without", "a"), ("--category", "a"), ("--jitter", "0.5")]
)
def test_what_is_of_tables_is_refused_for_images(tmp_path, option, value):
    make_folder(tmp_path / "photos", {"a": 10, "b": 10})
    refused = run("init", "photos", "--name", "mine", option, value)
    assert f"{option}: is of tables, and photos is a folder" in said(refused)


def test_a_role_that_is_refused_leaves_no_recipe_of_another(tmp_path):
    make_table(tmp_path / "t.csv", lines=60)
    roles = ["--role", "classifier", "--role", "judge"]
    refused = run("init", "t.csv", "--name", "mine", *roles)
    assert "--role judge: is of images only" in said(refused)
    assert not list(Path("recipes").glob("*"))
    result = run("init", "t.csv", "--name", "mine", *roles[:2])
    assert result.exit_code == 0, said(result)
    assert [path.name for path in Path("recipes").iterdir()] == ["mine-classifier.toml"]


def test_augmentation_and_wishes_get_into_the_recipe(tmp_path):
    make_folder(tmp_path / "of", {"a": 20, "b": 20}, side=20)
    wishes = ["--flip", "--shift", 2, "--colour", 0.2, "--size", "12x16", "--grey", "--fit", "stretch", "--no-labels"]
    result = run("init", "of", "--name", "mine", *wishes)
    assert result.exit_code == 0, said(result)
    data = load_recipe("mine").data
    assert (data.flip, data.shift, data.colour, data.fit) == (True, 2, 0.2, "stretch")
    assert (data.size, data.channels, data.labels) == ((12, 16), 1, False)
    assert load_recipe("mine").prediction.learned_variance  # no classes: unconditional


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["of", "--name", "Mine"], "--name 'Mine': small letters"),
        (["of", "--name", "mine.toml"], "--name 'mine.toml' is the name of a model: the ending comes of itself"),
        (["of", "--name", "mnist"], "--name 'mnist' is taken"),
        (["of", "--name", "mnist-cfg"], "--name 'mnist-cfg' is taken"),
        (["of", "--name", "mine", "--size", "8by8"], "--size '8by8': give pixels a side"),
        (["of", "--name", "mine", "--size", "2000"], r"--size 2000: Input should be less than or equal to 256"),
        (["of", "--name", "mine", "--size", "16", "--shift", "16"], "--shift 16: .* their shorter side has 16"),
        (["of", "--name", "mine", "--size", "99"], "--size 99x99: .* multiples of 8"),
        (["of", "--name", "mine", "--role", "clip"], "--role clip: there are no captions"),
        (["of", "--name", "mine", "--from", "nothing"], "--from: nothing: cannot read config.json"),
        (["gone", "--name", "mine"], "gone: no such file: give a .csv, or a folder"),
        (["of/a", "--name", "there"], "recipes/there.toml is there: --force"),
        (["of/a/0.png", "--name", "mine"], "this is an image: give the folder that it lies in"),
    ],
)
def test_what_is_refused_says_what_to_do(tmp_path, arguments, says):
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    Path("recipes").mkdir()
    Path("recipes/there.toml").write_text("kept")
    result = run("init", *arguments)
    assert result.exit_code != 0
    with pytest.raises(type(result.exception), match=says):
        raise result.exception
    assert [path.name for path in Path("recipes").iterdir()] == ["there.toml"]
    assert Path("recipes/there.toml").read_text() == "kept"


def test_data_that_change_or_go_are_named_when_they_are_trained_on(tmp_path):
    make_table(tmp_path / "t.csv", lines=60)
    assert run("init", "t.csv", "--name", "mine").exit_code == 0
    recipe = Path("recipes/mine.toml")
    recipe.write_text(shortened(recipe.read_text()))
    for _ in range(2):  # the second finds it done
        assert run("train", "mine", "--no-graph", "--no-evaluate").exit_code == 0
    (tmp_path / "t.csv").rename(tmp_path / "moved.csv")
    recipe.write_text(recipe.read_text().replace('"t.csv"', '"moved.csv"'))
    assert run("train", "mine", "--no-graph", "--no-evaluate").exit_code == 0
    recipe.write_text(recipe.read_text().replace('"moved.csv"', '"t.csv"'))
    make_table(tmp_path / "t.csv", lines=61)
    changed = run("train", "mine", "--no-graph", "--no-evaluate")
    assert "mine has changed since runs/mine was begun: add --fresh" in said(changed)
    for command in ("evaluate", "training-rows"):
        config = tmp_path / "checkpoints" / "mine" / "config.json"
        config.write_text(config.read_text().replace('"moved.csv"', '"t.csv"'))
        assert "mine has changed since mine was trained" in said(run(command, "mine"))
    assert run("train", "mine", "--no-graph", "--no-evaluate", "--fresh").exit_code == 0
    (tmp_path / "t.csv").unlink()
    gone = run("train", "mine", "--no-graph")
    assert "t.csv is not there: if the data were moved, write their place into the recipe (table = …)" in said(gone)


def test_many_classes_are_counted_in_short_and_scarce_ones_are_named(tmp_path):
    make_table(tmp_path / "t.csv", lines=30 * 25, classes=tuple(f"kind {number}" for number in range(30)))
    text = (tmp_path / "t.csv").read_text() + "1,2,3,rare\n4,5,6,rare\n"
    (tmp_path / "t.csv").write_text(text)
    result = run("init", "t.csv", "--name", "many")
    assert result.exit_code == 0, said(result)
    assert "  kind 9        25\n" in result.output
    assert "  … and 11 more, of 2 to 25\n" in result.output
    assert "few: rare have fewer than 20: " in result.output


# Fine-tuning


def test_from_takes_the_network_and_labels_by_their_names(tmp_path):
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    assert run("init", "of", "--name", "first").exit_code == 0
    first = make_task(load_recipe("first"), Path("checkpoints"))
    torch.nn.init.normal_(first.network.embedding.label.weight)
    first.save(first.network, Path("checkpoints/first"))

    make_folder(tmp_path / "other", {"b": 20, "c": 20, "d": 20}, side=30)
    result = run("init", "other", "--name", "second", "--from", "first")
    assert result.exit_code == 0, said(result)
    assert "train second --from first" in result.output
    recipe = load_recipe("second")
    assert recipe.network == first.recipe.network
    assert recipe.data.size == (8, 8)
    assert recipe.optimisation.learning_rate < first.recipe.optimisation.learning_rate
    second = make_task(recipe, Path("checkpoints"), "first")
    theirs, ours = first.network.embedding.label.weight, second.network.embedding.label.weight
    assert torch.equal(ours, theirs[[0, 2, 0, 0]])  # none, b, and two that it does not know
    for name, weight in first.network.state_dict().items():
        if name != "embedding.label.weight":
            assert torch.equal(second.network.state_dict()[name], weight)
    assert json.loads(json.dumps(second.config.recipe))["started_from"] == "first"


def test_from_is_refused_where_the_weights_do_not_fit_the_data(tmp_path):
    """Before anything is timed, and before a command is proposed that could not run."""
    make_folder(tmp_path / "of", {"a": 20, "b": 20})
    make_table(tmp_path / "t.csv")
    for path, name in (("of", "images"), ("t.csv", "points")):
        assert run("init", path, "--name", name).exit_code == 0
        made = make_task(load_recipe(name), Path("checkpoints"))
        made.save(made.network, Path("checkpoints", name))
    (tmp_path / "more.csv").write_text(
        "\n".join(["a,b,c,d,e", *(f"{i},{i * 2},{i * 3},{i * 5},{i % 7}" for i in range(90))])
    )
    for path, begun, options, says in (
        ("of", "points", (), "--from: points has points, and of has images: name a checkpoint of images"),
        ("t.csv", "images", (), "--from: images has images, and t.csv has points: name a checkpoint of points"),
        ("more.csv", "points", (), "leave columns out by --without, or train without --from"),
        ("of", "images", ("--grey",), "--grey: the images of images"),
    ):
        refused = run("init", path, "--name", "second", "--from", begun, *options)
        assert refused.exit_code == 1 and says in said(refused), said(refused)
        assert not Path("recipes", "second.toml").exists()


# Tables, as `init` takes them


def made_of(text: str, *options: object):
    Path("t.csv").write_text(text)
    return run("init", "t.csv", "--name", "mine", "--force", *options)


def test_columns_that_cannot_be_learned_are_left_out_with_the_reason(tmp_path):
    text = "id,name,cabin,empty,age,fare\n" + "".join(
        f"{i + 1},Mr. {i},{'C85' if i % 30 == 0 else ''},,{20 + i % 40},{i * 0.7:.2f}\n" for i in range(90)
    )
    result = made_of(text)
    assert result.exit_code == 0, said(result)
    assert "cabin (has no value in 87 of 90 lines)" in result.output
    assert load_recipe("mine").data.without == ("id", "name", "cabin", "empty")


def test_a_category_of_its_own_for_each_line_is_named():
    """All must stay to train on, and none is left to measure with."""
    text = "a,b\n" + "".join(f"{i * 0.7:.2f},n{i}\n" for i in range(90))
    result = made_of(text, "--category", "b", "--no-labels")
    assert result.exit_code == 1 and "a category of its own in 'b': leave that column out" in said(result)


def test_what_a_column_costs_is_said(tmp_path):
    lines = [f"{i},{'many' if i % 6 == 0 else i * 7},{i * 0.5}" for i in range(100)]
    text = "\n".join(["a,pop,b", *lines, "all,many,1\n"])
    result = made_of(text)
    assert result.exit_code == 0, said(result)
    assert "left out: 18, which cannot be trained on" in result.output
    assert "  column 'pop' costs 18 of 101 lines; --without pop keeps 17 of them" in result.output
    assert "  column 'a' costs 1 of 101 lines\n" in result.output


def test_a_target_of_numbers_is_no_class_and_a_guess_is_called_one(tmp_path):
    measured = "a,b,target\n" + "".join(f"{i * 0.3},{i * i % 17},{25 + i * i % 97}\n" for i in range(440))
    assert made_of(measured).exit_code == 0
    assert load_recipe("mine").data.label is None
    classes = "a,b,kind\n" + "".join(f"{i * 0.3},{i * i % 17},{'xyz'[i % 3]}\n" for i in range(90))
    result = made_of(classes)
    assert "the label is kind (a guess: --label COLUMN takes another, --no-labels none)" in result.output
    assert "a guess" not in made_of(classes, "--label", "kind").output
    rare = made_of(f"{classes}1,2,w\n")
    assert "label    none: a value of 'kind' is in one line alone" in rare.output
    assert load_recipe("mine").data.label is None
    asked = made_of(f"{classes}1,2,w\n", "--label", "kind")
    assert "line 92: nothing else has the label 'w'" in said(asked) and "--no-labels" in said(asked)


def test_the_format_of_a_table_is_said(tmp_path):
    text = "Beers\n\n;abv;ibu\n" + "".join(f"{i};{i % 7},5;{i % 11}\n" for i in range(60))
    result = made_of(text)
    assert result.exit_code == 0, said(result)
    assert "format   ';' between 3 columns, names in line 3; what stands above it is no part of it" in result.output
    assert "format   left out: column 1, which has no name" in result.output
    assert "format   decimal commas: abv" in result.output
    assert "columns  abv, ibu" in result.output


CLASSED = "a,b,kind\n" + "".join(f"{i * 0.3},{i * i % 17},{'xyz'[i % 3]}\n" for i in range(90))


def test_a_column_that_is_left_out_or_drawn_is_not_guessed_as_the_class():
    result = made_of(CLASSED, "--without", "kind")
    assert result.exit_code == 0, said(result)
    data = load_recipe("mine").data
    assert (data.label, data.without, data.categories) == (None, ("kind",), ())
    result = made_of(CLASSED, "--category", "kind")
    assert result.exit_code == 0, said(result)
    data = load_recipe("mine").data
    assert (data.label, data.without, data.categories) == (None, (), ("kind",))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--label kind --no-labels", "--label kind and --no-labels"),
        ("--label kind --without kind", "--label kind and --without kind"),
        ("--label kind --category kind", "--label kind and --category kind"),
        ("--without b --category b", "--without b and --category b"),
    ],
)
def test_a_column_is_not_two_things(options, says):
    assert said(made_of(CLASSED, *options.split())).endswith(f"{says}: give one of them")


def test_the_advice_of_a_costly_class_can_be_followed():
    text = "a,b,kind\n" + "".join(f"{i * 0.3},{i * i % 17},{'xyz?'[i % 4].strip('?')}\n" for i in range(120))
    assert "column 'kind' costs 30 of 120 lines; --without kind keeps 30 of them" in made_of(text).output
    asked = made_of(text, "--label", "kind").output
    assert "column 'kind' costs 30 of 120 lines; --without kind in place of --label kind keeps 30 of them" in asked
    followed = made_of(text, "--without", "kind").output
    assert "left out: " not in followed and "108 to train on, 12 held out" in followed
