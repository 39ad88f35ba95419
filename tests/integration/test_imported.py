"""Imported models that are served, and the service where their library is not installed."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet

from model.backends.pytorch import torch_row_function
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.folder import read_checkpoint_folder
from model.conditions import NO_LABEL, Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from service.engine.row_functions import RowFunctions
from service.requests.begin import as_image
from tests.foreign import sampled_by_diffusers, save_pipeline, scheduler_of, unet
from tests.tiny import IMAGES, save_tiny
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions
from training.report.pipeline import read_checkpoints

NPY = {"Accept": "application/x-npy"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`guided` and `labelled` share their weights: class 3 of `guided` means no label."""
    root = tmp_path_factory.mktemp("imported")
    source = save_pipeline(root / "source", unet("classes"), scheduler_of("ddim"))
    for name, null_class in (("guided", 3), ("labelled", None)):
        import_model(source, root / "checkpoints", ImportOptions(name, null_class=null_class))
    source = save_pipeline(root / "consistent", unet("classes"), scheduler_of("consistency"))
    import_model(source, root / "checkpoints", ImportOptions("quick", timesteps=(22, 0)))
    network = Unet(dim=8, dim_mults=(1, 2), attn_dim_head=4, attn_heads=2, self_condition=True)
    torch.save(GaussianDiffusion(network, image_size=8, timesteps=24).state_dict(), root / "model.pt")
    import_model(root / "model.pt", root / "checkpoints", ImportOptions("recalling", size=(8, 8)))
    save_tiny(root / "checkpoints", IMAGES)
    return root / "checkpoints"


@pytest.fixture
def client(make_client, folder):
    return make_client(checkpoints=folder)


def ask(client, accept="application/x-npy", **fields):
    return client.post("/sample", json={"n": 2, "seed": 5, "steps": 5} | fields, headers={"Accept": accept})


def test_samples_are_diffusers_own_and_what_cannot_be_asked_is_refused_by_name(client):
    answer = ask(client, dataset="guided", label=2, guidance_scale=1)
    assert answer.status_code == 200, answer.text
    seeds = torch.from_numpy(sample_seeds(5, 2))
    classes = torch.full((2,), 2)
    theirs = sampled_by_diffusers(unet("classes"), scheduler_of("ddim"), 5, seeds, classes)
    expected = ((theirs + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1)
    assert np.abs(np.load(io.BytesIO(answer.content)).astype(float) - expected.numpy()).max() <= 0.51

    assert ask(client, dataset="guided", label=2, guidance_scale=3).status_code == 200
    assert ask(client, dataset="labelled", label=2).status_code == 200
    drawn = ask(client, "application/json", dataset="labelled", n=4).json()
    assert drawn["labels_drawn"] and {one["label"] for one in drawn["images"]} <= set("0123")
    refused = ask(client, dataset="labelled", label=2, guidance_scale=3)
    assert refused.status_code == 422 and "trained with labels only" in refused.text
    guidances = client.get("/models").json()["datasets"]["labelled"]["guidances"]
    assert guidances == ["none"]


def test_networks_of_another_library_are_timed_as_ours_are(folder, monkeypatch):
    """Their configs have fields that have no hash."""
    functions = RowFunctions(torch.device("cpu"), "onnx", 1, 1, compile=False, sizes=(1,))
    monkeypatch.setattr(
        functions, "_by_onnx", lambda checkpoint, int8: torch_row_function(checkpoint)
    )  # without a graph
    making_ready = functions.ready(load_checkpoint(folder / "labelled"), "float32")
    with pytest.raises(StopIteration) as ready, torch.inference_mode():
        while True:
            next(making_ready)
    assert ready.value.value.backend == "onnx" and ready.value.value.seconds.keys() == {1}


def test_a_consistency_model_is_sampled_as_its_recipe_says_and_by_no_other_sampler(client, folder):
    answer = client.post("/sample", json={"dataset": "quick", "label": 1, "n": 2, "seed": 5}, headers=NPY)
    assert answer.status_code == 200, answer.text
    checkpoint = load_checkpoint(folder / "quick")
    conditions = Conditions.alike(2, label=1, guidance_scale=1.0)
    plan = make_plan(checkpoint.schedule, "renoise", 2)
    seeds = torch.from_numpy(sample_seeds(5, 2))
    expected = checkpoint.data.restore(sample(checkpoint.denoiser(), plan, conditions, seeds, checkpoint.data.shape))
    expected = expected.clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert np.abs(np.load(io.BytesIO(answer.content)).astype(float) - expected).max() <= 0.51
    for field, value, says in (
        ("sampler", "ddim", "renoise: a consistency model predicts where the ODE goes"),
        ("steps", 40, "1 … 39"),
        ("guidance_scale", 2, "trained with labels only"),
        ("init", {"image": "-"}, "few-step model, whose x̂0 is no posterior mean"),
    ):
        refused = ask(client, dataset="quick", label=1, **({"steps": 2} | {field: value}))
        assert refused.status_code == 422 and says in refused.json()["detail"], refused.text
    (told,) = client.get("/models").json()["datasets"]["quick"]["models"]
    few = told["few_step"]
    assert (few["teacher"], few["sampler"], few["steps"][:2], few["guidance_range"]) == (
        None,
        "renoise",
        [1, 2],
        [1, 1],
    )
    assert (told["defaults"]["sampler"], told["defaults"]["steps"]) == ("renoise", 2)


def test_a_self_conditioned_model_remembers_the_last_x0_of_every_row(client, folder):
    checkpoint = load_checkpoint(folder / "recalling")
    for steps, seed in ((6, 5), (8, 9)):
        answer = client.post(
            "/sample", json={"dataset": "recalling", "n": 2, "steps": steps, "seed": seed}, headers=NPY
        )
        assert answer.status_code == 200, answer.text
        plan = make_plan(checkpoint.schedule, "ddpm", steps)
        seeds = torch.from_numpy(sample_seeds(seed, 2))
        expected = sample(checkpoint.denoiser(), plan, Conditions.none(2), seeds, checkpoint.data.shape)
        expected = checkpoint.data.restore(expected).clamp(0, 255).permute(0, 2, 3, 1).numpy()
        assert np.abs(np.load(io.BytesIO(answer.content)).astype(float) - expected).max() <= 0.51


def test_a_model_without_an_unconditional_half_wants_labels_in_process(folder):
    checkpoint = load_checkpoint(folder / "labelled")
    plan = make_plan(checkpoint.schedule, "ddim", 2)
    for conditions in (Conditions.none(2), Conditions.alike(2, label=1, guidance_scale=2.0)):
        with pytest.raises(ValueError, match="no unconditional half"):
            sample(checkpoint.denoiser(), plan, conditions, torch.tensor([1, 2]), checkpoint.data.shape)


def test_a_model_without_an_unconditional_half_inverts_by_the_label_of_the_source(client, folder):
    def inverted(**init):
        init = {"image": as_image(np.full((8, 8, 3), 90, np.uint8)), "method": "inversion"} | init
        return ask(client, dataset="labelled", label=2, sampler="ddim", init=init)

    refused = inverted()
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["field"]) == (422, "init.label") and "trained with labels only" in error[
        "detail"
    ]
    ups = {label: inverted(label=label) for label in (0, 1)}
    assert all(up.status_code == 200 for up in ups.values()) and ups[0].content != ups[1].content
    ways = client.get("/models").json()["datasets"]["labelled"]["ways"]
    assert {"inversion" in way["edits"] for way in ways if way["asks"] == "label"} == {True}

    checkpoint = load_checkpoint(folder / "labelled")
    plan = make_plan(checkpoint.schedule, "ddim", 2, inverted=True)
    conditions, shape = Conditions.alike(2, label=2, guidance_scale=1.0), checkpoint.data.shape
    for source in (None, torch.tensor([1, NO_LABEL])):
        with pytest.raises(ValueError, match="to be inverted that of its source"):
            sample(
                checkpoint.denoiser(), plan, replace(conditions, source=source), torch.tensor([1, 2]), shape,
                start=torch.zeros(2, *shape),
            )  # fmt: skip


def test_the_report_measures_none_of_them(folder):
    assert [checkpoint.name for checkpoint in read_checkpoints(folder).denoisers] == ["mnist-tiny"]


def test_without_diffusers_the_rest_is_served_and_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr("model.networks.adapters.find_spec", lambda name: None)
    found = read_checkpoint_folder(folder, strict=False)
    assert list(found.loaded) == ["mnist-tiny"]
    assert all("spirale[diffusers]" in found.refused[name] for name in ("guided", "labelled", "quick"))
