"""A .pt of lucidrains' denoising-diffusion-pytorch → a checkpoint's config and weights.

The file has tensors only. Their shapes tell the Unet's options, and the diffusion's buffers its schedule and objective.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from torch import Tensor

from model.beta_schedule import make_betas
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserConfig, PredictionConfig
from model.checkpoints.schedule_config import BetaScheduleConfig
from model.data import DataConfig
from model.networks.adapters import LucidrainsUNetConfig
from model.noise_schedule import LINEAR_BETAS
from model.prediction import Target
from training.importing.imported import ImportedModel, ImportOptions, ImportRefused, class_names, image_size
from training.importing.tensor_files import is_state

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
    labels = class_names(0, options)  # refuses options of classes
    outputs = unet["final_conv.weight"].shape[0]
    try:
        target = _objective(diffusion, path)
        schedule = _schedule(diffusion["betas"])
        config = DenoiserConfig(
            name=options.name,
            data=DataConfig(
                dataset=options.dataset or options.name,
                kind="images",
                shape=(channels, *image_size(options, None, path)),
                labels=labels,
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
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(f"{path}: its {'.'.join(map(str, first['loc'])) or 'diffusion'}: {first['msg']}") from error
    return ImportedModel(config, {f"unet.{name}": tensor for name, tensor in unet.items()})


def _diffusion_state(document: Any, path: Path) -> tuple[dict[str, Tensor], bool]:
    """A GaussianDiffusion's tensors, and whether they are averaged."""
    if isinstance(document, Mapping) and isinstance(document.get("ema"), Mapping):
        document, averaged = _below(document["ema"], "ema_model."), True
    else:
        averaged = False
        if isinstance(document, Mapping) and isinstance(document.get("model"), Mapping):
            document = document["model"]
    if not is_state(document):
        raise ImportRefused(
            f"{path}: is neither weights of improved- or guided-diffusion, nor a trainer's milestone or a "
            "GaussianDiffusion's state of denoising-diffusion-pytorch"
        )
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
        # A self-conditioned one reads as many channels again, and one with a learned variance gives as many again; the
        # library has none that does both.
        pairs = {own: ((own, own), (own, 2 * own), (2 * own, own)) for own in (1, 3)}
        channels = next((own for own, allowed in pairs.items() if (inputs, outputs) in allowed), 0)
        if not channels:
            raise ImportRefused(
                f"{path}: its Unet reads {inputs} channels and gives {outputs}: only grey and RGB pixels are supported"
            )
        dim = unet["time_mlp.1.weight"].shape[0] // 4
        stages = list(_stages(unet))
        options = {
            "dim": dim,
            "init_dim": unet["init_conv.weight"].shape[0],
            "dim_mults": [width // dim for width, *_ in stages],
            "channels": channels,
            "self_condition": inputs == 2 * channels,
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
    """Raises ValidationError where these are no β."""
    values = betas.double().flatten().numpy()
    T = len(values)
    low, high = (beta * 1000 / T for beta in LINEAR_BETAS)
    if high < 1 and np.abs(values - make_betas("linear", T, (low, high))).max() < AS_KNOWN:
        return BetaScheduleConfig(name="beta-linear", T=T, beta_range=(low, high))
    if np.abs(values - make_betas("cosine", T, LINEAR_BETAS)).max() < AS_KNOWN:
        return BetaScheduleConfig(name="beta-cosine", T=T)
    return BetaScheduleConfig(name="beta-list", T=T, betas=tuple(values.tolist()))


def _objective(diffusion: Mapping[str, Tensor], path: Path) -> Target:
    """What the network predicts, as its loss weights tell: 1, SNR or SNR/(SNR + 1) where they are not bounded."""
    betas, loss_weight = diffusion["betas"].double().flatten(), diffusion.get("loss_weight")
    if loss_weight is None or loss_weight.shape != betas.shape or not len(betas):
        raise ImportRefused(
            f"{path}: has no loss_weight for each timestep, which tells the objective: its version is too old, or too "
            "new"
        )
    alpha_bar = (1 - betas).cumprod(0)
    snr = alpha_bar / (1 - alpha_bar)
    index = int((snr - CLEAREST_SNR).abs().argmin())
    weights: dict[Target, float] = {
        "epsilon": 1.0, "x0": float(snr[index]), "v": float(snr[index] / (snr[index] + 1)),
    }  # fmt: skip
    weight = float(loss_weight[index])
    return min(weights, key=lambda target: abs(weights[target] - weight))
