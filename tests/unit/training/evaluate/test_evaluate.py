"""The measures against cases whose answer is known, and the way from a checkpoint to its card."""

import json
import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg

import training.data
from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingConfig, load_config, save_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.judge import JudgeConfig, JudgeNetwork, load_judge, save_judge
from model.conditions import NO_LABEL
from model.data import DataConfig
from tests.folders import make_folder, make_table
from tests.tiny import IMAGES, save_tiny, tiny_checkpoint
from training.card import pictures
from training.data import training_set
from training.data.data_section import TableSection, section_of
from training.data.digits import mnist
from training.data.synthetic_points import GaussianMixture
from training.data.training_set import Examples, FiniteSet
from training.evaluate import point_evaluation
from training.evaluate.command import evaluate_checkpoint, evaluate_memorisation
from training.evaluate.command.options import options_of
from training.evaluate.farthest_samples import distance_from_real
from training.evaluate.image_evaluation import generate_labelled
from training.evaluate.lower_precision import as_good, check_comparable
from training.evaluate.measurement import settings_of
from training.evaluate.sampling_run import Generated, SamplingRun
from training.metrics.image_metrics import frechet_distance, image_metrics, precision_recall
from training.metrics.image_reference import ImageReference, image_reference
from training.metrics.point_metrics import (
    energy_distance,
    mmd_and_null,
    nearest_label_accuracy,
    sliced_wasserstein,
    sliced_wasserstein_within_labels,
    spread_within_labels,
)
from training.recipe import RecipeError

CHECKPOINTS = Path(__file__).parents[4] / "checkpoints"


CPU = torch.device("cpu")


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def with_moments(mean: np.ndarray, covariance: np.ndarray, n: int = 200) -> np.ndarray:
    """n points whose sample mean and covariance are exactly these."""
    points = normal(n, len(mean), seed=1).double().numpy()
    points -= points.mean(0)
    points = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return points @ np.linalg.cholesky(covariance).T + mean


# Fréchet


def test_frechet_of_isotropic_gaussians_is_the_closed_form():
    """|μ_a − μ_b|² + d(σ_a − σ_b)²"""
    a = with_moments(np.zeros(5), 4.0 * np.eye(5))
    b = with_moments(np.array([3.0, 4, 0, 0, 0]), 0.25 * np.eye(5))
    assert frechet_distance(a, b) == pytest.approx(25 + 5 * (2 - 0.5) ** 2, rel=1e-9)


def test_frechet_of_gaussians_that_do_not_commute_is_the_closed_form():
    first, second = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.6], [-0.6, 3.0]])
    expected = np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    a, b = with_moments(np.zeros(2), first), with_moments(np.zeros(2), second)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_a_set_with_itself_is_nothing_even_where_features_are_dead():
    features = normal(50, 20, seed=0).numpy()
    features[:, 10:] = 0  # a feature that never fires; and fewer samples than make a full rank
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


# Precision and recall


def test_precision_and_recall_of_the_same_set_are_whole():
    features = normal(300, 8, seed=0)
    assert precision_recall(features, features) == (1, 1)


def test_sets_that_are_far_apart_share_nothing():
    features = normal(300, 8, seed=0)
    assert precision_recall(features, features + 100) == (0, 0)


def test_a_lost_mode_costs_recall_and_a_strange_one_precision():
    here, there = normal(400, 4, seed=0), normal(400, 4, seed=1) + 50
    both = torch.cat([here[:200], there[:200]])
    precision, recall = precision_recall(real=both, generated=here)
    assert precision > 0.85
    assert 0.4 < recall <= 0.5
    precision, recall = precision_recall(real=here, generated=both)
    assert 0.4 < precision <= 0.5
    assert recall > 0.85


def test_a_neighbourhood_reaches_to_the_third_neighbour():
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])  # radii 3, 2, 2, 3
    generated = torch.tensor([[-2.5], [-3.5], [5.5], [6.5]])
    precision, _ = precision_recall(real, generated)
    assert precision == 0.5


def test_image_figures_of_real_images_are_the_floor():
    train, test = normal(2000, 6, seed=0), normal(500, 6, seed=1)
    metrics = image_metrics(test, train, test)
    assert metrics.frechet == pytest.approx(metrics.frechet_floor)
    assert metrics.frechet_ratio == pytest.approx(1)


def test_the_floor_has_classes_as_often_as_samples_in_proportion_have():
    """Two far classes: how many happen to fall to each would else be all that the floor measures."""
    classes = torch.arange(4000) % 2
    train, test = (normal(4000, 6, seed=seed) + 10 * classes.view(-1, 1) for seed in (0, 1))
    some = classes[:200]  # each class as often as the other
    metrics = image_metrics(test[:200], train, test, (some, classes))
    assert metrics.frechet_floor < image_metrics(test[:200], train, test).frechet_floor / 2
    assert 0.5 < metrics.frechet_ratio < 2
    assert image_metrics(test, train, test, (classes, classes)).frechet_ratio == pytest.approx(1)
    # And so have samples, where fewer real ones are held out.
    samples = (normal(4000, 6, seed=2) + 10 * classes.view(-1, 1))[:1000]
    for seed in range(3, 7):
        few = normal(300, 6, seed) + 10 * classes[:300].view(-1, 1)
        assert 0.5 < image_metrics(samples, train, few, (classes[:1000], classes[:300])).frechet_ratio < 2


def test_as_many_images_are_compared_as_there_are_real_ones():
    train, test = normal(300, 6, seed=0), normal(60, 6, seed=1)
    class_by_class = torch.cat([normal(500, 6, seed=2), normal(500, 6, seed=3) + 3])
    metrics = image_metrics(class_by_class, train, test)
    assert metrics.compared == 60
    # Of both classes, though the first sixty are of one.
    assert metrics.frechet > 2 * image_metrics(normal(60, 6, seed=4), train, test).frechet
    assert image_metrics(class_by_class, train, test[:10]) is None  # too few to speak of


# Points


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection():
    """E|⟨u, δ⟩| = |δ|·2/π in two dimensions."""
    points = normal(1000, 2, seed=0)
    assert sliced_wasserstein(points, points[torch.randperm(1000)]) == 0
    shifted = points + torch.tensor([3.0, 4.0])
    assert sliced_wasserstein(points, shifted, directions=5000) == pytest.approx(5 * 2 / math.pi, rel=0.02)


def test_within_labels_only_shapes_count():
    near, far = normal(300, 2, seed=0), normal(300, 2, seed=1) + 100
    a, b = torch.cat([near[:200], far[:100]]), torch.cat([near[:100], far[:200]])
    a_labels, b_labels = (torch.arange(300) >= 200).long(), (torch.arange(300) >= 100).long()
    assert sliced_wasserstein(a, b) > 10
    assert sliced_wasserstein_within_labels(a, a_labels, b, b_labels) == 0


def test_sliced_wasserstein_of_a_widening_is_the_difference_of_deviations():
    """In every direction W1(N(0, 1), N(0, 4)) = E|z|·(2 − 1) = √(2/π)."""
    distance = sliced_wasserstein(normal(20_000, 2, seed=0), 2 * normal(20_000, 2, seed=1))
    assert distance == pytest.approx(math.sqrt(2 / math.pi), rel=0.03)


def test_the_null_of_mmd_is_calibrated():
    """Draws of one distribution exceed the 95th percentile of their permutation null in about 1 of 20 cases."""
    exceeded = 0
    for seed in range(100):
        points = normal(160, 2, seed)
        mmd, null = mmd_and_null(points[:80], points[80:])
        exceeded += mmd > null
    assert exceeded <= 12  # 99.8 % of binomial(100, 0.05)


def test_mmd_finds_what_differs():
    a, b = normal(300, 2, seed=0), normal(300, 2, seed=1)
    for other in (b + 0.5, 1.5 * b):
        mmd, null = mmd_and_null(a, other)
        assert mmd > null
    far, _ = mmd_and_null(a, b + 1000)
    near, _ = mmd_and_null(a, b + 1)
    assert far > near


def test_mmd_of_a_few_points_by_hand():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [5.0]])
    distances = (torch.cat([a, b]) - torch.cat([a, b]).T).abs()
    kernel = torch.exp(-distances.square() / (2 * distances.square().flatten().median()))
    expected = (kernel[:2, :2].mean() + kernel[2:, 2:].mean() - 2 * kernel[:2, 2:].mean()).sqrt().item()
    assert mmd_and_null(a, b)[0] == pytest.approx(expected, rel=1e-4)


def test_mmd_of_points_that_are_mostly_equal_is_a_number():
    """Counts of rare events: the median distance is 0, but not every distance is."""
    generator = torch.Generator().manual_seed(0)
    few, many = ((torch.rand(200, 1, generator=generator) < rare).float() for rare in (0.02, 0.3))
    mmd, null = mmd_and_null(few, many)
    assert mmd > null > 0
    # All distances that are not 0 are 1, so the kernel is e^−½ between different points.
    expected = (many.mean() - few.mean()).abs().item() * math.sqrt(2 * (1 - math.exp(-0.5)))
    assert mmd == pytest.approx(expected, rel=1e-3)
    assert mmd_and_null(torch.zeros(5, 1), torch.zeros(5, 1)) == (0, 0)


def test_energy_distance_of_two_far_clouds_is_the_root_of_twice_their_distance():
    a, b = 0.01 * normal(200, 2, seed=0), 0.01 * normal(200, 2, seed=1)
    assert energy_distance(a, b + torch.tensor([300.0, 400.0])) == pytest.approx(math.sqrt(1000), rel=1e-2)
    assert energy_distance(a, a) == pytest.approx(0, abs=1e-2)


def test_points_are_read_by_the_nearest_real_one():
    data = GaussianMixture()
    real, labels = data.draw(1000, torch.Generator().manual_seed(0))
    generated, asked = data.draw(1000, torch.Generator().manual_seed(1))
    assert nearest_label_accuracy(generated, asked, real, labels) == 1
    assert nearest_label_accuracy(generated, 1 - asked, real, labels) == 0


# From a checkpoint to its card


def gaussian_checkpoint(folder: Path) -> Path:
    return save_tiny(folder, GaussianMixture.config, name="gaussian-tiny")


def test_points_are_measured_and_the_card_written(tmp_path, capsys):
    folder = gaussian_checkpoint(tmp_path)
    metrics = evaluate_checkpoint(folder, tmp_path, SamplingRun(torch.device("cpu")), samples=50)
    assert f"evaluating gaussian-tiny: {point_evaluation.POINT_SEEDS} × 50 samples …\n" in capsys.readouterr().err
    config = load_config(folder, DenoiserConfig)
    assert json.loads(json.dumps(metrics)) == metrics == config.metrics["measured"]
    assert metrics["samples"] == 50
    assert metrics["seeds"] == point_evaluation.POINT_SEEDS
    assert metrics["steps"] == point_evaluation.POINT_STEPS
    assert "label_accuracy" in metrics
    assert 0 < metrics["sliced_wasserstein_standard_error"] < metrics["sliced_wasserstein"]
    assert config.metrics["unconditional"]["guidance_scale"] == 0
    assert "label_accuracy" not in config.metrics["unconditional"]
    card = (folder / "README.md").read_text()
    for key in ("sliced wasserstein ratio", "mmd null", "energy"):
        assert f"| {key} |" in card
    assert str(metrics["sliced_wasserstein"]) in card
    assert (folder / "points.png").stat().st_size < 200_000

    again = evaluate_checkpoint(folder, tmp_path, SamplingRun(torch.device("cpu")), samples=50)
    assert again == metrics  # seeds are fixed


def own_table(folder: Path, columns: int) -> FiniteSet:
    """A table of so many columns and two classes; beside it, in `own`, a checkpoint that was trained on it."""
    section = TableSection(
        dataset="own", table=str(make_table(folder / "own.csv", lines=120, columns=columns)), label="kind"
    )
    data = training_set(section)
    made = tiny_checkpoint(data.config, name="own")
    recipe = {"data": section.model_dump(mode="json")}
    save_checkpoint(folder / "own", made.config.model_copy(update={"recipe": recipe}), made.network)
    return data


@pytest.mark.parametrize("columns", [1, pytest.param(64, marks=pytest.mark.slow)])
def test_a_small_table_of_any_dimensions_is_measured_against_what_is_held_out(tmp_path, columns, capsys):
    data = own_table(tmp_path, columns)
    metrics = evaluate_checkpoint(tmp_path / "own", tmp_path, SamplingRun(CPU))
    assert f"evaluating own: {point_evaluation.POINT_SEEDS} × 12 samples …" in capsys.readouterr().err
    assert metrics["samples"] == len(data.held_out) == 12
    assert all(math.isfinite(value) for value in metrics.values() if isinstance(value, float))
    assert "sliced_wasserstein_standard_error" not in metrics  # every run has the same held-out points
    remembered = load_config(tmp_path / "own", DenoiserConfig).metrics["memorisation"]
    assert (remembered["samples"], remembered["trained_on"]) == (120, 108)
    same = ("seed", "sampler", "steps", "guidance_scale")  # they are the samples that were measured
    assert [remembered[name] for name in same] == [metrics[name] for name in same]
    alone = evaluate_memorisation(tmp_path / "own", SamplingRun(CPU, seed=3), samples=20)
    assert (alone["seed"], alone["steps"], alone["samples"]) == (3, metrics["steps"], 20)
    assert remembered["nearer_than_real"] < 0.2
    card = (tmp_path / "own" / "README.md").read_text()
    assert "labels blue, red; c0" in card and "](points.png)" in card and "two sample accuracy" in card
    assert "distance to closest record" in card and "train on synthetic, test on real" in card


def test_a_table_is_read_once_for_all_columns_of_a_card(tmp_path, monkeypatch):
    own_table(tmp_path, columns=2)
    read, joined = [], []
    all_real = point_evaluation._all_real
    monkeypatch.setattr(training.data, "training_set", lambda section: read.append(section) or training_set(section))
    monkeypatch.setattr(point_evaluation, "_all_real", lambda data: joined.append(data) or all_real(data))
    evaluate_checkpoint(tmp_path / "own", tmp_path, SamplingRun(CPU), samples=10)
    assert {"measured", "unconditional"} <= load_config(tmp_path / "own", DenoiserConfig).metrics.keys()
    assert len(read) == 1
    assert len(joined) == 3  # for the runs at 50 steps, for those as advised, and for the two-sample test


def test_the_worst_samples_on_a_card_are_of_what_it_advises(tmp_path, monkeypatch):
    """Points are measured in more steps than most cards advise, and have fewer strays then."""
    drawn, made = [], []
    sample = point_evaluation.generate

    def recorded(checkpoint, conditions, options, **rest):
        made.append((options.steps, points := sample(checkpoint, conditions, options, **rest)))
        return points

    monkeypatch.setattr(point_evaluation, "generate", recorded)
    monkeypatch.setattr(
        pictures, "save_farthest_picture", lambda path, data, generated, distance: drawn.append(generated)
    )
    folder = gaussian_checkpoint(tmp_path)
    evaluate_checkpoint(folder, tmp_path, SamplingRun(CPU), samples=20)
    advised = load_config(folder, DenoiserConfig).sampling.steps
    assert advised != made[0][0]
    assert torch.equal(drawn[0].rows, torch.cat([points for steps, points in made if steps == advised]))


@pytest.mark.parametrize(("off", "expected"), [(0, "repeats"), (4, "far")])
def test_samples_that_repeat_training_rows_or_are_far_from_real_ones_are_told(tmp_path, monkeypatch, off, expected):
    data = own_table(tmp_path, columns=8)
    rows = data.examples.rows + off * torch.tensor(data.config.std)
    monkeypatch.setattr(point_evaluation, "generate", lambda checkpoint, conditions, *_, **__: rows[: len(conditions)])
    metrics = evaluate_checkpoint(tmp_path / "own", tmp_path, SamplingRun(CPU))
    remembered = load_config(tmp_path / "own", DenoiserConfig).metrics["memorisation"]["nearer_than_real"]
    if expected == "repeats":
        assert remembered == 1
    else:
        assert metrics["two_sample_accuracy"] > 0.9 and metrics["sliced_wasserstein_ratio"] > 2


def test_the_worst_samples_are_those_farthest_from_real_rows_in_units_of_the_network(tmp_path):
    data = own_table(tmp_path, columns=2)
    real, std = data.held_out.rows, torch.tensor(data.config.std)
    off = torch.tensor([0.0, 3.0, 50.0, 1.0])
    samples = real[:1] + off[:, None] * std * torch.tensor([1.0, 0.0])
    distance = distance_from_real(samples, ImageReference(data, None))
    assert distance.argsort(descending=True).tolist() == [2, 1, 3, 0] and distance[0] == 0
    assert 40 < distance[2] <= 50 + 1e-3  # another real row may be nearer than the one that it began from


def test_the_picture_of_the_worst_has_no_row_of_anybodys_data(tmp_path, monkeypatch):
    """Everybody may see it; points that are made up may be real ones."""
    drawn = []
    monkeypatch.setattr(pictures, "plot_points", lambda panel, points, *_, **__: drawn.append(points))
    data = own_table(tmp_path, columns=2)
    rows = data.held_out.rows[:3] + 1
    generated = Generated(rows, torch.zeros(3, dtype=torch.int64))
    pictures.save_farthest_picture(tmp_path / "farthest.png", data, generated, torch.tensor([1.0, 3.0, 2.0]))
    assert all(torch.isin(points, rows).all() for points in drawn) and drawn[-1].tolist() == rows[[1, 2, 0]].tolist()
    made_up = GaussianMixture()
    pictures.save_farthest_picture(tmp_path / "made-up.png", made_up, generated, torch.tensor([1.0, 3.0, 2.0]))
    assert torch.equal(drawn[4], made_up.held_out.rows)


def test_dimensions_of_different_units_count_alike():
    """A column in thousandths weighs as much as one in thousands."""
    data = GaussianMixture.config.model_copy(update={"std": (1000.0, 0.001), "mean": (5.0, 0.0)})
    points = normal(50, 2, seed=0) * torch.tensor([1000.0, 0.001]) + torch.tensor([5.0, 0.0])
    torch.testing.assert_close(point_evaluation._comparable(points, data), normal(50, 2, seed=0), rtol=1e-4, atol=1e-4)
    assert torch.equal(point_evaluation._comparable(points, GaussianMixture.config), points)  # of one unit: as they are


def test_classes_of_one_point_have_no_spread_and_no_class_no_distance():
    points, labels = normal(4, 2, seed=0), torch.tensor([0, 0, 1, 2])
    assert spread_within_labels(2 * points, labels, points, labels) == pytest.approx(2)
    assert math.isnan(spread_within_labels(points[2:], labels[2:], points[2:], labels[2:]))
    assert math.isnan(sliced_wasserstein_within_labels(points, labels, points, labels + 9))


def test_other_settings_are_measured_and_not_written(tmp_path):
    folder = gaussian_checkpoint(tmp_path)
    before = (folder / "config.json").read_bytes()
    metrics = evaluate_checkpoint(
        folder, tmp_path, SamplingRun(torch.device("cpu")), samples=20, changed={"sampler": "ddim", "steps": 3}
    )
    assert (metrics["sampler"], metrics["steps"]) == ("ddim", 3)
    assert (folder / "config.json").read_bytes() == before
    assert not (folder / "README.md").exists()


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"steps": 51}, "at most T = 50"), ({"sampler": "euler"}, "sampler"), ({"guidance_scale": 50}, "guidance_scale")],
)
def test_settings_that_cannot_be_are_refused_by_name(tmp_path, changed, says):
    with pytest.raises(RecipeError, match=says):
        evaluate_checkpoint(
            gaussian_checkpoint(tmp_path), tmp_path, SamplingRun(torch.device("cpu")), samples=20, changed=changed
        )


def test_a_changed_scale_holds_at_every_noise_level():
    checkpoint = tiny_checkpoint(IMAGES, guidance_interval=(0.3, 5))
    assert options_of(checkpoint, {"steps": 3}, "float32").guidance_interval == (0.3, 5)
    assert options_of(checkpoint, {"guidance_scale": 3.0}, "float32").guidance_interval is None


def test_what_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(RecipeError, match="nothing"):
        evaluate_checkpoint(tmp_path / "nothing", tmp_path, SamplingRun(torch.device("cpu")))


@pytest.mark.parametrize(
    ("accuracy", "frechet", "allowed"), [(0.99, 1.0, True), (0.989, 1.05, True), (0.98, 1.0, False), (0.99, 1.2, False)]
)
def test_bfloat16_is_allowed_where_it_loses_nothing(accuracy, frechet, allowed):
    settings = {"samples": 10_000, "sampler": "dpmpp-2m", "steps": 20, "seed": 0}
    reference = settings | {"label_accuracy": 0.99, "frechet": 1.0}
    assert as_good(settings | {"label_accuracy": accuracy, "frechet": frechet}, reference) is allowed
    assert not as_good(settings, reference)  # nothing that could be compared


@pytest.mark.parametrize("measured", [None, {"steps": 10}, {"seed": 1}, {"guidance_scale": 2.0}, {"samples": 100}])
def test_bfloat16_is_compared_at_the_same_settings_only(measured):
    options = SamplingConfig(sampler="dpmpp-2m", steps=20, guidance_scale=1.5)
    metrics = {"samples": 10_000, "sampler": "dpmpp-2m", "steps": 20, "guidance_scale": 1.5, "seed": 0, "judge": "j"}
    check_comparable("bfloat16", options, 10_000, 0, {"judge": "j"}, metrics)
    with pytest.raises(RecipeError, match="same settings"):
        check_comparable(
            "bfloat16", options, 10_000, 0, {"judge": "j"}, None if measured is None else metrics | measured
        )


def test_bfloat16_is_compared_by_the_same_judge_only():
    options = SamplingConfig(sampler="dpmpp-2m", steps=20, guidance_scale=1.5)
    metrics = {"samples": 10, "sampler": "dpmpp-2m", "steps": 20, "guidance_scale": 1.5, "seed": 0, "judge": "j"}
    now = {"judge": "j", "judge_weights": "a1"}
    for known in ({}, {"judge_weights": "a1"}):  # cards from before have no hash
        check_comparable("bfloat16", options, 10, 0, now, metrics | known)
    for known in ({"judge": "k"}, {"judge_weights": "b2"}):
        with pytest.raises(RecipeError, match="measured by another"):
            check_comparable("bfloat16", options, 10, 0, now, metrics | known)


def test_settings_are_told_of_the_sampler_that_has_them():
    ddpm = SamplingConfig(sampler="ddpm", steps=5, variance="fixed-large", eta=0.5)
    assert settings_of(ddpm, None) == {
        "sampler": "ddpm", "steps": 5, "guidance_scale": ddpm.guidance_scale, "variance": "fixed-large",
    }  # fmt: skip
    metrics = {"samples": 10, "seed": 0, "judge": "j"} | settings_of(ddpm, None)
    with pytest.raises(RecipeError, match="same settings"):
        check_comparable(
            "bfloat16", ddpm.model_copy(update={"variance": "fixed-small"}), 10, 0, {"judge": "j"}, metrics
        )
    assert settings_of(SamplingConfig(sampler="ddim", eta=0.5), None)["eta"] == 0.5


def test_another_seed_shares_no_sample():
    checkpoint = tiny_checkpoint(GaussianMixture.config)
    drawn = [
        point_evaluation.evaluate_points(
            checkpoint, GaussianMixture(), SamplingConfig(steps=2), SamplingRun(CPU, seed), samples=20, seeds=3
        )
        for seed in (0, 1)
    ]
    (_, first), (metrics, second) = drawn
    assert metrics["seed"] == 1
    assert not torch.isin(first.rows, second.rows).any()
    assert not torch.equal(first.labels, second.labels)  # they are those of other real points


def test_samples_have_the_labels_that_were_asked_for_and_none_where_none_were():
    labelled, plain = GaussianMixture.config, GaussianMixture.config.model_copy(update={"labels": ()})
    for config, asked in ((labelled, {0, 1}), (plain, {NO_LABEL})):
        run = SamplingRun(CPU)
        _, drawn = point_evaluation.evaluate_points(
            tiny_checkpoint(config), GaussianMixture(), SamplingConfig(steps=2), run, samples=20, seeds=2
        )
        assert set(drawn.labels.tolist()) == asked
    digits = tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}))
    real = Examples(torch.zeros(30, 1, 8, 8), torch.arange(30) % 10)
    drawn = generate_labelled(
        digits, FiniteSet(IMAGES, real, real), SamplingConfig(steps=2), SamplingRun(CPU), samples=20
    )
    assert set(drawn.labels.tolist()) == {NO_LABEL}


def test_bfloat16_is_not_compared_where_nothing_was_judged():
    metrics = {"samples": 1000, "sampler": "dpmpp-2m", "steps": 20, "guidance_scale": 1.5, "seed": 0}
    with pytest.raises(RecipeError, match="measured without one"):
        check_comparable(
            "bfloat16", SamplingConfig(sampler="dpmpp-2m", steps=20, guidance_scale=1.5), 1000, 0, {}, metrics
        )


# The judge


def test_a_judge_is_saved_and_loaded_whole(tmp_path):
    config = JudgeConfig(name="judge", data=IMAGES, width=8, features=16)
    torch.manual_seed(0)
    network = JudgeNetwork(config)
    save_judge(tmp_path / "judge", config, network)
    judge = load_judge(tmp_path / "judge")
    images = (normal(20, 64, seed=0).view(20, 1, 8, 8) * 50 + 128).round().clamp(0, 255)
    features, classes = judge.look(images)
    assert features.shape == (20, 16)
    with torch.no_grad():
        expected = network(IMAGES.standardise(images))
    assert torch.equal(classes, expected.argmax(1))
    assert torch.equal(judge.look(images.to(torch.uint8))[1], classes)  # as bytes or as floats


def own_judge(folder: Path, data: DataConfig, **recipe: str) -> Path:
    torch.manual_seed(0)
    config = JudgeConfig(name="own-judge", data=data, width=8, features=4, recipe=recipe)
    save_judge(folder / "own-judge", config, JudgeNetwork(config))
    return folder / "own-judge"


@pytest.mark.parametrize(
    ("learned", "refused"), [({}, False), ({"data_identity": "1"}, False), ({"data_identity": "2"}, True)]
)
def test_a_judge_that_may_have_learned_what_is_held_out_is_refused(tmp_path, learned, refused):
    rows = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    data = FiniteSet(IMAGES, Examples(rows, torch.zeros(8)), Examples(rows, torch.zeros(8)), identity="1")
    judge = own_judge(tmp_path, IMAGES, **learned)
    with pytest.raises(RecipeError, match="Train own-judge again") if refused else nullcontext():
        assert image_reference(judge, data, CPU).judged is not None


def test_fewer_samples_of_a_judge_are_not_written_down(tmp_path):
    section = {
        "dataset": "own",
        "images": str(make_folder(tmp_path / "own", {"a": 40, "b": 40})),
        "size": [8, 8],
        "channels": 3,
    }
    data = training_set(section_of(section)).config
    folder = own_judge(tmp_path, data)
    save_config(folder, load_config(folder, JudgeConfig).model_copy(update={"recipe": {"data": section}}))
    assert evaluate_checkpoint(folder, tmp_path, SamplingRun(CPU), samples=3)["samples"] == 3
    assert load_config(folder, JudgeConfig).metrics == {}
    assert evaluate_checkpoint(folder, tmp_path, SamplingRun(CPU))["samples"] == 8
    assert load_config(folder, JudgeConfig).metrics["measured"]["samples"] == 8


@pytest.mark.usefixtures("mnist_files")
def test_the_judge_reads_real_test_images():
    """All 10,000 are read in the model card; here every tenth, among which 99.5 % ± 2.2 standard errors is 99 %."""
    test = mnist(train=False)
    judge = load_judge(CHECKPOINTS / "mnist-judge")
    assert judge.config.metrics["measured"]["test_accuracy"] >= 0.995
    assert (CHECKPOINTS / "mnist-judge" / "model.safetensors").stat().st_size <= 3_000_000
    _, classes = judge.look(test.rows[::10])
    assert (classes == test.labels[::10]).double().mean().item() >= 0.99


@pytest.mark.usefixtures("mnist_files")
@pytest.mark.slow
def test_the_judge_reads_all_test_images_as_well_as_its_card_says():
    test = mnist(train=False)
    judge = load_judge(CHECKPOINTS / "mnist-judge")
    accuracy = (judge.look(test.rows)[1] == test.labels).double().mean().item()
    assert accuracy >= 0.995
    assert accuracy == pytest.approx(judge.config.metrics["measured"]["test_accuracy"], abs=2e-4)
