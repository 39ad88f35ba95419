"""Weights of openai's improved-diffusion or guided-diffusion, with the flags that they were trained with.

The file has tensors only; the flags are those of the scripts, as the repositories' READMEs list them.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserConfig, PredictionConfig
from model.checkpoints.schedule_config import MAX_T, BetaScheduleConfig
from model.data import MAX_SIDE, DataConfig
from model.networks.adapters import GuidedUNetConfig
from model.noise_schedule import LINEAR_BETAS
from training.importing.imported import (
    ImportedModel,
    ImportOptions,
    ImportRefused,
    class_names,
    image_size,
    label_shares,
)

FIRST_TENSORS = {"time_embed.0.weight", "input_blocks.0.0.weight"}
CLASSES = 1000  # of the released class-conditional models
MOST_BLOCKS = 64  # residual blocks a level
MULTIPLES: Mapping[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
    32: (1, 2, 2, 2),
}
"""The multiples of channels that the scripts take for images of so many pixels, if no --channel_mult is given."""

# Flags of training and of sampling loops, which say nothing of the model.
PASSED_OVER = {
    "batch_size", "dropout", "lr", "use_fp16", "use_kl", "rescale_learned_sigmas", "use_checkpoint", "microbatch",
    "ema_rate", "lr_anneal_steps", "save_interval", "schedule_sampler", "weight_decay", "num_samples", "model_path",
}  # fmt: skip


class Flags(BaseModel):
    """The flags of a model and its diffusion, with the scripts' defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = 64
    num_channels: int = Field(128, ge=32, le=8192)
    num_res_blocks: int = Field(2, ge=1, le=MOST_BLOCKS)
    num_heads: int = 4
    num_heads_upsample: int = -1
    num_head_channels: int = -1
    attention_resolutions: str = "16,8"
    channel_mult: str = ""
    class_cond: bool = False
    use_scale_shift_norm: bool = True
    resblock_updown: bool = False
    use_new_attention_order: bool = False
    learn_sigma: bool = False
    sigma_small: bool = False
    diffusion_steps: int = Field(1000, ge=1, le=MAX_T)
    noise_schedule: str = "linear"
    timestep_respacing: str = ""
    predict_xstart: bool = False
    rescale_timesteps: bool = False


def read_guided_file(weights: Mapping[str, Tensor], path: Path, options: ImportOptions) -> ImportedModel:
    """`weights` are those in the file at `path`. Raises ImportRefused."""
    first = weights["input_blocks.0.0.weight"]
    if first.dim() != 4 or first.shape[1] not in (1, 3):
        raise ImportRefused(
            f"{path}: its first layer is {list(first.shape)}: only denoisers of grey and RGB pixels are supported, "
            "and no upsamplers"
        )
    if options.flags is None:
        raise ImportRefused(
            f"{path}: weights of improved- or guided-diffusion do not say their flags: give those of their README by "
            '--flags "--image_size 64 --num_channels 192 …"'
        )
    flags = _parsed(options.flags)
    height, width = image_size(options, flags.image_size, path)
    embedding, classes = weights.get("label_emb.weight"), 0
    if flags.class_cond:  # a tensor that is missing, or no table, is named later
        classes = len(embedding) if embedding is not None and embedding.dim() == 2 and len(embedding) else CLASSES
    if options.null_class is not None:
        raise ImportRefused(
            f"--null-class {options.null_class}: these models were trained with labels only, or without"
        )
    labels = class_names(classes, options)
    try:
        schedule = _schedule(flags)
        sampler, steps, spacing = _respacing(flags)
        config = DenoiserConfig(
            name=options.name,
            data=DataConfig(
                dataset=options.dataset or options.name,
                kind="images",
                shape=(first.shape[1], height, width),
                labels=labels,
                mean=(127.5,),
                std=(127.5,),
                clip=1.0,
            ),
            network=_network(flags),
            schedule=schedule.model_copy(update={"spacing": spacing}),
            prediction=PredictionConfig(
                target="x0" if flags.predict_xstart else "epsilon", learned_variance=flags.learn_sigma
            ),
            sampling=SamplingConfig(
                sampler=sampler,
                steps=steps,
                variance="learned" if flags.learn_sigma else "fixed-small" if flags.sigma_small else "fixed-large",
            ),
            label_shares=label_shares(labels, None),
            imported="openai's improved-diffusion or guided-diffusion",
        )
    except ValidationError as error:
        raise ImportRefused(f"{path}: {error.errors()[0]['msg']}") from error
    return ImportedModel(config, weights)


def _parsed(text: str) -> Flags:
    """Flags as on a command line: --name value, or --name=value. Raises ImportRefused."""
    try:
        split = shlex.split(text)
    except ValueError as error:
        raise ImportRefused(f"--flags: {text}: {error}") from error
    words = [part for word in split for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if len(words) % 2 or not all(name.startswith("--") for name in words[::2]):
        raise ImportRefused(f"--flags: {text}: give names with values, such as --image_size 64")
    given = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    try:
        return Flags.model_validate({name: value for name, value in given.items() if name not in PASSED_OVER})
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(f"--flags: --{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _network(flags: Flags) -> GuidedUNetConfig:
    multiples = _numbers("channel_mult", flags.channel_mult) or MULTIPLES.get(flags.image_size)
    if multiples is None:
        raise ImportRefused(f"--flags: images of {flags.image_size} pixels need --channel_mult")
    resolutions = _numbers("attention_resolutions", flags.attention_resolutions)
    head_width = None if flags.num_head_channels == -1 else flags.num_head_channels
    return GuidedUNetConfig(
        width=flags.num_channels,
        multiples=multiples,
        blocks=flags.num_res_blocks,
        attention=tuple(int(flags.image_size // resolution) for resolution in resolutions),
        heads=flags.num_heads,
        heads_up=flags.num_heads if flags.num_heads_upsample == -1 else flags.num_heads_upsample,
        head_width=head_width,
        modulated=flags.use_scale_shift_norm,
        residual_sampling=flags.resblock_updown,
        heads_outside=flags.use_new_attention_order,
        timestep_scale=1000 / flags.diffusion_steps if flags.rescale_timesteps else 1.0,
    )


def _schedule(flags: Flags) -> BetaScheduleConfig:
    T = flags.diffusion_steps
    if flags.noise_schedule == "linear":
        low, high = (beta * 1000 / T for beta in LINEAR_BETAS)
        return BetaScheduleConfig(name="beta-linear", T=T, beta_range=(low, high))
    if flags.noise_schedule == "cosine":
        return BetaScheduleConfig(name="beta-cosine", T=T)
    raise ImportRefused(f"--flags: --noise_schedule {flags.noise_schedule}: supported are linear and cosine")


def _respacing(flags: Flags) -> tuple[str, int, str]:
    """(sampler, steps, spacing): ddimN strides evenly from the first timestep; N spreads over all of them."""
    text = flags.timestep_respacing
    if not text:
        return "ddpm", flags.diffusion_steps, "linspace"
    number = text.removeprefix("ddim")
    if not number.isdecimal() or not 1 <= int(number) <= flags.diffusion_steps:
        raise ImportRefused(f"--flags: --timestep_respacing {text}: supported are a number of steps, and ddim and one")
    return ("ddpm", int(number), "linspace") if number == text else ("ddim", int(number), "leading")


def _numbers(flag: str, text: str) -> tuple[float, ...]:
    """Finite and positive, by commas. Raises ImportRefused."""
    try:
        numbers = tuple(float(part) for part in text.split(",") if part)
    except ValueError as error:
        raise ImportRefused(f"--flags: --{flag} {text}: give numbers, by commas") from error
    if not all(0 < number <= MAX_SIDE for number in numbers):
        raise ImportRefused(f"--flags: --{flag} {text}: numbers above 0, at most {MAX_SIDE}")
    return numbers
