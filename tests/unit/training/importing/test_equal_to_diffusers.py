"""An imported model's samples are those of diffusers, with the same noise."""

import pytest
import torch
from diffusers import DDIMPipeline, DDPMPipeline

from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.conditions import NO_LABEL, Conditions
from model.plan import make_plan
from model.sampling_loop import sample
from tests.foreign import ARCHITECTURES, given_noise, sampled_by_diffusers, save_pipeline, scheduler_of, unet
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions

SEEDS = torch.tensor([5, 6])
PREDICTIONS = ("epsilon", "sample", "v_prediction")
EQUAL = 1e-4


def imported(tmp_path, network, scheduler, **options) -> DenoiserCheckpoint:
    source = save_pipeline(tmp_path / "source", network, scheduler)
    folder, _ = import_model(source, tmp_path / "checkpoints", ImportOptions("own", **options))
    return load_checkpoint(folder)


def sampled(checkpoint, sampler, steps, label=NO_LABEL, **options) -> torch.Tensor:
    plan = make_plan(checkpoint.schedule, sampler, steps, **options)
    conditions = Conditions.alike(len(SEEDS), label=label, guidance_scale=1.0)
    return sample(checkpoint.denoiser(), plan, conditions, SEEDS, checkpoint.data.shape)


def assert_equal(ours, theirs):
    assert theirs.std() > 0.05 and (theirs[0] != theirs[1]).any()
    # Without clipping numbers reach hundreds, of which the last bits depend on the processor.
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=EQUAL)


# In the quick suite each network meets each prediction under one of the samplers, in turn.
@pytest.mark.parametrize(
    ("architecture", "prediction", "kind"),
    [
        pytest.param(*case, marks=pytest.mark.slow if number % 2 else ())
        for number, case in enumerate(
            (architecture, prediction, kind)
            for i, architecture in enumerate(ARCHITECTURES)
            for j, prediction in enumerate(PREDICTIONS)
            for kind in (("ddpm", "ddim") if (i + j) % 2 else ("ddim", "ddpm"))
        )
    ],
)
def test_every_architecture_and_prediction(architecture, prediction, kind, tmp_path):
    network, scheduler = unet(architecture), scheduler_of(kind, prediction_type=prediction)
    labelled = architecture == "classes"
    checkpoint = imported(tmp_path, network, scheduler, null_class=1 if labelled else None)
    # Labels 0, 1, 2 are the classes 0, 2, 3, for class 1 means no label.
    cases = {NO_LABEL: 1, 0: 0, 2: 3} if labelled else {NO_LABEL: None}
    for label, number in cases.items():
        classes = None if number is None else torch.full((len(SEEDS),), number)
        theirs = sampled_by_diffusers(network, scheduler, 10, SEEDS, classes)
        assert_equal(sampled(checkpoint, kind, 10, label), theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, "prediction_type": "v_prediction"},
        {"trained_betas": [0.01 * k for k in range(1, 21)], "num_train_timesteps": 20},
        {"num_train_timesteps": 10},  # not even noise at the end
        {"clip_sample": False},
        {"clip_sample_range": 0.5},
        {"thresholding": True, "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.9},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
        {"rescale_betas_zero_snr": True, "prediction_type": "sample", "beta_schedule": "scaled_linear",
         "timestep_spacing": "trailing"},
        {"timestep_spacing": "trailing"},
        {"timestep_spacing": "leading", "steps_offset": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_every_schedule_clipping_and_spacing(kind, options, tmp_path):
    network, scheduler = unet(), scheduler_of(kind, **options)
    checkpoint = imported(tmp_path, network, scheduler)
    assert_equal(sampled(checkpoint, kind, 10), sampled_by_diffusers(network, scheduler, 10, SEEDS))


@pytest.mark.parametrize("options", [{"beta_schedule": "sigmoid"}, {"timestep_spacing": "linspace"}])
def test_what_ddpm_alone_has_or_steps_through_consistently(options, tmp_path):
    network, scheduler = unet(), scheduler_of("ddpm", **options)
    checkpoint = imported(tmp_path, network, scheduler)
    for steps in (7, 10):
        assert_equal(sampled(checkpoint, "ddpm", steps), sampled_by_diffusers(network, scheduler, steps, SEEDS))


@pytest.mark.parametrize("options", [{"set_alpha_to_one": False}, {"set_alpha_to_one": False, "steps_offset": 1}])
def test_a_run_of_ddim_that_ends_before_the_data(options, tmp_path):
    network, scheduler = unet(), scheduler_of("ddim", **options)
    checkpoint = imported(tmp_path, network, scheduler)
    theirs = sampled_by_diffusers(network, scheduler, 10, SEEDS)
    assert_equal(sampled(checkpoint, "ddim", 10), theirs)
    usual = checkpoint.config.schedule.model_copy(update={"final_alpha_bar": "one"})
    other = DenoiserCheckpoint(checkpoint.config, usual.build(), checkpoint.network)
    assert (sampled(other, "ddim", 10) - theirs).abs().max() > 10 * EQUAL


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_noise(eta, tmp_path):
    network, scheduler = unet(), scheduler_of("ddim")
    checkpoint = imported(tmp_path, network, scheduler)
    theirs = sampled_by_diffusers(network, scheduler, 10, SEEDS, eta=eta)
    assert_equal(sampled(checkpoint, "ddim", 10, eta=eta), theirs)


def test_epsilon_of_the_clipped_x0_is_a_field(tmp_path):
    network, scheduler = unet(), scheduler_of("ddim")
    raw = imported(tmp_path, network, scheduler)
    prediction = raw.config.prediction.model_copy(update={"raw_epsilon": False})
    derived = DenoiserCheckpoint(raw.config.model_copy(update={"prediction": prediction}), raw.schedule, raw.network)
    theirs = sampled_by_diffusers(network, scheduler, 10, SEEDS, use_clipped_model_output=True)
    assert_equal(sampled(derived, "ddim", 10), theirs)
    assert (sampled(raw, "ddim", 10) - theirs).abs().max() > 10 * EQUAL


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("fixed_small", "fixed-small"), ("fixed_small_log", "fixed-small"), ("fixed_large", "fixed-large"),
        ("learned_range", "learned"),
    ],
)  # fmt: skip
def test_every_variance(theirs, ours, tmp_path):
    network = unet(out_channels=6 if ours == "learned" else 3)
    scheduler = scheduler_of("ddpm", variance_type=theirs)
    checkpoint = imported(tmp_path, network, scheduler)
    assert checkpoint.config.sampling.variance == ours
    assert checkpoint.config.prediction.learned_variance == (ours == "learned")
    expected = sampled_by_diffusers(network, scheduler, 10, SEEDS)
    assert_equal(sampled(checkpoint, "ddpm", 10, variance=ours), expected)


@pytest.mark.parametrize(("kind", "pipeline"), [("ddpm", DDPMPipeline), ("ddim", DDIMPipeline)])
def test_diffusers_own_pipelines_from_the_same_folder(kind, pipeline, tmp_path):
    checkpoint = imported(tmp_path, unet(), scheduler_of(kind))
    theirs = pipeline.from_pretrained(tmp_path / "source")
    theirs.set_progress_bar_config(disable=True)
    with given_noise(SEEDS, checkpoint.data.shape):
        pictures = theirs(batch_size=len(SEEDS), num_inference_steps=10, output_type="pt").images
    ours = checkpoint.data.restore(sampled(checkpoint, kind, 10)).clamp(0, 255) / 255
    assert_equal(ours, pictures)
    steps = {"ddpm": 1000, "ddim": 50}[kind]
    assert (checkpoint.config.sampling.sampler, checkpoint.config.sampling.steps) == (kind, steps)
