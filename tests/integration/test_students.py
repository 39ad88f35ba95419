"""A student that is served: what it answers, what it refuses, and that nobody gets it unasked."""

import base64
import io

import numpy as np
import openai
import pytest
import torch
from PIL import Image

from model.checkpoints.base import save_checkpoint
from model.conditions import Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from service.requests.quality import student_steps
from tests.tiny import (
    IMAGES,
    save_tiny,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_control,
    tiny_student,
    tiny_text_checkpoint,
    tiny_text_student,
)

SEVEN = {"dataset": "mnist", "label": 7, "seed": 3}


@pytest.fixture
def client(make_client, tmp_path):
    student = tiny_student()
    for one in (student, tiny_classifier()):  # the classifier guides the teacher, and no student
        save_checkpoint(tmp_path / one.config.name, one.config, one.network)
    save_tiny(tmp_path, IMAGES)
    return make_client(checkpoints=tmp_path, precision="float32")


def ask(client, **fields):
    return client.post("/sample", json=SEVEN | fields, headers={"Accept": "application/x-npy"})


def evaluations(client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("spirale_network_evaluations_total") and f'"{name}"' in line]
    return float(found[0].split()[-1]) if found else 0.0


def test_its_samples_are_those_of_the_plain_loop_at_one_evaluation_a_step(client):
    answer = ask(client, model="mnist-fast", n=4, guidance_scale=2.5)
    assert answer.status_code == 200, answer.text
    assert evaluations(client, "mnist-fast") == 4 * 2

    student = tiny_student()
    conditions = Conditions(torch.full((4,), 7), torch.full((4,), 2.5))
    seeds = torch.from_numpy(sample_seeds(3, 4))
    x = sample(student.denoiser(), make_plan(student.schedule, "ddim", 2), conditions, seeds, IMAGES.shape)
    expected = IMAGES.restore(x)[:, 0]
    assert np.abs(np.load(io.BytesIO(answer.content)).squeeze().astype(float) - expected.numpy()).max() <= 0.51


def test_models_tells_what_a_student_may_be_asked(client):
    student = tiny_student().config
    models = {model["name"]: model["few_step"] for model in client.get("/models").json()["datasets"]["mnist"]["models"]}
    assert models == {"mnist-tiny": None, "mnist-fast": {
        "teacher": student.distilled.teacher, "sampler": "ddim", "steps": [1, 2, 4],
        "guidance_range": list(student.distilled.guidance_range),
    }}  # fmt: skip


def test_it_answers_only_where_it_is_named(client):
    assert ask(client).headers["x-model"] == "mnist-tiny"
    assert ask(client, model="mnist-fast").headers["x-model"] == "mnist-fast"


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"sampler": "dpmpp-2m"}, "sampler", "ddim"),
        ({"sampler": "renoise"}, "sampler", "ddim"),
        ({"eta": 0.5}, "eta", "draws no noise"),
        ({"guidance_interval": [0.2, 3]}, "guidance_interval", "its teacher's"),
        ({"steps": 3}, "steps", "1, 2, 4"),
        ({"guidance_scale": 5}, "guidance_scale", "1 … 3"),
        ({"guidance_scale": 0.5}, "guidance_scale", "1 … 3"),
        ({"guidance": "classifier"}, "guidance", "no classifier that fits it"),
    ],
)
def test_what_it_cannot_do_is_refused_with_what_it_can(client, fields, field, says):
    answer = ask(client, model="mnist-fast", **fields)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field and says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "model", "steps"),
    [
        ({}, "mnist-tiny", 4),
        ({"quality": "high"}, "mnist-tiny", 4),
        ({"quality": "low"}, "mnist-fast", 1),
        ({"quality": "medium"}, "mnist-fast", 2),
        ({"quality": "medium", "label": None}, "mnist-fast", 2),
        ({"quality": "medium", "eta": 1, "sampler": "ddim"}, "mnist-tiny", 4),
        ({"quality": "auto"}, "mnist-tiny", 4),  # nothing is measured
        ({"quality": "low", "steps": 3}, "mnist-tiny", 3),
        ({"quality": "low", "guidance": "classifier"}, "mnist-tiny", 4),
        ({"quality": "low", "sampler": "ddpm"}, "mnist-tiny", 4),
        ({"quality": "low", "guidance_scale": 2}, "mnist-fast", 1),
        ({"quality": "low", "guidance_scale": 9}, "mnist-tiny", 4),  # it was trained at other scales
        ({"quality": "low", "model": "mnist-fast"}, "mnist-fast", 2),
        ({"quality": "high", "model": "mnist-fast", "steps": 4}, "mnist-fast", 4),
    ],
)
def test_quality_names_a_model_and_its_steps_where_nothing_says_more(client, fields, model, steps):
    answer = client.post("/sample", json=SEVEN | fields, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["model"], found["steps"]) == (model, steps)


def test_quality_names_a_student_that_reads_prompts_also_beside_a_default_that_does_not(make_client, tmp_path):
    clip = tiny_clip()
    by_default = clip.config.model_copy(update={"default_for_prompts": True})
    without_labels = tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}), "mnist-ddpm")
    for one in (tiny_text_checkpoint(), tiny_text_student()):
        save_checkpoint(tmp_path / one.config.name, one.config, one.network, one.text)
    save_checkpoint(tmp_path / clip.config.name, by_default, clip.network, clip.text)
    for one in (without_labels, tiny_student()):  # the latter reads no prompts
        save_checkpoint(tmp_path / one.config.name, one.config, one.network)
    client = make_client(checkpoints=tmp_path, precision="float32")
    for fields, model, steps in (
        ({}, "mnist-ddpm", 4),  # guided by CLIP
        ({"quality": "high"}, "mnist-ddpm", 4),
        ({"quality": "low"}, "mnist-text-fast", 1),
        ({"quality": "medium"}, "mnist-text-fast", 2),
        ({"quality": "medium", "guidance": "classifier-free"}, "mnist-text-fast", 2),
        ({"quality": "low", "guidance": "clip"}, "mnist-ddpm", 4),
        ({"quality": "low", "prompt": None, "label": 3}, "mnist-fast", 1),
        ({"model": "mnist-text-fast"}, "mnist-text-fast", 2),
    ):
        asked = {"dataset": "mnist", "prompt": "the digit 3", "seed": 3} | fields
        answer = client.post("/sample", json=asked, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["model"], found["steps"]) == (model, steps), fields


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A teacher and its student; both follow edges, and only the teacher follows sketches."""
    folder, teacher, student = tmp_path_factory.mktemp("drawn"), tiny_checkpoint(), tiny_student()
    beside = (tiny_control(teacher), tiny_control(teacher, "sketch"), tiny_control(student, name="mnist-fast-canny"))
    for one in (teacher, student, *beside):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    return folder


def hinted(kind: str, **fields) -> dict:
    """A request whose hint is already one."""
    image = np.zeros(IMAGES.shape[1:], np.uint8)
    image[2:6, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    return SEVEN | {"control": {"kind": kind, "image": picture, "preprocess": False}} | fields


@pytest.mark.parametrize(
    ("kind", "fields", "model", "steps"),
    [
        ("canny", {}, "mnist-tiny", 4),
        ("canny", {"label": None}, "mnist-tiny", 3),
        ("canny", {"quality": "low"}, "mnist-fast", 1),
        ("canny", {"quality": "medium"}, "mnist-fast", 2),
        ("canny", {"quality": "medium", "label": None}, "mnist-fast", 2),
        ("canny", {"quality": "auto"}, "mnist-tiny", 4),  # nothing is measured
        ("canny", {"quality": "high"}, "mnist-tiny", 4),
        ("canny", {"model": "mnist-fast"}, "mnist-fast", 2),
        ("sketch", {"quality": "low"}, "mnist-tiny", 4),  # no student follows it
    ],
)
def test_quality_names_a_student_that_follows_the_hint(make_client, drawn, kind, fields, model, steps):
    client = make_client(checkpoints=drawn, precision="float32")
    answer = client.post("/sample", json=hinted(kind, **fields), headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["model"], found["steps"]) == (model, steps)


@pytest.mark.parametrize("label", [7, None])
def test_a_hint_is_followed_in_one_evaluation_of_each_network_a_step(make_client, drawn, label):
    client = make_client(checkpoints=drawn, precision="float32")
    asked = hinted("canny", label=label, model="mnist-fast", n=4, guidance_scale=2.5)
    answer = client.post("/sample", json=asked, headers={"Accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    assert evaluations(client, "mnist-fast") == 4 * 2 * 2

    student = tiny_student()
    control = tiny_control(student, name="mnist-fast-canny")
    image = torch.zeros(1, *IMAGES.shape[1:])
    image[0, 2:6, 3] = 1
    conditions = Conditions.alike(4, label=-1 if label is None else label, guidance_scale=2.5)
    conditions = conditions.with_hints(image, "canny", control.config.control_scale)
    plan = make_plan(student.schedule, "ddim", 2)
    seeds = torch.from_numpy(sample_seeds(3, 4))
    x = sample(student.denoiser(controls={"canny": control.control()}), plan, conditions, seeds, IMAGES.shape)
    expected = IMAGES.restore(x)[:, 0]
    assert np.abs(np.load(io.BytesIO(answer.content)).squeeze().astype(float) - expected.numpy()).max() <= 0.51


def test_models_lists_qualities_beside_the_hints_that_a_student_follows(make_client, drawn):
    client = make_client(checkpoints=drawn, precision="float32")
    dataset = client.get("/models").json()["datasets"]["mnist"]
    found = {(one["asks"], one["hint"], one["quality"]): one for one in dataset["qualities"]}
    asks = ("nothing", "label")
    assert set(found) == {(ask, hint, quality) for ask in asks for hint in (None, "canny") for quality in QUALITIES}
    for (ask, hint, quality), one in found.items():
        if hint is not None:
            before = evaluations(client, one["model"])
            client.post("/sample", json=hinted(hint, quality=quality, **({"label": None} if ask == "nothing" else {})))
            assert evaluations(client, one["model"]) - before == one["network_evaluations"]


def test_auto_takes_a_student_whose_controlnet_is_nearly_as_good(make_client, tmp_path):
    """By the figures of the ControlNets, whatever those of the models are."""
    student, teacher = tiny_student(), tiny_checkpoint()
    for one, accuracy in ((tiny_control(student, name="fast-canny"), 0.97), (tiny_control(teacher), 0.973)):
        figures = {"measured": {"agreement": 0.9, "label_accuracy_alone": accuracy, "steps": 2}}
        config = one.config.model_copy(update={"metrics": figures})
        save_checkpoint(tmp_path / config.name, config, one.network)
    for one in (teacher, student):
        save_checkpoint(tmp_path / one.config.name, one.config, one.network)
    client = make_client(checkpoints=tmp_path, precision="float32")
    for request, model in (
        (hinted("canny", quality="auto"), "mnist-fast"),
        (SEVEN | {"quality": "auto"}, "mnist-tiny"),
    ):
        assert client.post("/sample", json=request).headers["x-model"] == model


def measured(accuracy: float, steps: int) -> dict:
    return {"label_accuracy": accuracy, "precision": 0.9, "recall": 0.9, "steps": steps}


@pytest.mark.parametrize(("accuracies", "steps"), [((0.994, 0.996), 1), ((0.98, 0.996), 2), ((0.98, 0.99), None)])
def test_auto_is_the_fewest_steps_within_the_tolerance(accuracies, steps):
    one, two = accuracies
    student = tiny_student().config.model_copy(
        update={"metrics": {"measured": measured(two, 2), "in 1 step": measured(one, 1)}}
    )
    many = tiny_checkpoint().config.model_copy(update={"metrics": {"measured": measured(0.998, 50)}})
    assert student_steps("auto", student.metrics, many.metrics) == steps


def test_without_figures_of_either_nothing_is_nearly_as_good():
    student = tiny_student().config.model_copy(update={"metrics": {"measured": measured(0.99, 2)}})
    labels_alone = tiny_checkpoint().config.model_copy(update={"metrics": {"measured": {"label_accuracy": 0.9}}})
    assert student_steps("auto", student.metrics, labels_alone.metrics) is None  # noise is given a class too
    teacher = {"measured": {"precision": 0.9, "recall": 0.9, "sliced_wasserstein_ratio": 1.2}}
    points = tiny_checkpoint().config.model_copy(update={"metrics": teacher})
    assert student_steps("auto", student.metrics, points.metrics) is None


@pytest.mark.parametrize("figure", [None, "0.9", [0.9], {"of": 0.9}])
def test_a_figure_that_is_no_number_was_not_measured(figure):
    broken, whole = {"measured": measured(0.99, 2) | {"precision": figure}}, {"measured": measured(0.99, 2)}
    assert student_steps("auto", whole, whole) == 2
    assert student_steps("auto", broken, whole) is None
    assert student_steps("auto", whole, broken) is None


@pytest.mark.parametrize(("ratio", "steps"), [(1.6, 2), (1.8, None)])
def test_of_points_the_distance_may_be_a_little_larger(ratio, steps):
    found = {"steps": 2, "precision": 0.9, "recall": 0.9, "sliced_wasserstein_ratio": ratio}
    of_teacher = {"steps": 2, "precision": 0.9, "recall": 0.9, "sliced_wasserstein_ratio": 1.2}  # no column of its own
    student = tiny_student().config.model_copy(update={"metrics": {"mnist-tiny": of_teacher, "measured": found}})
    many = tiny_checkpoint().config.model_copy(update={"metrics": {"measured": of_teacher}})
    assert student_steps("auto", student.metrics, many.metrics) == steps


def test_models_lists_what_every_quality_takes(client):
    dataset = client.get("/models").json()["datasets"]["mnist"]
    found = {(one["asks"], one["quality"]): one for one in dataset["qualities"]}
    assert set(found) == {(asks, quality) for asks in ("nothing", "label") for quality in QUALITIES}
    for (asks, quality), one in found.items():
        fields = {"label": None} if asks == "nothing" else {}
        before = evaluations(client, one["model"])
        answer = client.post("/sample", json=SEVEN | fields | {"quality": quality}).headers
        assert answer["x-model"] == one["model"]
        assert evaluations(client, one["model"]) - before == one["network_evaluations"]
        assert one["milliseconds"] > 0


QUALITIES = ("low", "medium", "high", "auto")


@pytest.fixture
def of_prompts(make_client, tmp_path):
    """A teacher, its student, and a model of prompts, as OpenAI's client sees them; and the plain client."""
    text, student = tiny_text_checkpoint(), tiny_student()
    save_checkpoint(tmp_path / text.config.name, text.config, text.network, text.text)
    save_checkpoint(tmp_path / student.config.name, student.config, student.network)
    save_tiny(tmp_path, IMAGES)
    client = make_client(checkpoints=tmp_path, precision="float32")
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=client), client


@pytest.mark.parametrize(
    ("prompt", "more", "model", "ignored"),
    [
        ("a seven", {"quality": "low"}, "mnist-fast", None),
        ("7", {"quality": "medium"}, "mnist-fast", None),
        ("7", {"quality": "auto"}, "mnist-text-cfg", None),  # nothing is measured
        ("7", {"quality": "high"}, "mnist-text-cfg", None),
        ("7", {"quality": "hd"}, "mnist-text-cfg", None),
        ("7", {}, "mnist-text-cfg", None),
        ("thin seven", {"quality": "low"}, "mnist-text-cfg", "quality"),  # no student reads words
        ("7 and 3", {"quality": "low"}, "mnist-text-cfg", "quality"),
        ("7", {"quality": "low", "model": "mnist-text-cfg"}, "mnist-text-cfg", "quality"),
        ("7", {"quality": "low", "extra_body": {"steps": 3}}, "mnist-text-cfg", "quality"),
    ],
)
def test_openais_client_asks_for_quality(of_prompts, prompt, more, model, ignored):
    official, _ = of_prompts
    extra = {"seed": 3} | more.pop("extra_body", {})
    answer = official.images.with_raw_response.generate(prompt=prompt, extra_body=extra, **more)
    assert (answer.headers["x-model"], answer.headers.get("x-ignored-fields")) == (model, ignored)


def test_low_quality_is_the_picture_of_the_class_in_one_evaluation(of_prompts):
    official, client = of_prompts
    (image,) = official.images.generate(prompt="a seven", quality="low", extra_body={"seed": 3}).data
    assert evaluations(client, "mnist-fast") == 1
    asked = SEVEN | {"quality": "low"}
    (same,) = client.post("/sample", json=asked, headers={"Accept": "application/json"}).json()["images"]
    assert np.array_equal(*(pixels(one) for one in (image.b64_json, same["b64_png"])))


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


@pytest.mark.parametrize("fields", [{"steps": 1}, {"steps": 4}, {"guidance": "none"}, {"label": None}])
def test_what_it_can_do_is_done(client, fields):
    assert ask(client, model="mnist-fast", **fields).status_code == 200
