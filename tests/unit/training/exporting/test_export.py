"""Exported checkpoints give the samples that Spirale gives, in the libraries that they are for."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from typer.testing import CliRunner

from model.checkpoints.base import save_checkpoint
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL, Conditions
from model.noise import normal
from model.plan import make_plan
from model.sampling_loop import sample
from tests.foreign import given_noise, save_pipeline, scheduler_of, unet
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier, tiny_student, tiny_text_checkpoint
from training.__main__ import app
from training.exporting.diffusers_scheduler_config import scheduler_of as exported_scheduler
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions

SEEDS = torch.tensor([5, 6])


def export(tmp_path, name, to):
    folders = ["--checkpoints", str(tmp_path), "--output", str(tmp_path / "exports")]
    done = CliRunner().invoke(app, ["export", name, "--to", to, *folders], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return tmp_path / "exports" / (f"{name}.onnx" if to == "onnx" else name)


def sampled(checkpoint, sampler, steps, label=NO_LABEL, scale=1.0, interval=None, **options):
    """In 0 … 1, as pipelines give it."""
    plan = make_plan(checkpoint.schedule, sampler, steps, **options)
    conditions = Conditions.alike(len(SEEDS), label=label, guidance_scale=scale, guidance_interval=interval)
    x = sample(checkpoint.denoiser(), plan, conditions, SEEDS, checkpoint.data.shape)
    return checkpoint.data.restore(x).clamp(0, 255) / 255


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("dpmpp-2m", {}),
        ("ddpm", {}),
        ("ddpm", {"learned_variance": True, "variance": "learned"}),
        ("ddpm", {"learned_variance": True, "variance": "fixed-small"}),
        ("ddim", {"learned_variance": True}),
    ],
)
def test_spirales_unet_as_a_pipeline_with_its_code(sampler, options, tmp_path):
    save_tiny(tmp_path, IMAGES, "own", sampler=sampler, **options)
    checkpoint = load_checkpoint(tmp_path / "own")
    pipeline = DiffusionPipeline.from_pretrained(export(tmp_path, "own", "diffusers"), trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    assert "model.networks" not in type(pipeline.unet).__module__  # the folder's own code
    ours = "ddpm" if isinstance(pipeline.scheduler, DDPMScheduler) else "ddim"
    assert (ours == "ddpm") == (sampler == "ddpm")
    variance = {"variance": options["variance"]} if "variance" in options else {}
    for label, scale in ((None, 1.0), ("7", 1.0), (3, 2.5)):
        number = NO_LABEL if label is None else int(label)
        with given_noise(SEEDS, checkpoint.data.shape) as drawn:
            start = next(drawn)
            called = pipeline(len(SEEDS), label, scale, 5, latents=start, output_type="pt")
        expected = sampled(checkpoint, ours, 5, number, scale, **variance)
        # Random weights make a learned variance so large that float32's last bits show.
        torch.testing.assert_close(called.images, expected, rtol=0, atol=1e-3 if variance else 1e-4)
    with pytest.raises(ValueError, match="one of 0, 1"):
        pipeline(labels="cat")


def test_a_pipeline_guides_within_the_interval_that_the_card_advises(tmp_path):
    advised = {"guidance_scale": 4.0, "guidance_interval": (0.5, 3.0)}
    save_tiny(tmp_path, IMAGES, "own", sampler="ddim", steps=10, **advised)
    checkpoint = load_checkpoint(tmp_path / "own")
    pipeline = DiffusionPipeline.from_pretrained(export(tmp_path, "own", "diffusers"), trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    with given_noise(SEEDS, checkpoint.data.shape) as drawn:
        called = pipeline(len(SEEDS), "7", latents=next(drawn), output_type="pt").images
    expected = sampled(checkpoint, "ddim", 10, 7, 4.0, interval=advised["guidance_interval"])
    torch.testing.assert_close(called, expected, rtol=0, atol=1e-4)
    assert (sampled(checkpoint, "ddim", 10, 7, 4.0) - expected).abs().max() > 1e-2


@pytest.mark.slow
def test_the_exported_code_needs_no_spirale(tmp_path):
    save_tiny(tmp_path, IMAGES, "own")
    folder = export(tmp_path, "own", "diffusers")
    script = (
        "import sys; from diffusers import DiffusionPipeline; "
        f"p = DiffusionPipeline.from_pretrained({str(folder)!r}, trust_remote_code=True); "
        "p(labels=['1', '2'], num_inference_steps=2).images[1].save(sys.argv[1]); "
        "assert not {'model', 'training'} & sys.modules.keys()"
    )
    picture = tmp_path / "sample.png"
    command = [sys.executable, "-P", "-c", script, str(picture)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and picture.is_file(), done.stderr


@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_an_imported_pipeline_is_exported_as_it_came(kind, tmp_path):
    options = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "clip_sample_range": 2.0}
    source = save_pipeline(tmp_path / "source", unet(), scheduler_of(kind, **options))
    import_model(source, tmp_path, ImportOptions("own"))
    folder = export(tmp_path, "own", "diffusers")
    for file in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        before, after = (json.loads((root / file).read_text()) for root in (source, folder))
        before.pop("_name_or_path", None), after.pop("_name_or_path", None)
        assert after == before, file
    weights = "unet/diffusion_pytorch_model.safetensors"
    theirs, ours = (DiffusionPipeline.from_pretrained(root).unet.state_dict() for root in (source, folder))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs), weights


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ddim", {"set_alpha_to_one": False, "steps_offset": 1}),
        ("ddim", {"rescale_betas_zero_snr": True, "prediction_type": "sample", "timestep_spacing": "trailing"}),
        ("ddpm", {"beta_schedule": "sigmoid", "variance_type": "fixed_large", "timestep_spacing": "linspace"}),
        ("ddpm", {"thresholding": True, "sample_max_value": 1.5, "clip_sample": False}),
    ],
)
def test_a_schedulers_fields_go_in_and_out(kind, options, tmp_path):
    source = scheduler_of(kind, **options)
    _, imported = import_model(save_pipeline(tmp_path / "source", unet(), source), tmp_path, ImportOptions("own"))
    back = exported_scheduler(imported.config)
    torch.testing.assert_close(back.alphas_cumprod, source.alphas_cumprod, rtol=0, atol=1e-6)
    rewritten = {"beta_schedule", "beta_start", "beta_end", "trained_betas"}  # compared above
    kept = [key for key in source.config if key not in rewritten and not key.startswith("_")]
    assert {key: back.config[key] for key in kept} == {key: source.config[key] for key in kept}


@pytest.mark.parametrize("data", [POINTS, pytest.param(IMAGES, marks=pytest.mark.slow)], ids=["points", "images"])
def test_onnx_is_one_file_that_says_what_it_means(data, tmp_path):
    save_tiny(tmp_path, data, "own")
    file = export(tmp_path, "own", "onnx")
    checkpoint = load_checkpoint(tmp_path / "own")
    moved = file.rename(tmp_path / "moved.onnx")  # the weights are inside
    session = onnxruntime.InferenceSession(moved)
    x, t, label = normal(SEEDS, SEEDS, checkpoint.data.shape), torch.tensor([50, 7]), torch.tensor([1, NO_LABEL])
    given = {"x_t": x.numpy(), "t": t.numpy(), "label": label.numpy()}
    for each in session.get_inputs()[3:]:
        assert each.name.startswith("control_")
        given[each.name] = np.zeros((2, *each.shape[1:]), np.float32)
    (found,) = session.run(["output"], given)
    with torch.no_grad():
        expected = checkpoint.network(x, t, label)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    meaning = {entry.key: entry.value for entry in onnx.load(moved).metadata_props}
    assert meaning["spirale.output"] == "the network's v"
    np.testing.assert_array_equal(json.loads(meaning["spirale.alpha_bar"]), checkpoint.schedule.alpha_bar)
    assert json.loads(meaning["spirale.data"])["labels"] == list(data.labels)
    assert "recipe" not in json.loads(meaning["spirale.config"])


@pytest.mark.slow
def test_onnx_of_a_student_takes_the_scale_and_where_it_jumps(tmp_path):
    student = tiny_student(POINTS)
    save_checkpoint(tmp_path / student.name, student.config, student.network)
    session = onnxruntime.InferenceSession(export(tmp_path, student.name, "onnx"))
    rows = (
        torch.randn(2, 2),
        torch.tensor([50, 7]),
        torch.tensor([1, 0]),
        torch.tensor([1.0, 2.0]),
        torch.tensor([9, 0]),
    )
    names = ("x_t", "t", "label", "guidance_scale", "s")
    (found,) = session.run(["output"], {name: one.numpy() for name, one in zip(names, rows, strict=True)})
    with torch.no_grad():
        np.testing.assert_allclose(found, student.network(*rows), atol=1e-4)


@pytest.mark.slow
def test_onnx_of_a_gradient(tmp_path):
    classifier = tiny_classifier(POINTS)
    save_checkpoint(tmp_path / classifier.name, classifier.config, classifier.network)
    session = onnxruntime.InferenceSession(export(tmp_path, classifier.name, "onnx"))
    rows = session.get_inputs()[0].shape[0]
    x, t, label = torch.randn(rows, 2), torch.full((rows,), 9), torch.ones(rows, dtype=torch.int64)
    (found,) = session.run(["gradient"], {"x_t": x.numpy(), "t": t.numpy(), "label": label.numpy()})
    np.testing.assert_allclose(found, classifier.gradient("cpu")(x, t, label), atol=1e-4)


def test_what_no_pipeline_can_be(tmp_path):
    student, prompted, points = tiny_student(), tiny_text_checkpoint(), tiny_checkpoint(POINTS)
    for checkpoint, says in ((student, "is a student"), (prompted, "reads prompts"), (points, "network is a mlp")):
        save_checkpoint(tmp_path / checkpoint.name, checkpoint.config, checkpoint.network, checkpoint.text)
        with pytest.raises(CheckpointError, match=f"{says}.*--to onnx"):
            export(tmp_path, checkpoint.name, "diffusers")
        assert list((tmp_path / "exports").iterdir()) == []
    learned = unet(out_channels=6), scheduler_of("ddpm", variance_type="learned_range")
    for name, source in {"classes": (unet("classes"), scheduler_of("ddpm")), "variance": learned}.items():
        import_model(save_pipeline(tmp_path / "source" / name, *source), tmp_path, ImportOptions(name))
    export(tmp_path, "variance", "diffusers")
    config = tmp_path / "variance" / "config.json"
    config.write_text(config.read_text().replace('"variance": "learned"', '"variance": "fixed-small"'))
    shutil.rmtree(tmp_path / "exports" / "variance")
    for name, says in (("classes", "reads classes"), ("variance", "learned a variance.*with that variance alone")):
        with pytest.raises(CheckpointError, match=f"{says}.*--to onnx"):
            export(tmp_path, name, "diffusers")
    folders = ["--checkpoints", str(tmp_path), "--output", str(tmp_path / "all")]
    done = CliRunner().invoke(app, ["export", "--to", "diffusers", *folders], catch_exceptions=False)
    assert done.exit_code == 0 and done.output.count("left out: ") == 5, done.output  # nobody asked for one by name
    (tmp_path / "exports" / points.name).mkdir()
    with pytest.raises(CheckpointError, match="there already"):
        export(tmp_path, points.name, "diffusers")
