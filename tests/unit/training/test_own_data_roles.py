"""Every kind of checkpoint, made of somebody's own data and measured: what MNIST was once presumed for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.checkpoints.classifier import ClassifierConfig
from model.checkpoints.clip import load_clip
from model.checkpoints.config import load_config, save_config
from model.checkpoints.control import load_control
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.checkpoints.judge import JudgeConfig, JudgeNetwork, find_judge, load_judge, save_judge
from model.data import DataConfig
from training.data import captioned_set, trained_on
from training.data.captions import true_of
from training.data.data_section import ImageSection
from training.data.training_set import DataError
from training.evaluate.command import (
    evaluate_checkpoint,
    evaluate_guided,
    evaluate_likelihood,
    evaluate_memorisation,
    options,
)
from training.evaluate.measurement import settings_of
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError, parse_recipe
from training.tasks.registry import make_task
from training.tasks.task import Batch, LossContext
from training.train_command import _is_written

CPU = torch.device("cpu")
COLOURS = {"red": (220, 30, 20), "blue": (20, 40, 230)}
SIDE = 16
UNET = {"kind": "unet", "channels": [8, 16], "blocks": 1, "attention": [], "groups": 4}
ENCODER = {"kind": "image-encoder", "channels": [8, 16], "blocks": 1, "attention": [], "groups": 4}
QUICK = {"batch_size": 32, "learning_rate": 3e-3, "warmup_steps": 0, "ema_decay": 0.9}


def squares(root: Path, each: int = 60) -> Path:
    """Colour images of squares on a grey ground, a folder for each colour, and what is said of them."""
    rng = np.random.default_rng(0)
    lines = []
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for index in range(each):
            pixels = rng.integers(110, 140, (SIDE, SIDE, 3), dtype=np.uint8)
            left, top = rng.integers(0, SIDE - 7, 2)
            pixels[top : top + 7, left : left + 7] = np.clip(np.array(colour) + rng.integers(-15, 15, 3), 0, 255)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
            where = "left" if left < 5 else "right"
            said = f"A {name} square on the {where}" if index % 2 else f"a {name} square, on the {where}!"
            lines.append(json.dumps({"file_name": f"{name}/{index}.png", "text": said}))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A place where recipes of such squares are trained, in seconds."""
    place = tmp_path_factory.mktemp("shop")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    patch.setattr(options, "FEWEST_IMAGES", 40)
    yield Shop(place, squares(place / "squares"))
    patch.undo()


class Shop:
    def __init__(self, place: Path, images: Path):
        self.checkpoints = place / "checkpoints"
        self.data = {"dataset": "squares", "images": str(images), "size": [SIDE, SIDE], "channels": 3}

    def recipe(self, name: str, steps: int = 1, **fields) -> dict:
        own = {} if fields.get("role") in ("control", "flow-map", "control-flow-map") else {"data": self.data}
        return {"name": name, "optimisation": QUICK | {"steps": steps}, **own, **fields}

    def make(self, name: str, steps: int = 1, **fields):
        """Trained by the plainest loop there is, and saved."""
        task = make_task(parse_recipe(self.recipe(name, steps, **fields), "here"), self.checkpoints)
        optimizer = torch.optim.AdamW(task.network.parameters(), 3e-3)
        for step in range(steps):
            generator = torch.Generator().manual_seed(step)
            batch = Batch(*task.data.draw(32, generator))
            optimizer.zero_grad()
            task.loss(batch, LossContext(task.network, task.network, step, generator)).backward()
            optimizer.step()
        task.save(task.network.eval(), self.checkpoints / name)
        return task

    def measured(self, name: str, **options) -> dict:
        return evaluate_checkpoint(self.checkpoints / name, self.checkpoints, SamplingRun(CPU), **options)

    def card(self, name: str) -> str:
        return (self.checkpoints / name / "README.md").read_text()


@pytest.fixture(scope="module")
def denoiser(shop):
    shop.make("squares", 30, network=UNET, schedule={"T": 50}, sampling={"steps": 4})
    return "squares"


def test_without_a_judge_the_card_has_what_can_be_measured_and_says_how_to_make_one(shop, denoiser):
    metrics = shop.measured(denoiser)
    assert "judge" not in metrics and "label_accuracy" not in metrics
    assert metrics["samples"] == 40 and metrics["compared"] == len(
        trained_on(load_config(shop.checkpoints / denoiser, DenoiserConfig)).held_out
    )
    assert metrics["energy"] > metrics["energy_floor"]
    card = shop.card(denoiser)
    assert "no judge of such images" in card and "--role judge" in card
    assert "](samples.png)" in card and "](nearest.png)" in card and "](farthest.png)" in card
    remembered = load_config(shop.checkpoints / denoiser, DenoiserConfig).metrics["memorisation"]
    # A network of thirty steps remembers nothing: its samples are far from everything.
    assert remembered["nearest_training"] > remembered["nearest_training_of_real"]
    assert remembered["nearer_than_real"] < 0.1
    picture = np.asarray(Image.open(shop.checkpoints / denoiser / "samples.png"))
    assert picture.shape == (2 * (SIDE + 2) + 2, 10 * (SIDE + 2) + 2, 3)


@pytest.fixture(scope="module")
def judge(shop, denoiser):
    shop.make("the-judge", 40, role="judge", width=8, features=16)
    return "the-judge"


def test_a_judge_of_own_images_reads_those_that_were_held_out_and_then_the_samples(shop, denoiser, judge):
    assert shop.measured(judge)["test_accuracy"] >= 0.9
    assert find_judge(shop.checkpoints, load_config(shop.checkpoints / denoiser, DenoiserConfig).data).name == judge
    metrics = shop.measured(denoiser, changed={"steps": 3})
    assert metrics["judge"] == judge and 0 <= metrics["label_accuracy"] <= 1 and metrics["steps"] == 3
    config = load_config(shop.checkpoints / denoiser, DenoiserConfig)
    assert "never flipped" in shop.card(judge) and "source of the data" not in shop.card(judge)
    other = config.data.model_copy(update={"labels": ("cat", "dog")})
    assert find_judge(shop.checkpoints, other) is None
    assert find_judge(shop.checkpoints, config.data.model_copy(update={"labels": ()})).name == judge


def test_likelihood_and_memorisation_by_themselves(shop, denoiser):
    columns = evaluate_likelihood(shop.checkpoints / denoiser, SamplingRun(CPU), samples=10)
    assert all(np.isfinite(column["bits_fixed_small"]) for column in columns.values())
    assert evaluate_memorisation(shop.checkpoints / denoiser, SamplingRun(CPU), samples=20)["samples"] == 20


def test_a_classifier_is_measured_on_held_out_images_and_guides(shop, denoiser):
    shop.make("squares-ddpm", 2, network=UNET, schedule={"T": 50}, sampling={"steps": 3},
              objective={"conditional": False})  # fmt: skip
    shop.make("squares-classifier", 30, role="classifier", network=ENCODER, schedule={"T": 50})
    metrics = shop.measured("squares-classifier")
    assert metrics["accuracy at t/T = 0"] >= 0.9
    folder = shop.checkpoints / "squares-classifier"
    guided = evaluate_guided(shop.checkpoints / "squares-ddpm", folder, shop.checkpoints, SamplingRun(CPU))
    assert "guiding squares-ddpm" in load_config(folder, ClassifierConfig).metrics
    assert guided["guidance_model"] == "squares-classifier"


@pytest.fixture(scope="module")
def clip(shop):
    text = {"outputs": 16, "width": 16, "layers": 1, "heads": 2}
    shop.make("squares-clip", 60, role="clip", network=ENCODER, schedule={"T": 50}, text=text)
    return "squares-clip"


def test_clip_reads_own_captions(shop, clip):
    checkpoint = load_clip(shop.checkpoints / clip)
    vocabulary = checkpoint.text.config.vocabulary
    assert vocabulary.words == ("a", "blue", "left", "on", "red", "right", "square", "the")
    assert vocabulary.label_words == (("blue",), ("red",))
    metrics = shop.measured(clip)
    assert metrics["accuracy at t/T = 0"] >= 0.9  # by the classes' names, which the captions say
    assert metrics["caption recall at 1"] > metrics["recall at 1 by chance"]
    assert metrics["held_out_captions"] == len(trained_on(checkpoint.config).held_out)


@pytest.fixture(scope="module")
def text_denoiser(shop, clip):
    shop.make("squares-text", 2, network=UNET, schedule={"T": 50}, sampling={"steps": 3}, text_from=clip)
    return "squares-text"


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "clip", "network": ENCODER, "text": {"outputs": 16, "width": 16, "layers": 1, "heads": 2}},
        {"role": "judge", "width": 8, "features": 16},
        {"network": UNET, "sampling": {"steps": 4}},
    ],
)
def test_what_a_run_has_written_is_known_again_and_no_other_weights(shop, tmp_path, fields):
    """Also of CLIP, which has more to train than its image tower."""
    recipe = shop.recipe("again", **fields, **({} if "width" in fields else {"schedule": {"T": 50}}))
    task = make_task(parse_recipe(recipe, "here"), shop.checkpoints)
    assert not _is_written(task, task.network, tmp_path / "again")
    task.save(task.network, tmp_path / "again")
    assert _is_written(task, task.network, tmp_path / "again")
    with torch.no_grad():
        next(task.network.parameters()).add_(1)
    assert not _is_written(task, task.network, tmp_path / "again")


def test_a_denoiser_reads_own_captions(shop, clip, text_denoiser):
    metrics = shop.measured("squares-text")
    assert metrics["clip"] == clip and 0 <= metrics["prompt_recall"] <= 1
    assert metrics["prompt_recall_of_real"] > metrics["prompt_recall_by_chance"]
    assert "words | a, blue, left" in shop.card("squares-text")


def test_a_student_reads_the_captions_that_its_teacher_read(shop, clip, text_denoiser):
    few = {"trajectories": 16, "teacher_steps": 1}
    shop.make("squares-text-fast", 2, role="flow-map", teacher=text_denoiser, distillation=few)
    student, teacher = (load_checkpoint(shop.checkpoints / name) for name in ("squares-text-fast", text_denoiser))
    assert student.text.config == teacher.text.config and student.config.conditioning == "text"
    metrics = shop.measured("squares-text-fast")
    assert metrics["clip"] == clip and metrics["steps"] == 2
    assert load_config(shop.checkpoints / "squares-text-fast", DenoiserConfig).metrics["in 1 step"]["clip"] == clip


def test_a_controlnet_follows_edges_of_colour_images(shop, denoiser, judge):
    shop.make("squares-canny", 3, role="control", base=denoiser, hint="canny")
    control = load_control(shop.checkpoints / "squares-canny")
    assert control.config.framing == "whole"
    metrics = shop.measured("squares-canny")
    assert metrics["agreement_ceiling"] == 1.0 and metrics["judge"] == judge and "drawings" not in metrics
    sheet = np.asarray(Image.open(shop.checkpoints / "squares-canny" / "followed.png"))
    assert (sheet[..., 0] != sheet[..., 2]).any()
    with pytest.raises(RecipeError, match="light strokes on a dark ground"):
        shop.make("squares-sketch", role="control", base=denoiser, hint="sketch")


def test_a_controlnet_learns_what_goes_with_a_known_part_and_is_measured_without_drawings(shop, denoiser, judge):
    shop.make("squares-known", 3, role="control", base=denoiser, hint="inpainting")
    metrics = shop.measured("squares-known")
    assert 0 <= metrics["label_accuracy_alone"] <= 1 and metrics["judge"] == judge
    assert not {"agreement", "agreement_alone", "drawings"} & metrics.keys()
    card = shop.card("squares-known")
    assert "follow what is known around a hole" in card and '"mask": {"image"' in card and '"control"' not in card


def test_a_student_of_colour_images_follows_edges_and_is_compared_with_its_teacher(shop, denoiser, judge):
    few = {"trajectories": 16, "teacher_steps": 1}
    shop.make("squares-edges", 2, role="control", base=denoiser, hint="canny")
    shop.measured("squares-edges")
    shop.make("squares-fast", 2, role="flow-map", teacher=denoiser, distillation=few)
    names = {"base": "squares-fast", "teacher": "squares-edges"}
    shop.make("squares-fast-edges", 2, role="control-flow-map", **names, distillation=few)
    metrics = shop.measured("squares-fast-edges")
    assert metrics["base"] == "squares-fast" and metrics["steps"] == 2 and metrics["judge"] == judge
    columns = load_control(shop.checkpoints / "squares-fast-edges").config.metrics
    teacher = load_control(shop.checkpoints / "squares-edges").config.metrics["measured"]
    assert columns["in 1 step"]["steps"] == columns["in 1 step"]["steps_alone"] == 1
    assert columns["in 4 steps"]["steps"] == 4 and columns["squares-edges"] == teacher
    card = shop.card("squares-fast-edges")
    assert "agreement alone 0.02" in card and '"model": "squares-fast"' in card


def test_captions_that_say_the_same_are_true_of_the_same_images(shop):
    data = captioned_set(ImageSection(**shop.data))
    rows, traits = data.draw(64, torch.Generator().manual_seed(0))
    assert rows.shape == (64, 3, SIDE, SIDE)
    captions = data.captions_of(traits, torch.Generator())
    assert len({one.traits for one in captions}) == 4  # two colours, two places; however they are written
    plain = [caption.text.lower().replace(",", "").replace("!", "") for caption in captions]
    same = np.array([[one == other for other in plain] for one in plain])
    np.testing.assert_array_equal(true_of(torch.tensor([one.traits for one in captions]), traits).numpy(), same)
    red = np.array(["red" in text for text in plain])
    brightest = rows.flatten(2).amax(2)  # and each is drawn with the image that it is true of
    np.testing.assert_array_equal((brightest[:, 0] > brightest[:, 2]).numpy(), red)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"role": "judge", "data": {"labels": False}}, "a judge reads the classes of images"),
        ({"role": "classifier", "network": ENCODER, "data": {"labels": False}}, "no classes that could be told apart"),
    ],
)
def test_what_needs_classes_says_so(shop, fields, says):
    recipe = shop.recipe("flat", **fields) | {"data": shop.data | fields["data"]}
    with pytest.raises(RecipeError, match=says):
        make_task(parse_recipe(recipe, "here"), shop.checkpoints)


def test_images_of_which_nothing_is_said_have_no_prompts(shop, tmp_path):
    bare = squares(tmp_path / "bare", each=20)
    (bare / "metadata.jsonl").unlink()
    section = ImageSection(**shop.data | {"images": str(bare)})
    with pytest.raises(DataError, match=r"no captions: .* metadata\.jsonl"):
        captioned_set(section)
    (bare / "metadata.jsonl").write_text(json.dumps({"file_name": "red/0.png", "text": "word " * 300}))
    with pytest.raises(DataError, match=r"red/0\.png: its caption has more than 256 words"):
        captioned_set(section)


def test_what_bfloat16_loses_is_known_at_its_settings_only(shop, denoiser, tmp_path):
    made, folder = load_checkpoint(shop.checkpoints / denoiser), tmp_path / "squares"
    known = settings_of(made.config.sampling, None) | {"computed_in": "bfloat16"}
    allowed = {"precisions": ("float32", "bfloat16"), "metrics": {"bfloat16": known}}
    save_checkpoint(folder, made.config.model_copy(update=allowed), made.network)
    evaluate_checkpoint(folder, tmp_path, SamplingRun(CPU), samples=20)
    config = load_config(folder, DenoiserConfig)
    assert set(config.metrics) == {"measured", "bfloat16", "memorisation"} and "bfloat16" in config.precisions
    fewer = config.sampling.model_copy(update={"steps": config.sampling.steps - 1})
    save_config(folder, config.model_copy(update={"sampling": fewer}))
    evaluate_checkpoint(folder, tmp_path, SamplingRun(CPU), samples=20)
    config = load_config(folder, DenoiserConfig)
    assert "bfloat16" not in config.metrics and config.precisions == ("float32",)


def test_own_data_that_went_away_is_named(shop, denoiser, tmp_path):
    made = load_checkpoint(shop.checkpoints / denoiser)
    gone = made.config.recipe | {"data": shop.data | {"images": str(tmp_path / "gone")}}
    save_checkpoint(tmp_path / "squares", made.config.model_copy(update={"recipe": gone}), made.network)
    with pytest.raises(DataError, match="gone is not there: if the data were moved"):
        evaluate_checkpoint(tmp_path / "squares", tmp_path, SamplingRun(CPU))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64), (3, 16, 48)])
def test_a_judge_of_any_shape_is_saved_and_loaded(tmp_path, shape):
    data = DataConfig(dataset="any", kind="images", shape=shape, labels=("a", "b"), mean=(127.5,), std=(127.5,))
    config = JudgeConfig(name="judge", data=data, width=8, features=8)
    network = JudgeNetwork(config)
    save_judge(tmp_path / "judge", config, network)
    images = torch.randint(0, 256, (5, *shape))
    with torch.no_grad():
        expected = network(data.standardise(images.float())).argmax(1)
    assert torch.equal(load_judge(tmp_path / "judge").look(images)[1], expected)
