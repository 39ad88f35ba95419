"""The report's cells, what follows from them, and the whole of it on tiny checkpoints."""

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch._dynamo.utils import counters

import training.data
from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingConfig, load_config, save_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.judge import JudgeConfig, JudgeNetwork
from model.checkpoints.reference_points import Reference, save_reference
from model.plan import make_plan
from model.samplers import SAMPLERS
from tests.tiny import (
    IMAGES,
    POINTS,
    TEXT,
    save_tiny,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_control,
    tiny_text_checkpoint,
)
from training.data import DATA_IDENTITY, training_set
from training.data.captions import Caption
from training.data.digits import CONFIG as DIGITS
from training.data.digits import mnist
from training.data.training_set import DataError, Examples, FiniteSet
from training.evaluate.measurement import settings_of
from training.metrics.image_metrics import FEWEST
from training.metrics.nearest_neighbours import REAL_SHARE
from training.metrics.prompt_adherence import FOLLOWED
from training.recipe import RecipeError
from training.report import command, evaluator, grid, prompts, sample_formation, sample_sheets, step_counts
from training.report.grid import SAMPLES, Setting
from training.report.measurement_store import MeasurementStore
from training.report.pipeline import Pipeline, read_checkpoints
from training.report.section import IMAGE_COLUMNS, POINT_COLUMNS, described, table
from training.weights_hash import weights_hash

CPU = torch.device("cpu")
CONFIG = tiny_checkpoint(IMAGES, T=1000).config
UNCONDITIONAL = tiny_checkpoint(
    IMAGES.model_copy(update={"labels": ()}), name="tiny-ddpm", T=1000, learned_variance=True
).config


def of_quality(value: float) -> dict:
    return {
        "samples": 2000,
        "frechet_ratio": value,
        "frechet": value,
        "frechet_floor": 1.0,
        "precision": 0.9,
        "recall": 0.8,
    }


def of_points(ratio: float, precision: float = 0.98) -> dict:
    return {"sliced_wasserstein_ratio": ratio, "precision": precision}


def test_the_grid_has_every_sampler_and_variance_at_every_step_count():
    settings = grid.by_steps(UNCONDITIONAL)
    found = {(setting.sampler, setting.variance, setting.steps): setting.samples for setting in settings}
    assert len(found) == len(settings) == 6 * 5 + 3 * 2
    assert found["ddpm", "learned", 1000] == 1000
    assert found["ddpm", "learned", 100] == SAMPLES
    assert ("ddim", "fixed-small", 100) not in found
    assert not any(setting.variance == "learned" for setting in grid.by_steps(CONFIG))


def test_samplers_that_are_not_reported_are_outside_the_grid_and_can_be_plotted():
    reported = {name for name, spec in SAMPLERS.items() if spec.reported}
    assert {setting.sampler for setting in grid.by_steps(UNCONDITIONAL)} == reported
    settings = [Setting(sampler, 4, 1.0, variance) for sampler in SAMPLERS for variance in ("fixed-small", "learned")]
    colours = {setting.method: step_counts.colour(setting) for setting in settings}
    assert len(set(colours.values())) == len(colours) == len(SAMPLERS) + 1


def test_what_a_setting_costs_counts_each_evaluation_of_its_steps():
    assert [Setting(sampler, 20, 1.0).evaluations for sampler in ("ddim", "heun")] == [20, 39]


def test_steps_are_compared_under_guidance_at_every_step_where_a_card_advises_an_interval():
    sampling = SamplingConfig(steps=20, guidance_scale=2.0, guidance_interval=(0.2, 3.0))
    within = CONFIG.model_copy(update={"sampling": sampling})
    compared = grid.by_steps(within)
    assert {(setting.guidance_scale, setting.guidance_interval) for setting in compared} == {(1.3, None)}
    assert set(grid.headline(within)) - set(grid.headline(CONFIG)) >= {grid.as_advised(sampling)}
    assert grid.as_advised(sampling).guidance_interval == (0.2, 3.0)


def test_scales_are_measured_at_one_setting_and_the_advised_one_is_among_them():
    assert [setting.guidance_scale for setting in grid.by_scale(CONFIG, grid.SCALES, 2.5)] == [
        0,
        1,
        1.5,
        2,
        2.5,
        3,
        5,
        8,
    ]
    described = {(setting.sampler, setting.steps, setting.samples) for setting in grid.by_scale(CONFIG, grid.SCALES, 2)}
    assert described == {("dpmpp-2m", 20, 2000)}
    assert {setting.samples for setting in grid.headline(CONFIG)} == {10_000}
    assert grid.headline(tiny_checkpoint(POINTS).config) == grid.headline(tiny_text_checkpoint(IMAGES).config) == []
    advised = SamplingConfig(sampler="ddpm", steps=30, guidance_scale=4, variance="fixed-large")
    assert grid.as_advised(advised) == Setting("ddpm", 30, 4, "fixed-large", samples=10_000)
    assert grid.as_advised(advised.model_copy(update={"sampler": "ddim"})) == Setting("ddim", 30, 4, samples=10_000)
    short = tiny_checkpoint(POINTS, T=20).config
    assert max(setting.steps for setting in grid.by_steps(short)) == 20


def test_nothing_has_more_steps_than_its_schedule(tmp_path):
    base = tiny_checkpoint(IMAGES, T=15)
    config, control = base.config, tiny_control(base).config
    for settings in (
        grid.by_steps(config), grid.headline(config), grid.by_scale(config, (1.0,), 2.0),
        grid.by_scale_with_noise(config, (1.0,), 2.0), grid.by_control_scale(config, control),
        grid.by_hint_guidance(config, control),
    ):  # fmt: skip
        assert 10 <= max(setting.steps for setting in settings) <= 15
    assert len(grid.headline(config)) == len(set(grid.headline(config)))
    pipeline = Pipeline(base, guidance_model=tiny_classifier(IMAGES, T=15))
    pictures = {**sample_formation.of_steps(pipeline, CPU), "scales": sample_sheets.of_scales(pipeline, CPU)}
    assert "How they form, ddpm, after 0, 10 and 15 of 15 steps:" in pictures
    for name, draw in pictures.values():
        draw(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_schedule_of_fewer_steps_than_are_compared_advises_nothing():
    short = CONFIG.model_copy(update={"schedule": CONFIG.schedule.model_copy(update={"T": 2})})
    assert grid.cheapest(short, {}) is None
    assert sample_formation._more_steps(short) == [2]


def test_pictures_of_two_guides_of_one_denoiser_are_two():
    base = tiny_checkpoint(IMAGES, name="digits")
    one, other = tiny_classifier(IMAGES), tiny_classifier(IMAGES)
    other = replace(other, config=other.config.model_copy(update={"name": "another"}))
    names = [
        sample_sheets.of_scales(Pipeline(base, guidance_model=guidance_model), CPU)[0]
        for guidance_model in (one, other)
    ]
    assert names == ["digits-mnist-classifier-scales.png", "digits-another-scales.png"]


def test_the_cheapest_is_the_fewest_steps_within_a_tenth_of_the_best():
    measured = {setting: of_quality(3.0) for setting in grid.by_steps(CONFIG)}
    ten, twenty, fifty = (Setting("dpmpp-2m", steps, 1.5) for steps in (10, 20, 50))
    other = Setting("ddim", 20, 1.5)
    measured |= {ten: of_quality(1.3), twenty: of_quality(1.08), fifty: of_quality(1.0), other: of_quality(1.05)}
    assert grid.cheapest(CONFIG, measured) == other  # of as many steps the better
    # A figure of fewer samples is no measure for the others, and another scale is another question.
    measured |= {
        Setting("ddpm", 1000, 1.5, "fixed-small", 1000): of_quality(0.1),
        Setting("dpmpp-2m", 20, 3.0): of_quality(0.1),
    }
    assert grid.cheapest(CONFIG, measured) == other
    measured[fifty] = of_quality(0.5)  # nearer than other real images are
    assert grid.cheapest(CONFIG, measured) == fifty
    del measured[ten]  # half a comparison chooses nothing
    assert grid.cheapest(CONFIG, measured) is None


def test_what_reads_prompts_is_compared_where_they_are_captions_of_real_images():
    config = tiny_text_checkpoint(DIGITS, T=1000).config
    assert all(setting.captioned for setting in grid.by_steps(config))
    measured = {setting: of_quality(3.0) for setting in grid.by_steps(config)}
    by_prompts = Setting("renoise", 4, config.sampling.guidance_scale)
    assert grid.cheapest(config, measured | {by_prompts: {"all three, among real": 1.0}}).captioned


def test_a_setting_without_a_quality_is_never_the_cheapest():
    """Its distance is no number, or real points have none from each other; where all are so, nothing is advised."""
    settings = [setting for setting in grid.by_steps(CONFIG) if setting.samples == grid.SAMPLES]
    best = Setting("ddim", 50, grid.scale_of_steps(CONFIG))
    measured = {setting: {"frechet_ratio": 2.0} for setting in settings} | {best: {"frechet_ratio": 1.0}}
    assert grid.cheapest(CONFIG, measured | {settings[0]: {"frechet_ratio": math.nan}}) == best
    assert grid.cheapest(CONFIG, measured | {settings[0]: {"frechet": 0.0}}) == best
    assert grid.cheapest(CONFIG, {key: {"sliced_wasserstein": 0.1, "precision": 1.0} for key in settings}) is None


@pytest.mark.parametrize("strange", [{"precision": math.nan}, {"far_off_curve": math.nan}])
def test_a_metric_that_is_no_number_is_the_worst(strange):
    config = tiny_checkpoint(POINTS, T=1000).config
    settings = grid.by_steps(config)
    measured = {setting: of_points(1.0) | {"far_off_curve": 0.0} for setting in settings}
    fewest = grid.cheapest(config, measured)
    other = grid.cheapest(config, measured | {fewest: measured[fewest] | strange})
    assert other is not None and other != fewest
    others = [setting for setting in settings if setting not in (fewest, other)]
    assert grid.cheapest(config, measured | {setting: measured[setting] | strange for setting in others}) == fewest


def test_what_a_card_advises_has_its_eta():
    advised = grid.as_advised(SamplingConfig(sampler="ddim", steps=50, eta=0.7))
    assert (advised.options.eta, advised.method) == (0.7, "ddim, η 0.7")
    assert grid.as_advised(SamplingConfig(sampler="dpmpp-2m", steps=20, eta=0.7)).options.eta == 0.0


def test_new_advice_takes_what_was_measured_as_advised_before_from_the_card(tmp_path, capsys):
    """The report goes on in the precision that it began in: what it measures is compared."""
    made = tiny_checkpoint(IMAGES, T=1000)
    before = settings_of(made.config.sampling, None) | {"samples": 2000, "seed": 0, "judge": "j", "frechet_ratio": 1.0}
    metrics = {"measured": before, "bfloat16": before, "likelihood": {"samples": 7}}
    config = made.config.model_copy(update={"precisions": ("float32", "bfloat16"), "metrics": metrics})
    checkpoints, reports = tmp_path / "checkpoints", tmp_path / "reports"
    save_checkpoint(folder := checkpoints / config.name, config, made.network)
    (pipeline,) = read_checkpoints(checkpoints).plain()
    evaluation = evaluator.Evaluator(checkpoints, reports, CPU)
    best = Setting("ddim", 10, config.sampling.guidance_scale)
    for setting in grid.by_steps(config):
        evaluation.store(pipeline).put(setting, of_quality(1.0 if setting == best else 3.0))
    command._advise(folder, pipeline, evaluation)
    now = load_config(folder, DenoiserConfig)
    assert (now.sampling.sampler, now.sampling.steps) == ("ddim", 10)
    assert now.precisions == ("float32",) and now.metrics == {key: metrics[key] for key in ("measured", "likelihood")}
    assert "ddim, 10 steps: evaluate it again, then with --precision bfloat16" in " ".join(
        capsys.readouterr().out.split()
    )
    assert "the recommended ones have not been measured" in (folder / "README.md").read_text()

    (advised,) = read_checkpoints(checkpoints).plain()
    evaluation.check_unchanged(advised)
    assert evaluation.store(advised).identity["computed in"] == "bfloat16" and best in evaluation.store(advised)
    assert evaluator.Evaluator(checkpoints, reports, CPU).store(advised).identity["computed in"] == "float32"


def test_points_nearer_than_real_ones_are_so_by_luck():
    config = tiny_checkpoint(POINTS, T=1000).config
    measured = {setting: of_points(3.0) for setting in grid.by_steps(config)}
    scale = config.sampling.guidance_scale
    measured[Setting("ddim", 10, scale)] = of_points(1.08)
    measured[Setting("ddim", 50, scale)] = of_points(0.5)
    assert grid.cheapest(config, measured) == Setting("ddim", 10, scale)


def test_points_with_more_strays_than_the_best_have_are_not_good_enough():
    config = tiny_checkpoint(POINTS, T=1000).config
    scale = config.sampling.guidance_scale
    measured = {setting: of_points(3.0, precision=1.0) for setting in grid.by_steps(config)}  # collapsed
    measured[Setting("ddim", 6, scale)] = of_points(1.0, precision=0.92)
    measured[Setting("ddim", 10, scale)] = of_points(1.02, precision=0.984)
    measured[Setting("ddim", 20, scale)] = of_points(1.05, precision=0.986)  # half a point below real points' 0.99
    measured[Setting("ddim", 50, scale)] = of_points(1.0, precision=0.988)
    assert grid.cheapest(config, measured) == Setting("ddim", 20, scale)
    measured[Setting("ddim", 20, scale)] |= {"far_off_curve": 0.00005}
    assert grid.cheapest(config, measured) == Setting("ddim", 50, scale)
    measured = {setting: of_points(3.0) for setting in grid.by_steps(config)}
    measured[Setting("ddim", 20, scale)] = of_points(1.0, precision=0.9)  # near, and full of strays
    assert grid.cheapest(config, measured) is None


def test_intervals_are_compared_with_guidance_everywhere_and_cost_less():
    config = CONFIG
    sampler, steps = grid.scales_at(config.schedule.T)
    settings = grid.by_interval(config)
    assert len(settings) == len(set(settings)) == len(grid.INTERVALS) * len(grid.SCALES_WITHIN["label"])
    asked = {(setting.sampler, setting.steps, setting.samples) for setting in settings}
    assert asked == {(sampler, steps, grid.SAMPLES)}
    levels = config.schedule.build().noise_level[make_plan(config.schedule.build(), sampler, steps).t]
    for setting in settings:
        low, high = setting.guidance_interval or (0.0, np.inf)
        assert setting.options.guidance_interval == setting.guidance_interval
        assert grid.guided_evaluations(config, setting) == steps + ((low <= levels) & (levels <= high)).sum()


def test_a_measurement_within_an_interval_is_known_again(tmp_path):
    within = Setting("ddim", 10, 1.5, guidance_interval=(0.3, 5.0))
    MeasurementStore(tmp_path / "a.json", {}).put(within, of_quality(2.0))
    again = MeasurementStore(tmp_path / "a.json", {})
    assert within in again and Setting("ddim", 10, 1.5) not in again


def test_measurements_outlive_the_process_until_what_they_measure_changes(tmp_path):
    setting = Setting("ddpm", 10, 1.5, "fixed-large")
    first = MeasurementStore(tmp_path / "a.json", {"weights": "1"})
    first.put(setting, of_quality(2.0))
    again = MeasurementStore(tmp_path / "a.json", {"weights": "1"})
    assert setting in again
    assert again.measured[setting]["frechet_ratio"] == 2.0
    assert Setting("ddpm", 10, 1.5, "fixed-small") not in again
    assert not again.has_picture("a.png", "ten steps")
    again.put_picture("a.png", "ten steps")
    known = MeasurementStore(tmp_path / "a.json", {"weights": "1"})
    assert (
        known.has_picture("a.png", "ten steps") and not known.has_picture("a.png", "twenty steps") and setting in known
    )
    other = MeasurementStore(tmp_path / "a.json", {"weights": "2"})
    assert setting not in other and not other.has_picture("a.png", "ten steps")
    kept = Setting("ddim", 10, 1.5)
    known.put(kept, of_quality(1.0))
    known.forget([setting])
    assert setting not in known and kept in known and not known.has_picture("a.png", "ten steps")
    assert setting in MeasurementStore(
        tmp_path / "a.json", {"weights": "1"}
    )  # nothing is lost before something takes its place
    (tmp_path / "a.json").write_text("{ half")
    assert setting not in MeasurementStore(tmp_path / "a.json", {"weights": "1"})


def test_what_two_processes_measure_of_one_pipeline_is_all_kept(tmp_path):
    path, identity = tmp_path / "measurements" / "a.json", {"weights": "1"}
    old, first, second = (Setting("ddim", steps, 1.5) for steps in (5, 10, 20))
    MeasurementStore(path, identity).put(old, of_quality(9.0))
    one, other = MeasurementStore(path, identity), MeasurementStore(path, identity)
    one.put(first, of_quality(1.0))
    other.put(second, of_quality(2.0))
    other.put_picture("b.png", "ten steps")
    one.put_picture("a.png", "ten steps")
    for store in (one, MeasurementStore(path, identity)):
        found = {setting.steps: metrics["frechet_ratio"] for setting, metrics in store.measured.items()}
        assert found == {5: 9.0, 10: 1.0, 20: 2.0} and set(store.pictures) == {"a.png", "b.png"}
    one.forget([old, second])  # the other's is measured again, too
    one.put(old, of_quality(3.0))
    found = MeasurementStore(path, identity)
    assert found.measured[old]["frechet_ratio"] == 3.0 and second not in found and not found.pictures


def test_two_processes_may_write_at_the_same_moment(tmp_path):
    def measure(steps: range) -> None:
        for n in steps:
            MeasurementStore(tmp_path / "a.json", {}).put(Setting("ddim", n, 1.5), of_quality(1.0))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(measure, (range(1, 60), range(101, 160))))
    assert len(MeasurementStore(tmp_path / "a.json", {}).measured) == 2 * 59


def test_the_hash_is_of_the_weights_and_their_meaning_not_of_the_advice(tmp_path):
    folder = save_tiny(tmp_path, POINTS)

    def now() -> str:
        return weights_hash(folder, load_config(folder, DenoiserConfig))

    before, config = now(), load_config(folder, DenoiserConfig)
    save_config(folder, config.model_copy(update={"metrics": {"a": {"b": 1}}}))
    assert now() == before
    said = json.loads((folder / "config.json").read_text())
    assert said["data"].pop("names") == [] and said.pop("text") is None  # as a config.json that is older than these
    (folder / "config.json").write_text(json.dumps(said))
    assert now() == before
    save_reference(folder, Reference(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)))
    assert now() == before
    save_config(folder, config.model_copy(update={"schedule": config.schedule.model_copy(update={"name": "linear"})}))
    assert now() != before
    save_config(folder, config)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert now() != before


def test_a_floor_of_nothing_leaves_its_place_empty():
    """As of held-out points that are all the same."""
    rows = [({"sampler": "ddim"}, {"energy": 0.5, "energy_floor": floor, "precision": 1.0}) for floor in (0.25, 0.0)]
    assert [line.split(" | ")[1] for line in table(rows, POINT_COLUMNS)[2:4]] == ["2.00", ""]


def test_a_table_has_no_empty_column_and_leaves_unknown_places_empty():
    best, other = of_quality(1.234) | {"label_accuracy": 0.9876}, of_quality(2.5) | {"samples": 1000}
    rows = [
        (described(Setting("dpmpp-2m", 20, 1.5), best, scaled=True), best),
        (described(Setting("ddpm", 1000, 0.0, "learned", 1000), other, scaled=True), other),
    ]
    lines = table(rows, IMAGE_COLUMNS)
    assert lines[2] == "| dpmpp-2m | 20 | 1.5 | 2,000 | 98.76 % | 1.2340 | 1.0000 | **1.23** | 0.900 | 0.800 |"
    assert lines[3].startswith("| ddpm, learned | 1,000 | 0 | 1,000 |  | 2.5000 |")
    without = table([(described(Setting("ddim", 4, 1.0), other, scaled=False), other)], IMAGE_COLUMNS)
    assert without[0] == "| sampler | steps | samples | Fréchet | floor | Fréchet ÷ floor | precision | recall |"


@pytest.mark.parametrize(
    ("metrics", "told"),
    [({"samples": 2000, "compared": 2000}, "2,000"), ({"samples": 2000, "compared": 120}, "2,000, 120 compared"),
     ({"samples": 120}, "120")],
)  # fmt: skip
def test_a_table_says_how_many_samples_its_distances_tell_of(metrics, told):
    """Of your own data fewer rows may be held out than samples are wanted."""
    assert described(Setting("ddim", 4, 1.0), metrics, scaled=False)["samples"] == told


def save(folder, one) -> None:
    save_checkpoint(folder / one.config.name, one.config, one.network, getattr(one, "text", None))


def test_every_section_wants_its_subjects(tmp_path):
    base = tiny_checkpoint(IMAGES, name="mnist-cfg", T=1000)
    save(tmp_path, base)
    save(tmp_path, tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm", T=1000))
    save(tmp_path, tiny_checkpoint(POINTS, T=1000))
    for one in (
        tiny_classifier(IMAGES, T=1000),
        tiny_clip(IMAGES, T=1000),
        tiny_text_checkpoint(IMAGES, T=1000),
        tiny_control(base, "canny"),
    ):
        save(tmp_path, one)
    library = read_checkpoints(tmp_path)
    wanted = {
        name: [(pipeline.name, pipeline.asked) for pipeline, _ in section.wanted_settings(library)]
        for name, section in command.SECTIONS.items()
    }
    assert wanted == {
        "steps": [
            ("mnist-cfg", "labels"),
            ("mnist-ddpm", "labels"),
            ("mnist-text-cfg", "prompts"),
            ("spiral-tiny", "points"),
        ],
        "guidance": [
            ("mnist-cfg", "labels"),
            ("mnist-cfg+mnist-classifier", "labels"),
            ("mnist-ddpm+mnist-classifier", "labels"),
            ("mnist-cfg", "labels"),
            ("mnist-text-cfg", "prompts"),
        ],
        "prompts": [("mnist-text-cfg", "prompts"), ("mnist-ddpm+mnist-clip", "prompts")],
        "control": [("mnist-cfg+mnist-control-canny", "hints")],
    }


@pytest.fixture
def small(monkeypatch):
    """A report in seconds."""
    monkeypatch.setattr(grid, "STEPS", (2, 3))
    monkeypatch.setattr(grid, "MORE_STEPS", {"ddpm": (5,)})
    monkeypatch.setattr(evaluator, "POINT_SEEDS", 2)
    monkeypatch.setattr(sample_formation, "FORMING", {"points": ("ddpm", 6), "images": ("ddpm", 50)})
    monkeypatch.setattr(sample_formation, "POINTS", 50)
    monkeypatch.setattr(sample_formation, "FRAMES", 4)
    original = grid.by_steps
    monkeypatch.setattr(grid, "by_steps", lambda config: [replace(setting, samples=40) for setting in original(config)])
    monkeypatch.setattr(grid, "SAMPLES", 40)


def test_points_are_read_once_for_all_settings(tmp_path, monkeypatch):
    save_tiny(tmp_path, POINTS.model_copy(update={"dataset": "gaussian"}))
    (pipeline,) = read_checkpoints(tmp_path).plain()
    read = []
    monkeypatch.setattr(training.data, "training_set", lambda section: read.append(section) or training_set(section))
    evaluation = evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU)
    evaluation.measure(pipeline, [Setting("ddim", steps, 1.0, samples=20) for steps in (2, 3)])
    assert len(evaluation.store(pipeline).measured) == 2 and len(read) == 1


def test_a_report_of_points_resumes_is_made_anew_on_demand_and_sets_the_advice(tmp_path, small, monkeypatch):
    folder = save_tiny(
        tmp_path / "checkpoints", POINTS.model_copy(update={"dataset": "gaussian"}), learned_variance=True
    )
    made = []
    evaluate = evaluator.evaluate_points

    def counted(checkpoint, data, options, how, **rest):
        made.append(options)
        if len(made) == 3:
            raise KeyboardInterrupt
        return evaluate(checkpoint, data, options, how, **rest)

    monkeypatch.setattr(evaluator, "evaluate_points", counted)

    def report(full=False):
        command.make_report(tmp_path / "checkpoints", tmp_path / "reports", CPU, full=full)

    with pytest.raises(KeyboardInterrupt):
        report()
    report()
    settings = len(grid.by_steps(load_config(folder, DenoiserConfig)))
    assert len(made) == settings + 1  # the two that were done before the interruption are not made again
    text = (tmp_path / "reports" / "quality.md").read_text()
    assert text.count("| ddpm, learned |") == 3
    for name in ("gaussian-tiny-steps.png", "gaussian-tiny-forming.png", "gaussian-tiny-forming-animated.png"):
        assert f"({name})" in text
        assert Image.open(tmp_path / "reports" / name).width > 100
    assert Image.open(tmp_path / "reports" / "gaussian-tiny-forming-animated.png").n_frames == 4

    store = json.loads((tmp_path / "reports" / "measurements" / "gaussian-tiny.json").read_text())
    metrics = {
        (c["setting"]["sampler"], c["setting"]["variance"], c["setting"]["steps"]): c["metrics"]
        for c in store["measurements"]
    }
    quality = {key: of["sliced_wasserstein_ratio"] for key, of in metrics.items()}
    precise = max(min(REAL_SHARE, of["precision"]) for of in metrics.values()) - grid.PRECISION_WITHIN
    advised = load_config(folder, DenoiserConfig).sampling
    variance = advised.variance if SAMPLERS[advised.sampler].takes("variance") else "fixed-small"
    value = quality[advised.sampler, variance, advised.steps]
    assert value <= 1.1 * min(quality.values())
    assert metrics[advised.sampler, variance, advised.steps]["precision"] >= precise
    least = SAMPLERS[advised.sampler].evaluations(advised.steps)
    fewer = [key for key in quality if SAMPLERS[key[0]].evaluations(key[2]) < least]
    assert not any(
        quality[key] <= 1.1 * min(quality.values()) and metrics[key]["precision"] >= precise for key in fewer
    )
    assert f"{advised.steps} steps" in (folder / "README.md").read_text()

    report()
    assert len(made) == settings + 1
    report(full=True)
    assert len(made) == 2 * settings + 1


@pytest.mark.slow
def test_steps_and_guidance_are_told_of_with_their_pictures(tmp_path, small, monkeypatch):
    """Of images, whose figures are made up, and of points, of which there are pictures only."""
    checkpoints, reports = tmp_path / "checkpoints", tmp_path / "reports"
    points = POINTS.model_copy(update={"dataset": "gaussian"})
    for one in (
        tiny_checkpoint(IMAGES, name="mnist-cfg"),
        tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}), name="mnist-ddpm", learned_variance=True),
        tiny_checkpoint(points.model_copy(update={"labels": ()}), name="gaussian-ddpm", learned_variance=True),
        tiny_classifier(IMAGES),
        tiny_classifier(points),
    ):
        save(checkpoints, one)
    judge = JudgeConfig(name="mnist-judge", data=IMAGES, width=8, features=8)
    save_checkpoint(checkpoints / "mnist-judge", judge, JudgeNetwork(judge))
    monkeypatch.setattr(evaluator.Evaluator, "_reference", lambda *_: None)
    monkeypatch.setattr(grid, "SCALES_AT", ("dpmpp-2m", 4))
    made = []

    def metrics(checkpoint, reference, options, how, *, samples):
        scale = how.guidance.scale if how.guidance else options.guidance_scale
        made.append((checkpoint.config.name, how.guidance and how.guidance.guidance_model.name, options.steps, scale))
        asked = {"label_accuracy": 0.9 + scale / 100} if scale else {}
        return of_quality(1 + scale) | asked, None

    monkeypatch.setattr(evaluator, "evaluate_images", metrics)
    monkeypatch.setattr(command, "SECTIONS", {name: command.SECTIONS[name] for name in ("steps", "guidance")})

    def report(**options):
        command.make_report(checkpoints, reports, CPU, **options)
        return (reports / "quality.md").read_text()

    text = report()
    for name in (
        "mnist-cfg-steps.png", "mnist-cfg-by-steps.png", "mnist-cfg-forming.png", "mnist-cfg-forming-animated.png",
        "mnist-ddpm-forming-animated.png", "gaussian-ddpm-forming-animated.png", "guidance.png",
        "mnist-cfg-mnist-classifier-scales.png", "mnist-ddpm-mnist-classifier-scales.png",
        "gaussian-ddpm-gaussian-classifier-fields.png",
    ):  # fmt: skip
        assert f"({name})" in text
        with Image.open(reports / name) as picture:
            assert picture.width > 50
            assert getattr(picture, "n_frames", 1) == (4 if "animated" in name else 1)
    for way in ("mnist-cfg, classifier-free", "mnist-cfg + mnist-classifier", "mnist-ddpm + mnist-classifier"):
        assert f"### {way}" in text
    assert "| dpmpp-2m | 4 | 8 | 2,000 |" in text and "98.00 %" in text
    # An unconditional one is guided by the ancestral sampler besides, as in the papers.
    _, conditional, unconditional = re.split(r"^### .*mnist-classifier$", text, flags=re.MULTILINE)
    assert "| ddpm, learned | 4 |" not in conditional
    assert "| ddpm, learned | 4 | 8 | 2,000 |" in unconditional
    scales = reports / "mnist-ddpm-mnist-classifier-scales.png"
    with Image.open(scales) as picture:
        lines = np.asarray(picture.convert("L"))[2:-2, 2:-2]
    columns = [lines[:, 10 * label : 10 * label + 8] for label in range(10)]
    assert not any(np.array_equal(columns[0][:8], of[:8]) for of in columns[1:])  # another seed each
    assert not any(np.array_equal(of[:8], of[30:38]) for of in columns)  # scale 0, scale 10

    # Anew, one section's cells: those of the other are kept.
    first, made[:] = list(made), []
    again = report(full=True, sections=["guidance"])
    assert made and set(made) < set(first)
    assert again.count("| ddpm, learned |") == text.count("| ddpm, learned |") > 0

    # Other advice, other samples: where they are drawn by it.
    changed, same = reports / "mnist-cfg-by-steps.png", scales
    before = changed.read_bytes(), same.stat().st_mtime_ns
    config = load_config(checkpoints / "mnist-cfg", DenoiserConfig)
    sampling = config.sampling.model_copy(update={"guidance_scale": 9.0})
    save_config(checkpoints / "mnist-cfg", config.model_copy(update={"sampling": sampling}))
    report(sections=["guidance"], only=["mnist-ddpm"])
    assert changed.read_bytes() != before[0] and same.stat().st_mtime_ns == before[1]


def test_hints_are_measured_with_their_labels_and_alone_each_as_the_cards_advise():
    control = tiny_control(tiny_checkpoint(IMAGES)).config
    settings = grid.by_control_scale(CONFIG, control)
    assert {(setting.alone, setting.guidance_scale) for setting in settings} == {
        (False, CONFIG.sampling.guidance_scale),
        (True, control.sampling.guidance_scale),
    }
    assert [setting.control_scale for setting in settings] == 2 * [0, 0.5, 1, 1.5, 2]
    advice = control.sampling.model_copy(update={"guidance_scale": 2.5})
    guided = grid.by_hint_guidance(CONFIG, control.model_copy(update={"sampling": advice}))
    at = [(setting.sampler, setting.guidance_scale) for setting in guided]
    assert at == [(sampler, scale) for sampler in ("ddim", "dpmpp-2m") for scale in (1, 2, 2.5, 3, 5)]
    assert {(setting.alone, setting.control_scale) for setting in guided} == {(True, control.control_scale)}


def test_what_reads_prompts_is_told_of_by_steps_as_well(tmp_path, small, monkeypatch):
    checkpoints = tmp_path / "checkpoints"
    save(checkpoints, tiny_text_checkpoint(DIGITS))
    own = IMAGES.model_copy(update={"dataset": "flowers", "labels": ()})
    save(checkpoints, tiny_text_checkpoint(own, name="flowers-text-cfg"))  # of which nobody knows what its images show
    judge = JudgeConfig(name="mnist-judge", data=DIGITS, width=8, features=8)
    save_checkpoint(checkpoints / "mnist-judge", judge, JudgeNetwork(judge))
    monkeypatch.setattr(evaluator.Evaluator, "_reference", lambda *_: None)
    made = []

    def metrics(checkpoint, _, options, how, *, samples):
        made.append((checkpoint.config.name, options.sampler, options.variance, options.steps))
        ratio = {("dpmpp-2m", 2): 2.5, ("dpmpp-2m", 3): 2.0}.get((options.sampler, options.steps), 5.0)
        return of_quality(ratio) | {"samples": samples, "captions_true": 0.875}, None

    monkeypatch.setattr(evaluator, "evaluate_captions", metrics)
    monkeypatch.setattr(command, "SECTIONS", {"steps": command.SECTIONS["steps"]})
    command.make_report(checkpoints, tmp_path / "reports", CPU, only=["mnist-text-cfg"])
    assert len(set(made)) == len(made) == 5 * 2 + 2 and {name for name, *_ in made} == {"mnist-text-cfg"}
    text = (tmp_path / "reports" / "quality.md").read_text()
    assert "(mnist-text-cfg-steps.png)" in text and "(flowers" not in text
    assert "Advised: **dpmpp-2m, 3 steps**" in text and "| dpmpp-2m | 2 | 1.5 | 40 | 87.50 % |" in text
    assert load_config(checkpoints / "mnist-text-cfg", DenoiserConfig).sampling.steps == 3


def test_where_there_is_no_judge_points_are_measured_and_nothing_before_that_is_said(tmp_path, small, monkeypatch):
    checkpoints, reports = tmp_path / "checkpoints", tmp_path / "reports"
    save_tiny(checkpoints, POINTS.model_copy(update={"dataset": "gaussian"}), name="gaussian-tiny")
    save_tiny(checkpoints, IMAGES.model_copy(update={"dataset": "flowers"}), name="flowers")
    save_tiny(checkpoints, DIGITS, name="digits")  # first by name, and judged
    judge = JudgeConfig(name="mnist-judge", data=DIGITS, width=8, features=8)
    save_checkpoint(checkpoints / "mnist-judge", judge, JudgeNetwork(judge))
    few = Examples(torch.zeros(20, *DIGITS.shape), torch.arange(20) % 10)
    read = evaluator.trained_on
    monkeypatch.setattr(
        evaluator,
        "trained_on",
        lambda config: FiniteSet(DIGITS, few, few) if config.data.kind == "images" else read(config),
    )
    with pytest.raises(RecipeError, match=r"flowers: there is no judge of flowers in .*: train one"):
        command.make_report(checkpoints, reports, CPU)
    assert not list(reports.glob("cells/*"))
    command.make_report(checkpoints, reports, CPU, only=["gaussian-tiny"])
    assert "### gaussian-tiny\n\nAdvised" in (reports / "quality.md").read_text()


def test_each_set_of_data_is_compared_with_its_own(tmp_path, monkeypatch):
    """Of one name, and read by different judges, or cut to other sizes by their recipes."""
    for side, labels in ((8, IMAGES.labels), (16, ("a", "b"))):
        data = IMAGES.model_copy(update={"dataset": "own", "shape": (1, side, side), "labels": labels})
        judge = JudgeConfig(name=f"judge-{side}", data=data, width=8, features=8)
        save_checkpoint(tmp_path / judge.name, judge, JudgeNetwork(judge))
        save(tmp_path, tiny_checkpoint(data, name=f"own-{side}"))

    def real(config, n=FEWEST) -> FiniteSet:
        rows = Examples(torch.zeros(n, *config.data.shape), torch.zeros(n, dtype=torch.int64))
        return FiniteSet(config.data, rows, rows)

    monkeypatch.setattr(evaluator, "trained_on", real)
    monkeypatch.setattr(evaluator, "section_trained_on", lambda config: config.data.dataset)
    writer = evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU)
    small, large = read_checkpoints(tmp_path).plain()
    found = [writer._reference(pipeline) for pipeline in (small, large, small)]
    assert [of.data.config.shape[1] for of in found] == [16, 8, 16] and found[0] is found[2]
    assert [of.judged.judge.config.name for of in found] == ["judge-16", "judge-8", "judge-16"]

    monkeypatch.setattr(evaluator, "trained_on", lambda config: real(config, 19))
    with pytest.raises(RecipeError, match="own-16: only 19 images of own are held out"):
        evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU).prepare(small, [Setting("ddim", 2, 1.0)])


def test_measurements_are_forgotten_when_a_checkpoint_has_learned_other_data(tmp_path):
    made = tiny_checkpoint(POINTS.model_copy(update={"dataset": "own"}), name="own")
    setting, known = Setting("ddim", 2, 1.0), []
    for identity in "aab":  # its weights may still be the same
        recipe = {"data": {"dataset": "own", "table": "own.csv"}, DATA_IDENTITY: identity}
        save_checkpoint(tmp_path / "own", made.config.model_copy(update={"recipe": recipe}), made.network)
        pipeline = Pipeline(load_checkpoint(tmp_path / "own"))
        store = evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU).store(pipeline)
        known.append(setting in store)
        store.put(setting, {})
    assert known == [False, True, False]


def test_what_was_measured_of_weights_that_have_changed_since_is_not_kept(tmp_path):
    data, setting = POINTS.model_copy(update={"dataset": "gaussian"}), Setting("ddim", 2, 1.0, samples=20)
    folder = save_tiny(tmp_path, data)
    (before,) = read_checkpoints(tmp_path).plain()
    running = evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU)
    running.prepare(before, [setting])
    config, network = before.checkpoint.config, before.checkpoint.network
    save_checkpoint(folder, config, config.build_network())
    with pytest.raises(RecipeError, match="gaussian-tiny: its weights or its judge have changed since the report"):
        running.measure(before, [setting])
    (after,) = read_checkpoints(tmp_path).plain()
    assert setting not in evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU).store(after)
    save_checkpoint(folder, config, network)
    running.measure(before, [setting])
    assert setting in evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU).store(before)


def test_checkpoints_that_learned_other_images_of_one_section_have_no_reference_in_common(tmp_path, monkeypatch):
    data = IMAGES.model_copy(update={"dataset": "own"})
    judge = JudgeConfig(name="judge", data=data, width=8, features=8)
    save_checkpoint(tmp_path / judge.name, judge, JudgeNetwork(judge))
    for identity in ("now", "before"):
        made = tiny_checkpoint(data, name=identity)
        config = made.config.model_copy(update={"recipe": {DATA_IDENTITY: identity}})
        save_checkpoint(tmp_path / identity, config, made.network)

    def real(config) -> FiniteSet:
        if config.recipe[DATA_IDENTITY] != "now":
            raise DataError("own has changed")
        rows = Examples(torch.zeros(FEWEST, *config.data.shape), torch.zeros(FEWEST, dtype=torch.int64))
        return FiniteSet(config.data, rows, rows)

    monkeypatch.setattr(evaluator, "trained_on", real)
    monkeypatch.setattr(evaluator, "section_trained_on", lambda config: config.data.dataset)
    before, now = read_checkpoints(tmp_path).plain()
    running = evaluator.Evaluator(tmp_path, tmp_path / "reports", CPU)
    assert running._reference(now) is running._reference(now)
    with pytest.raises(DataError, match="own has changed"):
        running._reference(before)


def test_a_folder_of_another_name_is_refused(tmp_path):
    save_tiny(tmp_path, POINTS).rename(tmp_path / "mine")
    with pytest.raises(RecipeError, match=r"mine: its config\.json calls it spiral-tiny"):
        command.make_report(tmp_path, tmp_path / "reports", CPU)


@pytest.mark.slow
@pytest.mark.usefixtures("mnist_files")
def test_words_and_hints_are_told_of_with_their_pictures(tmp_path, small, monkeypatch):
    """The whole way, on tiny checkpoints whose figures mean nothing."""
    base = tiny_checkpoint(DIGITS, name="mnist-cfg")
    plain = tiny_checkpoint(DIGITS.model_copy(update={"labels": ()}), name="mnist-ddpm")
    for one in (base, plain, tiny_control(base, "sketch"), tiny_clip(DIGITS), tiny_text_checkpoint(DIGITS)):
        save(tmp_path / "checkpoints", one)
    judge = JudgeConfig(name="mnist-judge", data=DIGITS, width=8, features=8)
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "checkpoints" / "mnist-judge", judge, JudgeNetwork(judge))
    few = mnist(train=False).some(200)  # of real images, so that the judge has soon looked at them
    monkeypatch.setattr(evaluator, "trained_on", lambda config: FiniteSet(DIGITS, few, few))
    made = []
    evaluate = evaluator.evaluate_control
    monkeypatch.setattr(evaluator, "evaluate_control", lambda *a, **k: (made.append(1), evaluate(*a, **k))[1])
    # The tiny vocabulary is too small for real prompts.
    followed = {"samples": 20} | dict.fromkeys((*prompts.SHOWN, "all three", "among real", FOLLOWED), 0.5)
    monkeypatch.setattr(evaluator, "evaluate_prompts", lambda *a, **k: (made.append(1), (followed, None))[1])
    monkeypatch.setattr(
        sample_sheets, "held_out_prompts", lambda n: [Caption(text, ()) for text in TEXT.vocabulary.examples * 2]
    )
    monkeypatch.setattr(grid, "SCALES", (1.0,))
    monkeypatch.setattr(grid, "GRADIENT_SCALES", (2.0,))
    monkeypatch.setattr(grid, "SCALES_AT", ("ddim", 2))
    monkeypatch.setattr(grid, "by_scale", lambda _, scales, __: [Setting("ddim", 2, s, samples=20) for s in scales])
    monkeypatch.setattr(
        grid, "_setting", lambda of, **fields: Setting("ddim", 2, of.guidance_scale, samples=20, **fields)
    )
    monkeypatch.setattr(grid, "CONTROL_SCALES", (0.0, 0.5))
    monkeypatch.setattr(grid, "HINT_SCALES", (1.0,))
    monkeypatch.setattr(sample_sheets, "PROMPTS", ())
    monkeypatch.setattr(sample_sheets, "SAMPLES_A_LINE", 2)
    monkeypatch.setattr(sample_sheets, "CAPTIONED", (1, 2))
    monkeypatch.setattr(sample_sheets, "NEAREST", 1)
    monkeypatch.setattr(sample_sheets, "HINTED", 5)
    monkeypatch.setattr(command, "SECTIONS", {name: command.SECTIONS[name] for name in ("prompts", "control")})

    def report(**options):
        command.make_report(
            tmp_path / "checkpoints",
            tmp_path / "reports",
            CPU,
            sections=["prompts", "control"],
            **options,
        )

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()
    report(compile=True)
    # Labelled and alone, each with what a hint adds and without; and what adds it, for either.
    assert counters["stats"]["unique_graphs"] == 6
    # Either way by two samplers; two scales of the hint, with a label and alone; its guidance by two samplers.
    assert len(made) == 2 + 2 + 2 + 2 + 2
    text = (tmp_path / "reports" / "quality.md").read_text()
    for name in (
        "prompts.png", "mnist-text-cfg-prompts.png", "mnist-ddpm-mnist-clip-prompts.png",
        "mnist-ddpm-mnist-clip-captions.png", "mnist-control-sketch-scale.png", "mnist-control-sketch-labels.png",
        "mnist-control-sketch-drawings.png",
    ):  # fmt: skip
        assert f"({name})" in text
        assert Image.open(tmp_path / "reports" / name).width > 50
    assert "mnist-text-cfg** by ddim at scale 1 (50.0 %), then with **mnist-ddpm + mnist-clip** by ddim at" in text
    assert "| given | sampler | steps | control scale | guidance scale | samples | agreement |" in text
    assert all(
        f"| {row} | 20 |" in text
        for row in ("hint and label | ddim | 2 | 0 | 1.5", "the hint alone | ddim | 2 | 0.5 | 1")
    )
    assert "thin seven; the digit 3." in text
    before = (tmp_path / "reports" / "mnist-text-cfg-prompts.png").stat().st_mtime_ns
    report()
    assert len(made) == 10
    assert (tmp_path / "reports" / "mnist-text-cfg-prompts.png").stat().st_mtime_ns == before


def test_hints_are_measured_by_the_sampler_that_the_same_report_advises_in_as_many_steps_as_other_scales(
    tmp_path, small, monkeypatch
):
    checkpoints = tmp_path / "checkpoints"
    base = tiny_checkpoint(IMAGES, name="mnist-cfg")
    for one in (base, tiny_control(base, "canny")):
        save(checkpoints, one)
    judge = JudgeConfig(name="mnist-judge", data=IMAGES, width=8, features=8)
    save_checkpoint(checkpoints / "mnist-judge", judge, JudgeNetwork(judge))
    monkeypatch.setattr(evaluator.Evaluator, "_reference", lambda *_: SimpleNamespace(data=None))
    monkeypatch.setattr(
        evaluator, "evaluate_images", lambda _, __, options, *___, **____: (of_quality(9 - options.steps), None)
    )
    at = []

    def hints(control, checkpoint, shown, reference, options, how, **_):
        at.append((options.sampler, options.steps))
        shares = dict.fromkeys(("agreement", "agreement_floor", "agreement_ceiling", "label_accuracy"), 0.5)
        return {"samples": 40} | shares, None

    monkeypatch.setattr(evaluator, "held_out_hints", lambda *_: None)
    monkeypatch.setattr(grid, "SCALES_AT", ("dpmpp-2m", 4))
    monkeypatch.setattr(evaluator, "evaluate_control", hints)
    monkeypatch.setattr(sample_sheets, "of_hints", lambda *_: {})
    monkeypatch.setattr(command, "SECTIONS", {name: command.SECTIONS[name] for name in ("steps", "control")})
    command.make_report(checkpoints, tmp_path / "reports", CPU)
    before, after = base.config.sampling, load_config(checkpoints / "mnist-cfg", DenoiserConfig).sampling
    alone = tiny_control(base).config.sampling
    assert set(at) == {(after.sampler, 4), (alone.sampler, 4)}
    assert after.sampler != before.sampler
    assert "## Hints" in (tmp_path / "reports" / "quality.md").read_text()


def test_unknown_checkpoints_and_sections_are_named(tmp_path):
    save_tiny(tmp_path, POINTS)
    with pytest.raises(RecipeError, match=r"no checkpoint spiral-cfg .* there are spiral-tiny"):
        command.make_report(tmp_path, tmp_path / "reports", CPU, only=["spiral-cfg"])
    with pytest.raises(RecipeError, match=r"no section costs: there are steps, guidance, prompts, control"):
        command.make_report(tmp_path, tmp_path / "reports", CPU, sections=["costs"])
