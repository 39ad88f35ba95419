"""Clusters of rows without labels: k-means finds them, a network learns them, and they are never taken for labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model.checkpoints.autoguidance import AutoguidanceConfig
from model.checkpoints.base import save_checkpoint
from model.checkpoints.control import ControlConfig
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.conditions import NO_LABEL, Conditions
from model.label_prior import drawn_labels
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from tests.tiny import IMAGES, POINTS, tiny_checkpoint, tiny_classifier
from training.__main__ import app
from training.clusters import cluster_shares, in_clusters, network_features, row_features
from training.data.training_set import DataError, Examples, FiniteSet
from training.exporting.int8_calibration import network_inputs
from training.flow_map_section import FlowMapSection
from training.generate import generate
from training.init.roles import DataSummary, Role, UnsupportedRole, check_role
from training.recipe import RecipeError, load_recipe, parse_recipe
from training.reference_points import reference_of
from training.tasks.registry import make_task
from training.tasks.teacher import Teacher
from training.tasks.trajectories import run_teacher

UNLABELLED = POINTS.model_copy(update={"dataset": "blobs", "labels": ()})
UNLABELLED_IMAGES = IMAGES.model_copy(update={"labels": ()})
SHARES = (0.2, 0.3, 0.5)
CLUSTERED = tiny_checkpoint(UNLABELLED, "blobs", cluster_shares=SHARES)
CENTRES = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])


def blobs() -> FiniteSet:
    """100 points, in shares of 0.2, 0.3 and 0.5, in a random order."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.repeat_interleave(torch.arange(3), torch.tensor([20, 30, 50]))
    kind = kind[torch.randperm(100, generator=generator)]
    rows = CENTRES[kind] + 0.3 * torch.randn(100, 2, generator=generator)
    return unlabelled(UNLABELLED, rows)


def unlabelled(config, rows: torch.Tensor) -> FiniteSet:
    examples = Examples(rows, torch.full((len(rows),), NO_LABEL))
    return FiniteSet(config, examples, examples)


def images(rows: torch.Tensor) -> FiniteSet:
    return unlabelled(UNLABELLED_IMAGES.model_copy(update={"shape": tuple(rows.shape[1:])}), rows)


def test_k_means_finds_what_lies_together_in_any_units():
    data = blobs()
    found = in_clusters(data, 3, row_features(data), seed=0)
    centres = torch.cdist(data.examples.rows, CENTRES).argmin(1)
    pairs = set(zip(centres.tolist(), found.clusters.tolist(), strict=True))
    assert len(pairs) == 3  # each blob is one cluster, and each cluster one blob
    assert sorted(cluster_shares(found)) == [0.2, 0.3, 0.5]
    in_other_units = in_clusters(data, 3, data.examples.rows * torch.tensor([1.0, 1e4]), seed=0)
    assert torch.equal(in_other_units.clusters, found.clusters)
    with pytest.raises(DataError, match="3 clusters of 2 different rows"):
        in_clusters(data, 3, torch.eye(2).repeat(50, 1), seed=0)


def test_training_draws_clusters_in_place_of_labels_and_examples_keep_none():
    data = in_clusters(blobs(), 3, row_features(blobs()), seed=0)
    rows, clusters = data.draw(50, torch.Generator().manual_seed(1))
    index = torch.cdist(rows, data.examples.rows).argmin(1)
    assert torch.equal(clusters, data.clusters[index])
    assert set(data.examples.labels.tolist()) == {NO_LABEL} == set(reference_of(data).labels.tolist())


def test_features_are_each_images_own():
    denoiser = tiny_checkpoint(UNLABELLED_IMAGES)
    rows = torch.randint(0, 256, (6, *IMAGES.shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = network_features(images(rows), denoiser)
    alone = torch.cat([network_features(images(row), denoiser) for row in rows.split(1)])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
    assert torch.pdist(found).min() > 1e-3


def test_features_are_refused_where_the_denoiser_has_none_of_such_images():
    with pytest.raises(ValueError, match=r"of the shape \[1, 8, 8\], not \[1, 16, 16\]"):
        network_features(images(torch.zeros(1, 1, 16, 16)), tiny_checkpoint(UNLABELLED_IMAGES))
    with pytest.raises(ValueError, match="no many-step UNet"):
        network_features(images(torch.zeros(1, 1, 8, 8)), tiny_checkpoint(UNLABELLED))


def test_offline_too_each_sample_is_of_the_cluster_that_its_seed_draws():
    options = CLUSTERED.config.sampling
    seeds = torch.from_numpy(sample_seeds(5, 40))
    drawn = drawn_labels(seeds, SHARES)
    assert set(drawn.tolist()) == {0, 1, 2}
    conditions = Conditions.alike(40, label=drawn, guidance_scale=1.0)
    plan = make_plan(CLUSTERED.schedule, options.sampler, options.steps)
    by_hand = CLUSTERED.data.restore(sample(CLUSTERED.denoiser(), plan, conditions, seeds, (2,)))
    assert torch.equal(generate(CLUSTERED, Conditions.none(40), options, seed=5), by_hand)
    unlabelled = Conditions.alike(40, guidance_scale=2.0)  # as a card with a scale has it
    assert torch.equal(generate(CLUSTERED, unlabelled, options, seed=5), by_hand)
    calibrated = torch.cat([condition for _, _, condition in network_inputs(CLUSTERED)])
    assert set(calibrated.tolist()) == {0, 1, 2}


def test_a_classifiers_label_is_no_cluster():
    config = CLUSTERED.config
    assert config.conditioning is None and config.data.labels == ()
    classifier = tiny_classifier(POINTS.model_copy(update={"dataset": "blobs"}))
    assert classifier.fits(tiny_checkpoint(UNLABELLED).config) and not classifier.fits(config)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cluster_shares": (0.5, 0.4)}, "cluster_shares must add up to 1, not 0.9"),
        ({"data": POINTS}, "reads neither labels nor text"),
    ],
)
def test_a_config_whose_clusters_cannot_be_says_why(fields, says):
    with pytest.raises(ValueError, match=says):
        DenoiserConfig.model_validate(CLUSTERED.config.model_dump() | fields)


TABLE = "\n".join(["x,y", *(f"{x:.4f},{y:.4f}" for x, y in blobs().examples.rows.tolist())])
RECIPE = {
    "name": "blobs",
    "network": {"kind": "mlp", "width": 16, "blocks": 1},
    "schedule": {"T": 20},
    "clusters": 3,
    "optimisation": {"steps": 1, "batch_size": 16, "warmup_steps": 0},
}


@pytest.fixture
def table(tmp_path, monkeypatch):
    (tmp_path / "blobs.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("training.init.probe.SECONDS", 0.0)
    return {"dataset": "blobs", "table": "blobs.csv"}


@pytest.fixture
def trained(table, tmp_path) -> Path:
    """A denoiser that was trained on the table's clusters; its folder."""
    task = make_task(parse_recipe(RECIPE | {"data": table}, "here"), tmp_path)
    task.save(task.network, tmp_path / "blobs")
    return tmp_path / "blobs"


def test_a_checkpoint_keeps_the_shares_and_its_card_tells_of_no_labels(trained):
    config = load_checkpoint(trained).config
    assert config.data.labels == () == config.label_shares
    np.testing.assert_allclose(sorted(config.cluster_shares), SHARES, atol=0.05)
    card = (trained / "README.md").read_text()
    assert "| clusters | 3 of unlabelled training data" in card and "label" not in card.replace("unlabelled", "")


def test_a_student_learns_the_clusters_of_its_teacher(trained):
    recipe = {"role": "flow-map", "name": "fast", "teacher": "blobs", "optimisation": RECIPE["optimisation"]}
    distillation = {"guidance_range": (1.0, 1.0), "trajectories": 32, "teacher_steps": 1}
    task = make_task(parse_recipe(recipe | {"distillation": distillation}, "here"), trained.parent)
    assert task.config.cluster_shares == load_checkpoint(trained).config.cluster_shares
    runs = run_teacher(Teacher(load_checkpoint(trained), real=None), FlowMapSection(**distillation), seed=0)
    assert set(runs.condition.tolist()) >= {0, 1, 2} and set(runs.scales.tolist()) == {1.0}


def test_training_may_start_from_a_denoiser_that_reads_nothing_or_the_same_clusters(trained, table):
    recipe = parse_recipe(RECIPE | {"data": table}, "here")
    plain = recipe.model_copy(update={"name": "plain", "clusters": None})
    unconditional = make_task(plain, trained.parent)
    save_checkpoint(trained.parent / "plain", unconditional.config, unconditional.network)
    x, t, none = torch.randn(8, 2), torch.arange(1, 9), torch.full((8,), NO_LABEL)
    task = make_task(recipe, trained.parent, start_from="plain")
    assert task.network.state_dict().keys() == load_checkpoint(trained).network.state_dict().keys()
    again = make_task(recipe, trained.parent, start_from="blobs")
    clusters = torch.arange(8) % 3
    expected = load_checkpoint(trained).network(x, t, clusters)
    assert torch.equal(again.network(x, t, clusters), expected)
    back = make_task(plain, trained.parent, start_from="blobs")
    torch.testing.assert_close(back.network(x, t, none), load_checkpoint(trained).network(x, t, none))


@pytest.mark.parametrize("config", [AutoguidanceConfig, ControlConfig])
def test_a_network_beside_a_denoiser_that_reads_clusters_is_refused(config):
    with pytest.raises(ValueError, match=r"mnist-tiny reads clusters: .* is for one that reads labels, or nothing"):
        config.beside(tiny_checkpoint(UNLABELLED_IMAGES, cluster_shares=SHARES), name="beside")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"clusters": 1}, "greater than or equal to 2"),
        ({"features_from": "x", "clusters": None}, "say how many"),
        ({"objective": {"conditional": False}}, "objective.conditional must be true"),
        ({"data": {"dataset": "spiral"}}, "own data without labels"),
        ({"features_from": "nowhere"}, "features_from: nowhere"),
    ],
)
def test_a_recipe_whose_clusters_cannot_be_says_why(table, tmp_path, fields, says):
    with pytest.raises(RecipeError, match=says):
        make_task(parse_recipe(RECIPE | {"data": table} | fields, "here"), tmp_path)


def init(*options: str, path: str = "blobs.csv") -> str:
    """What it says, or why it refuses."""
    result = CliRunner().invoke(app, ["init", path, "--no-labels", *options])
    return result.output if result.exit_code == 0 else str(result.exception)


def test_init_proposes_clusters(table):
    init("--name", "blobs", "--clusters", "3")
    recipe = load_recipe("blobs")
    assert (recipe.clusters, recipe.features_from, recipe.prediction.learned_variance) == (3, None, False)
    assert "--clusters 60: too many for 90 rows to train on: at most 9" in init("--name", "b", "--clusters", "60")
    assert "say how many: --clusters 20" in init("--name", "b", "--role", "clustered")
    assert "add it by --role" in init("--name", "b", "--role", "unconditional", "--clusters", "3")
    with pytest.raises(UnsupportedRole, match="there are classes, which serve better; --no-labels ignores them"):
        check_role(Role.CLUSTERED, DataSummary(100, POINTS, torch.device("cpu"), clusters=3))


def test_init_proposes_images_without_clusters_first_whose_features_are_clustered(table):
    Path("photos").mkdir()
    for number in range(30):
        Image.fromarray(np.full((8, 8), 8 * number, np.uint8)).save(f"photos/{number}.png")
    said = init("--name", "grey", "--clusters", "2", path="photos")
    assert said.splitlines()[-2:] == [f"now: python -m training train {name}" for name in ("grey-ddpm", "grey")]
    assert "train grey-ddpm first" in said
    assert (load_recipe("grey").clusters, load_recipe("grey").features_from) == (2, "grey-ddpm")
    assert load_recipe("grey-ddpm").objective.conditional is False
    init("--name", "grey", "--clusters", "2", "--role", "clustered", "--base", "older", path="photos")
    assert load_recipe("grey-clusters").features_from == "older"
