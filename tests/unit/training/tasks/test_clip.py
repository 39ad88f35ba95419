"""CLIP and a denoiser that reads its text: trained, saved, measured; and what a network begins with."""

import dataclasses
import json
import math

import pytest
import torch
from typer.testing import CliRunner

from model.checkpoints.base import save_checkpoint
from model.checkpoints.clip import ClipConfig, load_clip
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import load_checkpoint
from model.conditions import NO_LABEL
from tests.tiny import IMAGES, save_tiny, tiny_checkpoint
from training.__main__ import app
from training.data import captions, digit_captions
from training.data.captions import true_of
from training.data.digit_captions import MEASURES, CaptionedDigits, captioned_mnist
from training.data.digits import CONFIG
from training.data.training_set import Examples, FiniteSet
from training.kept_weights import KEPT, keep_weights, kept_name
from training.recipe import RecipeError, parse_recipe
from training.tasks.clip import ClipTask, tokens_of
from training.tasks.denoiser import DenoisingTask
from training.tasks.task import Batch, LossContext

CLIP = {
    "role": "clip",
    "name": "mnist-clip",
    "data": {"dataset": "mnist"},
    "network": {"kind": "image-encoder", "channels": [8], "blocks": 1, "attention": [], "groups": 4},
    "text": {"outputs": 16, "width": 16, "layers": 1, "heads": 2},
    "schedule": {"T": 50},
    "optimisation": {"steps": 200, "batch_size": 64, "learning_rate": 3e-3, "warmup_steps": 10, "ema_decay": 0.9},
}
TEXT_CFG = {
    "name": "mnist-text-cfg",
    "text_from": "mnist-clip",
    "data": {"dataset": "mnist"},
    "network": {"kind": "unet", "channels": [8], "blocks": 1, "attention": [], "groups": 4},
    "schedule": {"T": 50},
    "sampling": {"steps": 2},
    "optimisation": {"steps": 4, "batch_size": 16, "warmup_steps": 1, "ema_decay": 0.5},
}


def strokes(n: int) -> Examples:
    """Bars whose digit is how long they are, and which come in three thicknesses."""
    labels = torch.arange(n) % 10
    images = torch.zeros(n, 1, 28, 28, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        images[i, :, 2 : 2 * label + 8, 12 : 14 + 2 * ((i // 10) % 3)] = 255
    return Examples(images, labels)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """MNIST is these bars."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = strokes(240)
    monkeypatch.setattr(digit_captions, "mnist_set", lambda: FiniteSet(CONFIG, data, data))
    return data


def written(folder, recipe: dict) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in recipe.items() if not isinstance(value, dict)]
    for section, fields in recipe.items():
        if isinstance(fields, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    path = folder / f"{recipe['name']}.toml"
    path.write_text("\n".join(lines))
    return str(path)


def train(folder, recipe: dict, *arguments: str):
    folders = ["--checkpoints", str(folder / "checkpoints"), "--runs", str(folder / "runs"), "--no-evaluate"]
    return CliRunner().invoke(app, ["train", written(folder, recipe), "--no-graph", *folders, *arguments])


def test_clip_and_then_a_denoiser_that_reads_its_text(drawn, tmp_path):
    result = train(tmp_path, CLIP)
    assert result.exit_code == 0, result.exception
    clip = load_clip(tmp_path / "checkpoints" / "mnist-clip")
    read = clip.text.config.vocabulary.read
    log = (tmp_path / "runs" / "mnist-clip" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["loss"] < math.log(64) - 0.05  # log 64 is what knowing nothing costs
    card = (tmp_path / "checkpoints" / "mnist-clip" / "README.md").read_text()
    assert '"guidance": "clip"' in card and "seven" in card

    result = train(tmp_path, TEXT_CFG)
    assert result.exit_code == 0, result.exception
    made = load_checkpoint(tmp_path / "checkpoints" / "mnist-text-cfg")
    assert made.config.conditioning == "text"
    assert torch.equal(made.text.embed([read("bold 3")]), clip.text.embed([read("bold 3")]))  # not trained further


def test_the_loss_is_the_entropy_of_the_positives_where_the_towers_make_no_mistake(drawn):
    """Both ways: −Σ_j 1/k log(1/k) = log k for a row with k positives, however many are shared."""
    task = ClipTask(parse_recipe(CLIP, "here"))
    rows, traits = task.data.draw(32, torch.Generator().manual_seed(0))
    seen = {}

    class Perfect(torch.nn.Module):
        def forward(self, shown, t, tokens):
            return 1e4 * seen["true"].float()

    def loss(seed: int) -> float:
        # The task draws t, then the noise, then the captions.
        generator = torch.Generator().manual_seed(seed)
        torch.rand((), generator=generator)
        torch.randn(rows.shape, generator=generator)
        asked = captions.tensor_of(task.data.captions_of(traits, generator))
        seen["true"] = true_of(asked, traits)
        context = LossContext(Perfect(), Perfect(), 0, torch.Generator().manual_seed(seed))
        return task.loss(Batch(rows, traits), context).item()

    found = loss(5)
    positives = [seen["true"].sum(dim).double() for dim in (0, 1)]
    assert found == pytest.approx(sum(k.log().mean().item() for k in positives) / 2, rel=1e-4)
    assert found > 0.1  # some captions are true of several images


def test_both_towers_are_kept_on_the_way(drawn, tmp_path):
    task = ClipTask(parse_recipe(CLIP, "here"))
    keep_weights(task, task.network, tmp_path, 1)
    folder = tmp_path / KEPT / kept_name(task.recipe, 1)
    kept = load_clip(folder)
    for network, own in ((kept.network, task.network.image), (kept.text.network, task.network.text)):
        assert all(torch.equal(one, own.state_dict()[name]) for name, one in network.state_dict().items())
    assert f"| trained on | 1 of {task.recipe.optimisation.steps:,} steps" in (folder / "README.md").read_text()


def test_words_that_mean_nothing_are_put_in_and_none_is_taken_away(drawn):
    task = ClipTask(parse_recipe(CLIP, "here"))
    traits = torch.tensor([[7, 0, 2, 1, 1, 1]]).expand(200, -1)
    said = task.data.captions_of(traits, torch.Generator().manual_seed(0))
    vocabulary = task.config.text.vocabulary
    tokens = tokens_of(said, vocabulary, torch.Generator().manual_seed(1))
    changed = 0
    for row, caption in zip(tokens.tolist(), said, strict=True):
        plain = list(vocabulary.read(caption.text).tokens)
        assert [token for token in row if token > 1] == plain
        changed += row.count(1) > 0
    assert 20 < changed < 60


def test_traits_are_drawn_with_their_images(drawn):
    data = captioned_mnist()
    images, traits = data.draw(50, torch.Generator().manual_seed(0))
    assert isinstance(data, CaptionedDigits)
    long, thick = (images[:, 0, :, 12] > 0).sum(1), (images[:, 0, 4] > 0).sum(1)
    assert ((long - 6) // 2).tolist() == traits[:, 0].tolist()
    by_third = [thick[traits[:, 1 + MEASURES.index("thickness")] == third].double().mean() for third in range(3)]
    assert by_third[0] < by_third[1] < by_third[2]


@pytest.mark.parametrize(
    ("recipe", "changed", "says"),
    [
        (CLIP, {"data": {"dataset": "spiral"}}, "spiral has no captions"),
        (CLIP, {"text": {"width": 10, "heads": 4}}, "is not a multiple of 4 heads"),
        (TEXT_CFG, {"text_from": "nothing"}, "text_from: nothing is no checkpoint of CLIP"),
        (TEXT_CFG, {"objective": {"conditional": False}}, "objective.conditional is false"),
    ],
)
def test_recipes_that_cannot_be_say_why_before_anything_is_trained(drawn, tmp_path, recipe, changed, says):
    result = train(tmp_path, recipe | changed)
    assert isinstance(result.exception, RecipeError)
    assert says in str(result.exception)
    assert not (tmp_path / "checkpoints").exists()


def begun(folder, data, **changed) -> DenoisingTask:
    """A task that begins with the checkpoint in that folder."""
    network = tiny_checkpoint(IMAGES).config.network.model_dump(mode="json")
    recipe = {
        "name": "begun",
        "data": {"dataset": "mnist"},
        "network": network,
        "schedule": {"T": 50},
        "optimisation": {"steps": 1, "warmup_steps": 0},
        **changed,
    }
    task = object.__new__(DenoisingTask)
    made = parse_recipe(recipe, "here")
    checkpoint = tiny_checkpoint(data, learned_variance=made.prediction.learned_variance)
    task.config, task.network = checkpoint.config, checkpoint.network
    task._start_from(folder)
    return task


def test_an_unconditional_network_with_a_learned_variance_begins_as_the_unconditional_half_of_a_conditional_one(
    tmp_path,
):
    folder = save_tiny(tmp_path, IMAGES)
    theirs = load_checkpoint(folder).network
    hybrid = {"prediction": {"learned_variance": True}, "objective": {"loss": "hybrid", "conditional": False}}
    task = begun(folder, IMAGES.model_copy(update={"labels": ()}), **hybrid)
    x, t, nothing = torch.randn(3, *IMAGES.shape), torch.tensor([1, 25, 50]), torch.full((3,), NO_LABEL)
    with torch.inference_mode():
        torch.testing.assert_close(task.network(x, t, nothing)[:, :1], theirs(x, t, nothing))
    # … and back, with labels that mean nothing yet: what it learned of the variance is left behind
    save_checkpoint(tmp_path / "ddpm", task.config, task.network)
    again = begun(tmp_path / "ddpm", IMAGES).network
    torch.nn.init.zeros_(again.embedding.label.weight)
    with torch.inference_mode():
        torch.testing.assert_close(again(x, t, nothing), theirs(x, t, nothing))


def test_the_same_reading_keeps_every_weight(tmp_path):
    folder = save_tiny(tmp_path, IMAGES)
    task = begun(folder, IMAGES)
    for name, weight in load_checkpoint(folder).network.state_dict().items():
        assert torch.equal(task.network.state_dict()[name], weight)


def test_prompts_are_measured_by_the_judge_and_by_morphometry(drawn):
    """A drawn picture of what is asked is right, one of something else is wrong, each in what it has wrong."""
    from training.metrics.image_reference import Judged
    from training.metrics.prompt_adherence import adherence

    data = captioned_mnist()
    wanted = [captions.Caption("", (*row[:3], *[-1] * 3)) for row in data.traits.tolist()]

    class Judge:  # of how much ink there is
        def look(self, images):
            return images.flatten(1).mean(1, keepdim=True), drawn.labels

    features, _ = Judge().look(drawn.rows.float())
    judged = Judged(Judge(), features, features, None)
    shares = adherence(drawn.rows.float(), wanted, judged, data.bounds)
    assert (shares["digit"], shares["thickness"], shares["slant"], shares["all three"]) == (1, 1, 1, 1)
    assert shares["among real"] == shares["all three, among real"] == 1
    strange = adherence(drawn.rows.float(), wanted, Judged(Judge(), 1000 + features, features, None), data.bounds)
    assert (strange["all three"], strange["among real"], strange["all three, among real"]) == (1, 0, 0)
    other = [
        dataclasses.replace(one, traits=(one.traits[0], (one.traits[1] + 1) % 3, *one.traits[2:])) for one in wanted
    ]
    shares = adherence(drawn.rows.float(), other, judged, data.bounds)
    assert (shares["digit"], shares["thickness"], shares["slant"], shares["all three"]) == (1, 0, 1, 0)
    assert math.isclose(shares["thickness and slant"], 0)
    blank = adherence(torch.zeros(240, 1, 28, 28), wanted, judged, data.bounds)
    assert (blank["thickness"], blank["slant"]) == (0, 0)


def test_a_caption_is_true_of_what_it_was_said_of(drawn):
    from training.metrics.image_reference import Judged
    from training.metrics.prompt_adherence import share_true

    data = captioned_mnist()
    held_out = data.held_out_captions(240, seed=0)
    images, labels = data.held_out.rows[held_out.index], data.held_out.labels[held_out.index]

    def share(read, said=held_out.captions):
        class Judge:
            def look(self, images):
                return None, read

        return share_true(images, said, Judged(Judge(), None, None, None), data.bounds)

    assert share(labels) == 1
    silent = [one.traits[0] == captions.UNMENTIONED for one in held_out.captions]
    assert 0.02 < share((labels + 1) % 10) <= sum(silent) / 240  # only where no digit was named
    thinner = [dataclasses.replace(one, traits=(-1, (row[1] + 1) % 3, *[-1] * 4))
               for one, row in zip(held_out.captions, held_out.traits.tolist(), strict=True)]  # fmt: skip
    assert share(labels, thinner) == 0


def test_the_config_says_what_was_trained(drawn, tmp_path):
    optimisation = CLIP["optimisation"] | {"steps": 1, "warmup_steps": 0}
    assert train(tmp_path, CLIP | {"optimisation": optimisation}).exit_code == 0
    config = load_config(tmp_path / "checkpoints" / "mnist-clip", ClipConfig)
    assert config.recipe["optimisation"]["steps"] == 1
    assert config.text.vocabulary.label_words[7] == ("seven", "7")
