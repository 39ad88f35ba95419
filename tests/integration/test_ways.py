"""GET /models promises ways to ask; POST /sample keeps every one, and refuses every other."""

from dataclasses import replace
from itertools import product

import pytest
from fastapi.testclient import TestClient

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import SamplingOverrides
from model.samplers import SAMPLERS
from service.app import create_app
from service.responses.models_answer import ModelsAnswer
from service.settings import Settings
from tests.integration.conftest import wait_until_ready
from tests.integration.test_control import drawing
from tests.tiny import (
    IMAGES,
    POINTS,
    save_tiny,
    tiny_autoguidance,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_control,
    tiny_text_checkpoint,
)

ASKED = {"nothing": {}, "label": {"label": 1}, "prompt": {"prompt": "thin seven"}}
GUIDANCE = ("none", "classifier-free", "classifier", "clip", "auto")


def save_all(folder, default_for_prompts: bool) -> None:
    base, clip = tiny_checkpoint(IMAGES, "mnist-cfg"), tiny_clip()
    base = replace(base, config=base.config.model_copy(update={"label_shares": (0.1,) * 10}))
    unlabelled = IMAGES.model_copy(update={"labels": ()})
    advice = SamplingOverrides(guidance_scale=3, sampler="ddpm", steps=6)
    config = clip.config.model_copy(update={"default_for_prompts": default_for_prompts, "sampling": advice})
    plain = tiny_checkpoint(unlabelled, "mnist-ddpm", learned_variance=True, variance="learned")
    save_tiny(folder, IMAGES, name="mnist-other", T=40, sampler="ddim", eta=0.5, guidance_scale=1.0)
    save_tiny(folder, POINTS)
    save_tiny(folder, POINTS.model_copy(update={"labels": ()}), name="spiral-ddpm")
    save_checkpoint(folder / "clip", config, clip.network, clip.text)
    text = tiny_text_checkpoint()
    save_checkpoint(folder / "text", text.config, text.network, text.text)
    beside = (tiny_control(base), tiny_control(base, "sketch"), tiny_autoguidance(plain))
    for one in (base, plain, tiny_classifier(), tiny_classifier(POINTS), *beside):
        save_checkpoint(folder / one.config.name, one.config, one.network)


@pytest.fixture(scope="module", params=[False, True], ids=["clip", "clip is the default for prompts"])
def client(tmp_path_factory, request):
    """`mnist` and `spiral` in every way that they can be asked."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_all(folder, default_for_prompts=request.param)
    with TestClient(create_app(Settings(checkpoints=folder, device="cpu"))) as client:
        wait_until_ready(client)
        yield client


def test_a_way_says_what_its_samples_may_begin_from(client):
    """Images from pictures, points with given dimensions, and both between seeds, under every guidance."""
    for dataset in catalogue(client).values():
        own = {"init", "inversion", "mask"} if dataset["kind"] == "images" else {"given"}
        assert {frozenset(way["edits"]) for way in dataset["ways"]} == {frozenset(own | {"seed_to", "variations_of"})}


def catalogue(client) -> dict:
    answer = client.get("/models")
    ModelsAnswer.model_validate_json(answer.content, strict=True)
    return answer.json()["datasets"]


def ask(client, dataset: str, asks: str, hint: str | None, **named):
    control = {} if hint is None else {"control": {"kind": hint, "image": drawing()}}
    fields = {"dataset": dataset, "n": 1, "seed": 0, **ASKED[asks], **control, **named}
    return client.post("/sample", json=fields, headers={"Accept": "application/json"})


def evaluations(client, model: str) -> float:
    line = f'spirale_network_evaluations_total{{device="cpu",model="{model}"}} '
    lines = client.get("/metrics").text.splitlines()
    return sum(float(one.removeprefix(line)) for one in lines if one.startswith(line))


def test_every_way_is_answered_as_it_promises_and_all_else_is_refused(client):
    for dataset, described in catalogue(client).items():
        ways = {(way["asks"], way["hint"], way["guidance"], way["model"]): way for way in described["ways"]}
        assert len(ways) == len(described["ways"])
        models = [model["name"] for model in described["models"]]
        for asks, hint, guidance, model in product(ASKED, (None, "canny", "sketch"), GUIDANCE, models):
            before = evaluations(client, model)
            answer = ask(client, dataset, asks, hint, guidance=guidance, model=model)
            if (way := ways.get((asks, hint, guidance, model))) is None:
                assert answer.status_code == 422, (asks, hint, guidance, model)
                continue
            promised, given = way["defaults"], answer.json()
            options = {option.name for option in SAMPLERS[promised["sampler"]].options}
            assert (given["model"], given["guidance"]) == (model, guidance)
            assert {name: given[name] for name in ("sampler", "steps", "guidance_scale")} == {
                name: promised[name] for name in ("sampler", "steps", "guidance_scale")
            }
            for option in ("eta", "variance"):
                assert given[option] == (promised[option] if option in options else None)
            assert given.get("control", {}).get("scale") == promised["control_scale"]
            assert evaluations(client, model) - before == way["network_evaluations"]


def test_the_first_way_is_the_answer_where_guidance_or_model_are_not_named(client):
    for dataset, described in catalogue(client).items():
        for asks, hint in product(ASKED, (None, *described["controls"])):
            ways = [way for way in described["ways"] if (way["asks"], way["hint"]) == (asks, hint)]
            plain = ask(client, dataset, asks, hint)
            assert (plain.status_code == 200) == bool(ways)
            if ways:
                given = plain.json()
                assert (given["guidance"], given["model"]) == (ways[0]["guidance"], ways[0]["model"])
            for guidance in GUIDANCE:
                first = next((way["model"] for way in ways if way["guidance"] == guidance), None)
                answer = ask(client, dataset, asks, hint, guidance=guidance)
                assert (answer.json()["model"] if answer.status_code == 200 else None) == first
            for model in {way["model"] for way in ways}:
                first = next(way["guidance"] for way in ways if way["model"] == model)
                assert asks == "label" or ask(client, dataset, asks, hint, model=model).json()["guidance"] == first


def test_seconds_are_what_the_speed_curve_says_of_an_idle_device(client):
    models = client.app.state.spirale.engine.snapshot().models.values()
    curves = {model.name: model.curve for model in models}
    for described in catalogue(client).values():
        for way in described["ways"]:
            rows, steps = described["default_n"], way["defaults"]["steps"]
            evaluations = way["network_evaluations"] // steps
            expected = steps * curves[way["model"]].idle_pass_seconds(rows * evaluations)
            assert way["seconds"] == pytest.approx(expected, rel=0.01)


def test_while_nothing_is_warmed_up_seconds_are_not_known(client):
    state = client.app.state.spirale
    (worker,) = state.engine._workers
    ready, worker.models = worker.models, {}
    try:
        assert {way["seconds"] for described in catalogue(client).values() for way in described["ways"]} == {None}
        assert {model["engine"] for described in catalogue(client).values() for model in described["models"]} == {None}
    finally:
        worker.models = ready


def test_openapi_describes_the_ways(client):
    document = client.get("/openapi.json").json()
    answer = document["paths"]["/models"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/ModelsAnswer"}
    assert {
        "asks",
        "hint",
        "guidance",
        "model",
        "draws_labels",
        "edits",
        "defaults",
        "network_evaluations",
        "seconds",
    } == set(document["components"]["schemas"]["WayAnswer"]["properties"])
