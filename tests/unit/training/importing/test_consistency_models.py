"""An imported consistency model's samples are those of diffusers' own pipeline, with the same noise."""

import pytest
import torch
from diffusers import ConsistencyModelPipeline

from model.checkpoints.denoiser import load_checkpoint
from model.conditions import NO_LABEL, Conditions
from model.plan import make_plan
from model.sampling_loop import sample
from tests.foreign import given_noise, save_pipeline, scheduler_of, unet
from training.exporting.diffusers_pipeline import write_pipeline
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions, ImportRefused

SEEDS = torch.tensor([5, 6])
EQUAL = 1e-4


def imported(tmp_path, network, scheduler, **options):
    source = save_pipeline(tmp_path / "source", network, scheduler)
    folder, _ = import_model(source, tmp_path / "checkpoints", ImportOptions("own", **options))
    return load_checkpoint(folder)


def sampled(checkpoint, steps, label=NO_LABEL):
    """In 0 … 1, as pipelines give it."""
    plan = make_plan(checkpoint.schedule, "renoise", steps)
    conditions = Conditions.alike(len(SEEDS), label=label, guidance_scale=1.0)
    x = sample(checkpoint.denoiser(), plan, conditions, SEEDS, checkpoint.data.shape)
    return checkpoint.data.restore(x).clamp(0, 255) / 255


def sampled_by_diffusers(folder, shape, **options):
    pipeline = ConsistencyModelPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    with given_noise(SEEDS, shape):
        return pipeline(len(SEEDS), output_type="pt", **options).images


def assert_equal(ours, theirs):
    assert theirs.std() > 0.05 and (theirs[0] != theirs[1]).any()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=EQUAL)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clip_denoised": False},
        {"num_train_timesteps": 18, "sigma_min": 0.1, "sigma_max": 20.0, "sigma_data": 0.8, "rho": 5.0},
    ],
)
def test_one_step_and_several(options, tmp_path):
    checkpoint = imported(tmp_path, unet(), scheduler_of("consistency", **options))
    for steps in (1, 2, 3, 7, checkpoint.schedule.T):
        theirs = sampled_by_diffusers(tmp_path / "source", checkpoint.data.shape, num_inference_steps=steps)
        assert_equal(sampled(checkpoint, steps), theirs)


def test_the_identity_at_the_lowest_noise_level_is_left_out(tmp_path):
    """diffusers' longest run ends with an evaluation there, which changes nothing."""
    checkpoint = imported(tmp_path, unet(), scheduler_of("consistency", num_train_timesteps=6))
    theirs = sampled_by_diffusers(tmp_path / "source", checkpoint.data.shape, num_inference_steps=6)
    assert_equal(sampled(checkpoint, 5), theirs)


@pytest.mark.parametrize("timesteps", [(22, 0), (38, 17, 3, 0)])
def test_given_timesteps_of_a_labelled_model(timesteps, tmp_path):
    checkpoint = imported(tmp_path, unet("classes"), scheduler_of("consistency"), timesteps=timesteps)
    assert checkpoint.config.sampling.steps == len(timesteps)
    for label in (0, 3):
        theirs = sampled_by_diffusers(
            tmp_path / "source", checkpoint.data.shape, timesteps=list(timesteps), class_labels=[label] * len(SEEDS)
        )
        assert_equal(sampled(checkpoint, len(timesteps), label), theirs)
    one = sampled_by_diffusers(tmp_path / "source", checkpoint.data.shape, class_labels=[2, 2])
    assert_equal(sampled(checkpoint, 1, 2), one)


def test_a_network_alone_with_its_scheduler_and_the_way_back(tmp_path):
    save_pipeline(tmp_path / "source", unet(), scheduler_of("consistency", sigma_data=0.6))
    options = ImportOptions("own", scheduler=tmp_path / "source" / "scheduler")
    folder, _ = import_model(tmp_path / "source" / "unet", tmp_path / "checkpoints", options)
    checkpoint = load_checkpoint(folder)
    write_pipeline(checkpoint, tmp_path / "exported")
    for steps in (1, 3):
        theirs = sampled_by_diffusers(tmp_path / "exported", checkpoint.data.shape, num_inference_steps=steps)
        assert_equal(sampled(checkpoint, steps), theirs)


@pytest.mark.parametrize(
    ("kind", "scheduler", "options", "says"),
    [
        ("consistency", {"s_noise": 1.003}, {}, "s_noise is 1.003: only 1"),
        ("consistency", {"sigma_min": 90.0}, {}, "σ_min < σ_max"),
        ("consistency", {"num_train_timesteps": 1}, {}, "num_train_timesteps"),
        ("consistency", {}, {"timesteps": (22, 5)}, "--timesteps 22,5: they fall to 0"),
        ("consistency", {}, {"timesteps": (39, 0)}, "from at most 38"),
        ("consistency", {}, {"timesteps": (0, 22)}, "they fall to 0"),
        ("consistency", {}, {"null_class": 1}, "a consistency model is not guided"),
        ("ddim", {}, {"timesteps": (22, 0)}, "--timesteps: applies to consistency models; the scheduler is DDIM"),
    ],
)
def test_what_is_refused(kind, scheduler, options, says, tmp_path):
    with pytest.raises(ImportRefused, match=says):
        imported(tmp_path, unet("classes"), scheduler_of(kind, **scheduler), **options)
    assert not (tmp_path / "checkpoints").exists()


def test_no_other_sampler_and_no_pipeline_of_denoisers(tmp_path):
    checkpoint = imported(tmp_path, unet(), scheduler_of("consistency"))
    config = checkpoint.config
    assert not config.predicts_posterior_mean
    other = config.model_dump() | {"sampling": {"sampler": "ddim", "steps": 2}}
    with pytest.raises(ValueError, match=r"sampling\.sampler is renoise"):
        type(config).model_validate(other)
    with pytest.raises(ValueError, match="karras schedule"):
        type(config).model_validate(config.model_dump() | {"schedule": {"name": "cosine", "T": 39}})
    save_pipeline(tmp_path / "ddim", unet(), scheduler_of("ddim"))
    options = ImportOptions("mixed", scheduler=tmp_path / "source" / "scheduler")
    with pytest.raises(ImportRefused, match="DDIMPipeline with CMStochasticIterativeScheduler"):
        import_model(tmp_path / "ddim", tmp_path / "checkpoints", options)
