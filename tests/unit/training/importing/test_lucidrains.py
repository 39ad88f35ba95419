"""A .pt of lucidrains' denoising-diffusion-pytorch: its samples are those of the library, with the same noise."""

import json
from unittest.mock import patch

import pytest
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from ema_pytorch import EMA

from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.conditions import Conditions
from model.plan import make_plan
from model.sampling_loop import sample
from tests.foreign import noises
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions, ImportRefused

SEEDS = torch.tensor([5, 6])
SMALL = {"dim": 8, "dim_mults": (1, 2), "attn_dim_head": 4, "attn_heads": 2}
UNETS = {
    "small": SMALL,
    "deep": SMALL | {"dim_mults": (1, 2, 3), "init_dim": 12, "channels": 1},
    "attentive": SMALL | {"full_attn": (True, False), "attn_heads": (2, 1), "attn_dim_head": (4, 8)},
}


def diffusion(unet="small", **options) -> GaussianDiffusion:
    torch.manual_seed(0)
    network = Unet(**UNETS[unet])
    return GaussianDiffusion(network, **{"image_size": 8, "timesteps": 24, "auto_normalize": False} | options).eval()


def save_milestone(path, model, averaged=None):
    """As the library's trainer does."""
    ema = EMA(averaged or model, include_online_model=True)
    torch.save({"step": 3, "model": model.state_dict(), "ema": ema.state_dict(), "version": "2"}, path)
    return path


def imported(tmp_path, path, **options):
    folder, found = import_model(path, tmp_path / "checkpoints", ImportOptions("own", **{"size": (8, 8)} | options))
    return load_checkpoint(folder), found


def sampled(checkpoint, sampler, steps):
    plan = make_plan(checkpoint.schedule, sampler, steps)
    return sample(checkpoint.denoiser(), plan, Conditions.none(len(SEEDS)), SEEDS, checkpoint.data.shape)


def sampled_by_lucidrains(model):
    shape = (model.channels, *model.image_size)
    drawn = noises(SEEDS, shape)
    with (
        patch("torch.randn", lambda *_, **__: next(drawn)),
        patch("torch.randn_like", lambda *_, **__: next(drawn)),
    ):
        return model.sample(batch_size=len(SEEDS))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dim": 10**5, "channels": 3}, "does not fit the network"),
        ({"dim": 10**30, "channels": 3}, "cannot build this Unet"),
        ({"dim": 8, "channels": 3, "dim_mults": [1] * 10_000}, "dim_mults is a list .* at most 12 levels"),
    ],
)
def test_a_config_of_absurd_size_takes_no_memory(options, says, tmp_path):
    path = save_milestone(tmp_path / "model-1.pt", diffusion())
    folder, _ = import_model(path, tmp_path, ImportOptions("own", size=(8, 8)))
    config = json.loads((folder / "config.json").read_text())
    config["network"]["options"] = options
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"^own: .*{says}"):
        load_checkpoint(folder)


OBJECTIVES = {"pred_noise": "linear", "pred_x0": "cosine", "pred_v": "sigmoid"}


# In the quick suite each network and each objective is there once: they do not know of each other.
@pytest.mark.parametrize(
    ("unet", "objective"),
    [
        pytest.param(unet, objective, marks=() if of == network else pytest.mark.slow)
        for network, unet in enumerate(UNETS)
        for of, objective in enumerate(OBJECTIVES)
    ],
)
def test_samples_are_those_of_the_library(unet, objective, tmp_path):
    schedule = OBJECTIVES[objective]
    options = {"objective": objective, "beta_schedule": schedule, "min_snr_loss_weight": schedule == "cosine"}
    model = diffusion(unet, **options)
    checkpoint, _ = imported(tmp_path, save_milestone(tmp_path / "model-1.pt", model))
    assert (checkpoint.config.sampling.sampler, checkpoint.config.sampling.steps) == ("ddpm", 24)
    theirs = sampled_by_lucidrains(model)
    assert (theirs[0] != theirs[1]).any()
    torch.testing.assert_close(sampled(checkpoint, "ddpm", 24), theirs, rtol=0, atol=1e-4)
    by_ddim = diffusion(unet, **options, sampling_timesteps=8)
    torch.testing.assert_close(sampled(checkpoint, "ddim", 8), sampled_by_lucidrains(by_ddim), rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_self_conditioned_network_reads_its_last_x0(channels, tmp_path, monkeypatch):
    monkeypatch.setitem(UNETS, "own", SMALL | {"channels": channels, "self_condition": True})
    model = diffusion("own", objective="pred_v")
    checkpoint, found = imported(tmp_path, save_milestone(tmp_path / "model-1.pt", model))
    assert found.config.self_conditioned and found.config.data.shape == (channels, 8, 8)
    theirs = sampled_by_lucidrains(model)
    torch.testing.assert_close(sampled(checkpoint, "ddpm", 24), theirs, rtol=0, atol=1e-4)
    by_ddim = diffusion("own", objective="pred_v", sampling_timesteps=8)
    ours = sampled(checkpoint, "ddim", 8)
    torch.testing.assert_close(ours, sampled_by_lucidrains(by_ddim), rtol=0, atol=1e-4)
    blind = checkpoint.denoiser(network=lambda x, t, condition, x0_before: checkpoint.network.unet(x, t - 1))
    plan, none = make_plan(checkpoint.schedule, "ddim", 8), Conditions.none(len(SEEDS))
    assert (sample(blind, plan, none, SEEDS, checkpoint.data.shape) - ours).abs().max() > 0.01


def test_a_known_schedule_is_named_and_another_is_listed(tmp_path):
    for schedule, name in (("linear", "beta-linear"), ("cosine", "beta-cosine"), ("sigmoid", "beta-list")):
        path = save_milestone(tmp_path / "model-1.pt", diffusion(beta_schedule=schedule))
        _, found = imported(tmp_path / schedule, path)
        assert found.config.schedule.name == name


def test_the_averaged_weights_are_taken(tmp_path):
    raw, averaged = diffusion(), diffusion()
    with torch.no_grad():
        averaged.model.final_conv.bias += 1
    checkpoint, found = imported(tmp_path, save_milestone(tmp_path / "model-1.pt", raw, averaged))
    assert torch.equal(checkpoint.network.unet.final_conv.bias, averaged.model.final_conv.bias)
    assert "averaged" in found.config.imported
    torch.save(raw.state_dict(), tmp_path / "state.pt")
    folder, found = import_model(tmp_path / "state.pt", tmp_path / "raw", ImportOptions("own", size=(8, 8)))
    assert torch.equal(load_checkpoint(folder).network.unet.final_conv.bias, raw.model.final_conv.bias)
    assert "raw" in found.config.imported


class Code:
    def __reduce__(self):
        return print, ("run by a pickle",)


def refused(tmp_path, path, says, **options):
    with pytest.raises(ImportRefused, match=says):
        imported(tmp_path, path, **options)
    assert not (tmp_path / "checkpoints").exists() or list((tmp_path / "checkpoints").iterdir()) == []


def test_what_is_refused(tmp_path, monkeypatch):
    model, path = diffusion(), tmp_path / "model.pt"
    refused(tmp_path, save_milestone(path, model), "--size", size=None)
    refused(tmp_path, path, "multiples of 2", size=(9, 8))
    torch.save(model.model.state_dict(), path)
    refused(tmp_path, path, "has no schedule, or no Unet")
    torch.save({"model": [1, 2]}, path)
    refused(tmp_path, path, "nor a trainer's milestone")
    torch.save({1: torch.ones(1)} | model.state_dict(), path)
    refused(tmp_path, path, "nor a trainer's milestone")
    torch.save({"model": model.state_dict(), "opt": Code()}, path)
    refused(tmp_path, path, "would run code")
    state = model.state_dict()
    torch.save({name: one for name, one in state.items() if name != "model.mid_block1.block1.proj.bias"}, path)
    refused(tmp_path, path, "1 tensors are missing: unet.mid_block1.block1.proj.bias")
    torch.save(state | {"model.more": torch.ones(1)}, path)
    refused(tmp_path, path, "1 tensors are not of this network: unet.more")
    torch.save(state | {"model.null_classes_emb": torch.ones(1)}, path)
    refused(tmp_path, path, "classifier_free_guidance")
    for channels in (2, 4, 6):
        torch.save(GaussianDiffusion(Unet(**SMALL, channels=channels), image_size=8, timesteps=40).state_dict(), path)
        refused(tmp_path, path, f"reads {channels} channels and gives {channels}: only grey and RGB")
    for wrong, says in (
        ({"betas": torch.full((24,), torch.nan)}, "betas"),
        ({"betas": torch.zeros(24)}, "betas"),
        ({"betas": torch.empty(0)}, "no loss_weight for each timestep"),
        ({"loss_weight": torch.ones(5)}, "no loss_weight for each timestep"),
        ({"model.init_conv.weight": torch.ones(8)}, "is no Unet of denoising-diffusion-pytorch"),
        ({"model.time_mlp.1.weight": torch.ones(2, 2)}, "is no Unet of denoising-diffusion-pytorch"),
        ({"model.final_conv.bias": torch.full((3,), torch.inf)}, "not finite numbers: unet.final_conv.bias"),
    ):
        torch.save(state | wrong, path)
        refused(tmp_path, path, says)
    torch.save(state, path)
    for option in ({"labels": ("a", "b")}, {"null_class": 0}, {"flags": "--image_size 8"}, {"scheduler": tmp_path}):
        refused(tmp_path, path, "--" + next(iter(option)).replace("_", "-"), **option)
    torch.save(state, path)
    monkeypatch.setattr("model.networks.adapters.find_spec", lambda name: None)
    refused(tmp_path, path, r"spirale\[lucidrains\]")
