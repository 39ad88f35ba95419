"""Tiny models of other libraries, with random weights, and those libraries' own sampling with given noise."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from diffusers import CMStochasticIterativeScheduler, DDIMScheduler, DDPMScheduler, UNet2DModel
from torch import Tensor

from model.noise import normal

CONVOLUTIONS = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}
RESIDUAL = {
    "sample_size": (8, 16),
    "block_out_channels": (8, 8, 16),
    "down_block_types": ("ResnetDownsampleBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": None,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 1,
    "out_channels": 1,
}
CLASSES = CONVOLUTIONS | {
    "num_class_embeds": 4,
    "center_input_sample": True,
    "time_embedding_dim": 24,
    "mid_block_scale_factor": 1.5,
    "add_attention": False,
}
ARCHITECTURES = {"convolutions": CONVOLUTIONS, "residual": RESIDUAL, "classes": CLASSES}


def unet(architecture: str = "convolutions", **options: Any) -> UNet2DModel:
    torch.manual_seed(0)
    network = UNet2DModel(**ARCHITECTURES[architecture] | options).eval()
    for name, parameter in network.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(1.5)
    return network


Scheduler = DDPMScheduler | DDIMScheduler | CMStochasticIterativeScheduler
SCHEDULERS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler, "consistency": CMStochasticIterativeScheduler}


def scheduler_of(kind: str, **options: Any) -> Scheduler:
    return SCHEDULERS[kind](**options)


def save_pipeline(folder: Path, network: UNet2DModel, scheduler: Scheduler) -> Path:
    """As diffusers saves the pipeline of that scheduler."""
    from diffusers import ConsistencyModelPipeline, DDIMPipeline, DDPMPipeline

    pipelines = {DDPMScheduler: DDPMPipeline, DDIMScheduler: DDIMPipeline}
    pipelines.get(type(scheduler), ConsistencyModelPipeline)(network, scheduler).save_pretrained(folder)
    return folder


def noises(seeds: Tensor, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Spirale's noise of these rows: the start's, then each step's."""
    step = 0
    while True:
        yield normal(seeds, torch.full_like(seeds, step), shape)
        step += 1


@contextmanager
def given_noise(seeds: Tensor, shape: tuple[int, ...]) -> Iterator[Iterator[Tensor]]:
    """diffusers draws Spirale's noise."""
    drawn = noises(seeds, shape)
    places = ["schedulers.scheduling_ddpm", "schedulers.scheduling_ddim", "schedulers.scheduling_consistency_models"]
    places += ["pipelines.ddpm.pipeline_ddpm", "pipelines.ddim.pipeline_ddim"]
    places += ["pipelines.consistency_models.pipeline_consistency_models"]
    patches = [patch(f"diffusers.{place}.randn_tensor", lambda *_, **__: next(drawn)) for place in places]
    for one in patches:
        one.start()
    try:
        yield drawn
    finally:
        for one in patches:
            one.stop()


@torch.no_grad()
def sampled_by_diffusers(
    network: UNet2DModel,
    scheduler: DDPMScheduler | DDIMScheduler,
    steps: int,
    seeds: Tensor,
    classes: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """What diffusers' pipelines compute, in the network's range, not clamped."""
    sides = network.config.sample_size
    shape = (network.config.in_channels, *((sides, sides) if isinstance(sides, int) else sides))
    scheduler.set_timesteps(steps)
    with given_noise(seeds, shape) as drawn:
        x = next(drawn)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t, classes).sample, t, x, **options).prev_sample
    return x
