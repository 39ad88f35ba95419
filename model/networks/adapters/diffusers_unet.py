"""diffusers' own UNet2DModel, as a network of Spirale. Needs the extra `diffusers`."""

from collections.abc import Mapping
from typing import Any

from diffusers import UNet2DModel, __version__
from torch import Tensor, nn

from model.networks import MAX_BLOCKS, MAX_LEVELS
from model.networks.adapters.class_numbers import class_numbers


class DiffusersUNet(nn.Module):
    """Images [rows, C, H, W] → [rows, C or 2C, H, W]. Its timesteps, 1 … T, are one more than diffusers'.

    Raises ValueError where diffusers cannot build it, or where it computes something else than a denoiser of these rows
    at integer timesteps.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        shape: tuple[int, ...],
        labels: int,
        null_class: int | None,
        learned_variance: bool,
    ):
        super().__init__()
        _check_options(options, shape, labels + (null_class is not None), learned_variance)
        try:
            self.unet: nn.Module = UNet2DModel(**options)
        except Exception as error:  # options of any kind make it raise anything
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"diffusers {__version__} cannot build this UNet2DModel: {reason}") from error
        self.null_class = null_class
        self.reads_class = labels > 0

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        x = x.to(next(self.parameters()).dtype)
        output: Tensor = self.unet(x, t - 1, self.classes(condition), return_dict=False)[0]
        return output

    def classes(self, condition: Tensor) -> Tensor | None:
        """The UNet's classes of these labels [rows]; None where it reads none."""
        return class_numbers(condition, self.null_class) if self.reads_class else None


def _check_options(options: Mapping[str, Any], shape: tuple[int, ...], classes: int, learned_variance: bool) -> None:
    """Raises ValueError."""
    channels, height, width = shape
    if options.get("time_embedding_type", "positional") == "fourier":
        raise ValueError("time_embedding_type is fourier: it reads noise levels, and only integer timesteps are given")
    if options.get("class_embed_type") is not None:
        raise ValueError(f"class_embed_type is {options['class_embed_type']}: only a table of classes is supported")
    if (options.get("num_class_embeds") or 0) != classes:
        raise ValueError(f"num_class_embeds is {options.get('num_class_embeds')}, and there are {classes} classes")
    outputs = channels * (2 if learned_variance else 1)
    if (options.get("in_channels", 3), options.get("out_channels", 3)) != (channels, outputs):
        raise ValueError(
            f"in_channels and out_channels are {options.get('in_channels', 3)} and {options.get('out_channels', 3)}, "
            f"and should be {channels} and {outputs}"
        )
    widths, layers = options.get("block_out_channels", (224, 448, 672, 896)), options.get("layers_per_block", 2)
    if not isinstance(widths, list | tuple) or not 1 <= len(widths) <= MAX_LEVELS:
        raise ValueError(f"block_out_channels is {widths}: it is a list of the channels of at most {MAX_LEVELS} levels")
    if not isinstance(layers, int) or not 1 <= layers <= MAX_BLOCKS:
        raise ValueError(f"layers_per_block is {layers}: it is a number, 1 … {MAX_BLOCKS}")
    halvings = len(widths) - 1
    if height % 2**halvings or width % 2**halvings:
        raise ValueError(f"images of {height}×{width} cannot be halved {halvings} times")
