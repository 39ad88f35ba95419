"""The training of a small class-conditional diffusion model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from model.checkpoints.base import TorchPrecision
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, PredictionConfig
from model.checkpoints.schedule_config import ScheduleConfig
from model.data import DataConfig
from model.networks import MLPConfig, UNetConfig
from model.precision import precision_on
from training.data.training_set import Examples, as_floats
from training.learning_rate import step_all
from training.muon import optimisers_of
from training.recipe import ObjectiveSection, OptimisationSection
from training.seeded import seeded
from training.tasks.objectives import DenoisingLoss
from training.utility.side_by_side import stop_if_unwanted
from training.weight_average import average_of

SAMPLING = SamplingConfig(sampler="dpmpp-2m", steps=12, guidance_scale=1.5)
NETWORKS: Mapping[str, UNetConfig | MLPConfig] = {
    "images": UNetConfig(channels=(32, 64), blocks=1),
    "points": MLPConfig(width=128, blocks=3, frequencies=64),
}
WARM_UP = 0.1  # of the steps


@dataclass(frozen=True)
class GeneratorOptions:
    """pretraining_steps: of a semi-supervised generator, on rows without labels; steps: of each, on labelled rows

    learning_rate  of fresh weights
    tuning_rate    of weights that were trained without labels before
    """

    pretraining_steps: int
    steps: int
    optimiser: Literal["adamw", "muon"]
    learning_rate: float
    tuning_rate: float
    batch_size: int = 64
    ema_decay: float = 0.99

    @property
    def before_labels(self) -> "GeneratorOptions":
        """What a generator that has seen no label depends on: the same, however it is tuned."""
        return replace(self, steps=0, tuning_rate=0.0)


USUAL_OPTIONS: Mapping[str, GeneratorOptions] = {
    "images": GeneratorOptions(1_000, 300, "muon", 5e-3, 2e-3),
    "points": GeneratorOptions(3_000, 1_000, "adamw", 1e-3, 1e-3),  # a step by Muon takes three times as long here
}


def train_denoiser(
    examples: Examples,
    data: DataConfig,
    options: GeneratorOptions,
    steps: int,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
) -> DenoiserCheckpoint:
    """A small class-conditional denoiser after so many steps on these rows; its weights are averages.

    start  weights to begin with
    """
    config = DenoiserConfig(
        name="utility",
        data=data,
        network=NETWORKS[data.kind],
        schedule=ScheduleConfig(),
        prediction=PredictionConfig(),
        sampling=SAMPLING,
        precisions=("float32", "bfloat16") if data.kind == "images" else ("float32",),
    )
    schedule = config.schedule.build()
    with seeded(seed):
        network: nn.Module = config.build_network().to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(start)
    loss_of = DenoisingLoss(schedule, config.prediction, ObjectiveSection(), data)
    average = average_of(network, options.ema_decay)
    optimisation = OptimisationSection(
        steps=steps,
        optimiser=options.optimiser,
        learning_rate=options.learning_rate if start is None else options.tuning_rate,
        warmup_steps=int(WARM_UP * steps),
        weight_decay=0.01,
    )
    optimisers, in_bfloat16 = optimisers_of(network, optimisation), precision_of(data) == "bfloat16"
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        stop_if_unwanted()
        index = torch.randint(len(examples), (options.batch_size,), generator=generator)
        x0 = data.standardise(as_floats(examples.rows[index]))
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            loss = loss_of(network, x0, examples.labels[index], generator)
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        nn.utils.clip_grad_norm_(network.parameters(), optimisation.gradient_clip)
        step_all(optimisers, optimisation, step)
        average.update_parameters(network)
    return DenoiserCheckpoint(config, schedule, average.module.eval())


def precision_of(data: DataConfig) -> TorchPrecision:
    """In which a generator is trained: bfloat16 for images, where the CPU has it."""
    return precision_on(torch.device("cpu"), "bfloat16" if data.kind == "images" else "float32")
