"""A .pt of lucidrains' denoising-diffusion-pytorch → a checkpoint's config and weights.

The file has tensors only. Their shapes tell the Unet's options, and the diffusion's buffers its schedule and objective.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from model.beta_schedule import make_betas
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserConfig, PredictionConfig
from model.checkpoints.schedule_config import BetaScheduleConfig
from model.data import DataConfig
from model.networks.adapters import LucidrainsUNetConfig
from model.noise_schedule import LINEAR_BETAS
from model.prediction import Target
from training.importing.imported import ImportedModel, ImportOptions, ImportRefused, image_size

AS_KNOWN = 1e-6  # how near β is to a known schedule's, in float32
CLEAREST_SNR = 0.5  # there the weights of the three objectives differ most: 1, 0.5 and 0.33


def read_lucidrains_file(document: Any, path: Path, options: ImportOptions) -> ImportedModel:
    """A trainer's milestone, of which the averaged weights are taken, or a GaussianDiffusion's state.

    `document` is what is in the file at `path`. Raises ImportRefused.
    """
    diffusion, averaged = _diffusion_state(document, path)
    unet = _below(diffusion, "model.")
    if "null_classes_emb" in unet:
        raise ImportRefused(f"{path}: its Unet is that of classifier_free_guidance, which is not supported; Unet is")
    unet_options, channels = _unet_options(unet, path)
    target = _objective(diffusion, path)
    outputs = unet["final_conv.weight"].shape[0]
    schedule = _schedule(diffusion["betas"])
    config = DenoiserConfig(
        name=options.name,
        data=DataConfig(
            dataset=options.dataset or options.name,
            kind="images",
            shape=(channels, *image_size(options, None, path)),
            mean=(127.5,),
            std=(127.5,),
            clip=1.0,
        ),
        network=LucidrainsUNetConfig(options=unet_options),
        schedule=schedule,
        prediction=PredictionConfig(target=target, learned_variance=outputs == 2 * channels),
        sampling=SamplingConfig(
            sampler="ddpm", steps=schedule.T, variance="learned" if outputs == 2 * channels else "fixed-small"
        ),
        imported=f"lucidrains' denoising-diffusion-pytorch, {'averaged' if averaged else 'raw'} weights",
    )
    return ImportedModel(config, {f"unet.{name}": tensor for name, tensor in unet.items()})


def _diffusion_state(document: Any, path: Path) -> tuple[dict[str, Tensor], bool]:
    """A GaussianDiffusion's tensors, and whether they are averaged."""
    if isinstance(document, Mapping) and isinstance(document.get("ema"), Mapping):
        document, averaged = _below(document["ema"], "ema_model."), True
    else:
        averaged = False
        if isinstance(document, Mapping) and isinstance(document.get("model"), Mapping):
            document = document["model"]
    if not isinstance(document, Mapping) or not all(isinstance(one, Tensor) for one in document.values()):
        raise ImportRefused(f"{path}: is neither a trainer's milestone nor a GaussianDiffusion's state")
    if "betas" not in document or "model.init_conv.weight" not in document:
        raise ImportRefused(
            f"{path}: has no schedule, or no Unet of denoising-diffusion-pytorch: save the whole "
            "GaussianDiffusion's state_dict()"
        )
    return dict(document), averaged


def _below(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Those whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def _unet_options(unet: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Any], int]:
    """The Unet's options, and the channels of an image. Raises ImportRefused."""
    try:
        inputs, outputs = unet["init_conv.weight"].shape[1], unet["final_conv.weight"].shape[0]
        channels = inputs if outputs in (inputs, 2 * inputs) else 0
        if not channels or channels not in (1, 3):
            raise ImportRefused(
                f"{path}: its Unet reads {inputs} channels and gives {outputs}: it is self-conditioned, or not of grey "
                "or RGB pixels, which is not supported"
            )
        dim = unet["time_mlp.1.weight"].shape[0] // 4
        stages = list(_stages(unet))
        options = {
            "dim": dim,
            "init_dim": unet["init_conv.weight"].shape[0],
            "dim_mults": [width // dim for width, *_ in stages],
            "channels": channels,
            "full_attn": [full for _, full, *_ in stages],
            "attn_heads": [heads for *_, heads, _ in stages],
            "attn_dim_head": [width for *_, width in stages],
        }
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ImportRefused(f"{path}: is no Unet of denoising-diffusion-pytorch: {error}") from error
    return options, channels


def _stages(unet: Mapping[str, Tensor]) -> Iterator[tuple[int, bool, int, int]]:
    """(channels, full attention, heads, channels a head) of every resolution, from fine to coarse."""
    count = len({name.split(".")[1] for name in unet if name.startswith("downs.")})
    for stage in range(count):
        last = stage == count - 1
        width = unet[f"downs.{stage}.3.weight" if last else f"downs.{stage}.3.1.weight"].shape[0]
        full = f"downs.{stage}.2.to_out.weight" in unet
        _, heads, *sides = unet[
            f"downs.{stage}.2.mem_kv"
        ].shape  # [2, heads, 4, d] of full attention, else [2, heads, d, 4]
        yield width, full, heads, sides[1] if full else sides[0]


def _schedule(betas: Tensor) -> BetaScheduleConfig:
    values = betas.double().numpy()
    T = len(values)
    low, high = (beta * 1000 / T for beta in LINEAR_BETAS)
    if high < 1 and np.abs(values - make_betas("linear", T, (low, high))).max() < AS_KNOWN:
        return BetaScheduleConfig(name="beta-linear", T=T, beta_range=(low, high))
    if np.abs(values - make_betas("cosine", T, LINEAR_BETAS)).max() < AS_KNOWN:
        return BetaScheduleConfig(name="beta-cosine", T=T)
    return BetaScheduleConfig(name="beta-list", T=T, betas=tuple(values.tolist()))


def _objective(diffusion: Mapping[str, Tensor], path: Path) -> Target:
    """What the network predicts, as its loss weights tell: 1, SNR or SNR/(SNR + 1) where they are not bounded."""
    if "loss_weight" not in diffusion:
        raise ImportRefused(f"{path}: has no loss_weight, which tells the objective: its version is too old or too new")
    alpha_bar = diffusion["alphas_cumprod"].double()
    snr = alpha_bar / (1 - alpha_bar)
    index = int((snr - CLEAREST_SNR).abs().argmin())
    weights: dict[Target, float] = {
        "epsilon": 1.0, "x0": float(snr[index]), "v": float(snr[index] / (snr[index] + 1)),
    }  # fmt: skip
    weight = float(diffusion["loss_weight"][index])
    return min(weights, key=lambda target: abs(weights[target] - weight))
