"""What others write to a card while something is measured stays there, and what is of other weights is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from model.checkpoints.autoguidance import AutoguidanceConfig
from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import MEASURED, load_config, save_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from tests.folders import make_table
from tests.tiny import save_tiny, tiny_autoguidance, tiny_checkpoint
from training.data import training_set
from training.data.data_section import TableSection
from training.data.synthetic_points import GaussianMixture
from training.evaluate.command import (
    denoiser,
    evaluate_checkpoint,
    evaluate_farthest,
    evaluate_likelihood,
    evaluate_memorisation,
    guided,
    likelihood,
)
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.stale_columns import without_stale
from training.evaluate.measurement import settings_of
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError

RUN = SamplingRun(torch.device("cpu"))
OTHER = {"samples": 7, "of": "another process"}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A denoiser of a small table."""
    section = TableSection(
        dataset="own", table=str(make_table(tmp_path / "own.csv", lines=120, columns=2)), label="kind"
    )
    made = tiny_checkpoint(training_set(section).config, name="own")
    config = made.config.model_copy(update={"recipe": {"data": section.model_dump(mode="json")}})
    save_checkpoint(tmp_path / "own", config, made.network)
    monkeypatch.setattr("training.evaluate.command.options.POINTS", 10)
    return tmp_path / "own"


def write_other(folder: Path, kind=DenoiserConfig, column: str = "other", metrics: dict | None = None) -> None:
    config = load_config(folder, kind)
    save_config(folder, config.model_copy(update={"metrics": config.metrics | {column: metrics or OTHER}}))


def during(monkeypatch, module, name: str, happens) -> None:
    """While the module measures by the function of this name, something happens."""
    measured = getattr(module, name)

    def slow(*arguments, **options):
        happens()
        return measured(*arguments, **options)

    monkeypatch.setattr(module, name, slow)


@pytest.mark.parametrize(
    ("module", "name", "measure", "columns"),
    [
        (denoiser, "evaluate_points", lambda folder: evaluate_checkpoint(folder, folder.parent, RUN), {MEASURED}),
        (
            likelihood,
            "measure_likelihood",
            lambda folder: evaluate_likelihood(folder, RUN),
            {"likelihood, 50 steps"},
        ),
        (denoiser, "memorisation", lambda folder: evaluate_memorisation(folder, RUN), {"memorisation"}),
        (denoiser, "draw_farthest", lambda folder: evaluate_farthest(folder, folder.parent, RUN), set()),
    ],
    ids=["samples", "likelihood", "memorisation", "farthest"],
)
def test_a_column_that_another_process_writes_meanwhile_stays(folder, monkeypatch, module, name, measure, columns):
    during(monkeypatch, module, name, lambda: write_other(folder))
    measure(folder)
    metrics = load_config(folder, DenoiserConfig).metrics
    assert metrics["other"] == OTHER and columns <= metrics.keys()
    assert "another process" in (folder / "README.md").read_text()


def test_so_does_one_on_the_card_of_a_guidance_model(tmp_path, monkeypatch):
    monkeypatch.setattr("training.evaluate.command.options.POINTS", 20)
    base = load_checkpoint(save_tiny(tmp_path, GaussianMixture.config))
    weak = tiny_autoguidance(base)
    folder = tmp_path / weak.config.name
    save_checkpoint(folder, weak.config, weak.network)
    during(monkeypatch, guided, "evaluate_points", lambda: write_other(folder, AutoguidanceConfig))
    evaluate_checkpoint(folder, tmp_path, RUN)
    assert load_config(folder, AutoguidanceConfig).metrics.keys() == {"other", MEASURED}


def test_a_measurement_of_fewer_samples_replaces_none_whenever_that_was_written(folder, monkeypatch):
    more = {"samples": 10_000}
    during(monkeypatch, denoiser, "evaluate_points", lambda: write_other(folder, column=MEASURED, metrics=more))
    assert evaluate_checkpoint(folder, folder.parent, RUN)["samples"] == 10
    assert load_config(folder, DenoiserConfig).metrics == {MEASURED: more}
    update = CardUpdate(folder, load_config(folder, DenoiserConfig))
    assert [update.has_more(MEASURED, {"samples": n}) for n in (9_999, 10_000, 10_001)] == [True, False, False]
    assert not update.has_more("bfloat16", {"samples": 1})


@pytest.mark.parametrize(
    ("known", "now", "replaced"),
    [
        ({"judge": "j"}, {"judge": "j", "judge_weights": "a1"}, False),  # cards from before have no hash
        ({"judge": "j", "judge_weights": "a1"}, {"judge": "j", "judge_weights": "a1"}, False),
        ({"judge": "j", "judge_weights": "a1"}, {"judge": "j", "judge_weights": "b2"}, True),
        ({"judge": "j"}, {"judge": "k", "judge_weights": "a1"}, True),
        ({}, {"judge": "j", "judge_weights": "a1"}, True),
        ({"judge": "j"}, {}, False),  # there is none any more
    ],
)
def test_a_measurement_of_fewer_samples_by_another_judge_replaces_one(folder, known, now, replaced):
    write_other(folder, column=MEASURED, metrics={"samples": 100, **known})
    update = CardUpdate(folder, load_config(folder, DenoiserConfig))
    assert update.has_more(MEASURED, {"samples": 10, **now}) != replaced


@pytest.mark.parametrize(
    ("change", "stays"),
    [({}, True), ({"judge_weights": "a1"}, True), ({"judge_weights": "b2"}, False), ({"judge": "k"}, False),
     ({"steps": 7}, False)],
)  # fmt: skip
def test_a_precision_stays_allowed_while_settings_and_judge_are_those_of_float32(folder, change, stays):
    config = load_config(folder, DenoiserConfig)
    of = settings_of(config.sampling, None) | {"judge": "j"}
    metrics = {MEASURED: of | {"judge_weights": "a1"}, "bfloat16": of | change, "other": OTHER}
    now = without_stale(config.model_copy(update={"metrics": metrics, "precisions": ("float32", "bfloat16")}))
    assert (now.precisions == ("float32", "bfloat16"), "bfloat16" in now.metrics) == (stays, stays)
    assert now.precisions[0] == "float32" and {MEASURED, "other"} <= now.metrics.keys()


@pytest.mark.parametrize("what", ["weights", "meaning"])
def test_a_checkpoint_that_is_trained_anew_meanwhile_gets_no_metrics_of_the_old_one(folder, monkeypatch, what):
    config = load_config(folder, DenoiserConfig)

    def trained_anew():
        if what == "weights":
            path = folder / "model.safetensors"
            path.write_bytes(path.read_bytes()[:-1] + b"\1")
        else:
            schedule = config.schedule.model_copy(update={"name": "linear"})
            save_config(folder, config.model_copy(update={"schedule": schedule}))

    during(monkeypatch, denoiser, "evaluate_points", trained_anew)
    with pytest.raises(RecipeError, match="own: its weights have changed since this measurement began"):
        evaluate_checkpoint(folder, folder.parent, RUN)
    assert load_config(folder, DenoiserConfig).metrics == {} and not (folder / "README.md").exists()


def test_columns_that_are_written_at_the_same_moment_all_stay(folder):
    """Each writer locks the folder: of two that read before either has written, one would lose its column."""
    config = load_config(folder, DenoiserConfig)
    names = [f"column {number}" for number in range(24)]

    def write(name: str) -> None:
        CardUpdate(folder, config).write({name: OTHER})

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, names))
    assert load_config(folder, DenoiserConfig).metrics.keys() >= set(names)
