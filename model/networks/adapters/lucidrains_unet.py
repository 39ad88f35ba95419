"""lucidrains' own Unet, as a network of Spirale. Needs the extra `lucidrains`."""

from collections.abc import Mapping
from typing import Any

from denoising_diffusion_pytorch import Unet
from torch import Tensor, nn

from model.networks import MAX_LEVELS


class LucidrainsUNet(nn.Module):
    """Images [rows, C, H, W] → [rows, C or 2C, H, W]. Its timesteps, 1 … T, are one more than the library's. A
    self-conditioned one reads the x̂0 of the step before, [rows, C, H, W], after the condition.

    Raises ValueError where the library cannot build it, or where it is no denoiser of these rows.
    """

    def __init__(self, options: Mapping[str, Any], *, shape: tuple[int, ...], labels: int, learned_variance: bool):
        super().__init__()
        channels, height, width = shape
        if labels:
            raise ValueError("this Unet reads no classes")
        if options.get("channels", 3) != channels:
            raise ValueError(f"it reads something else than {channels} channels")
        multiples = options.get("dim_mults", (1, 2, 4, 8))
        if not isinstance(multiples, list | tuple) or not 1 <= len(multiples) <= MAX_LEVELS:
            raise ValueError(f"dim_mults is a list of the multiples of at most {MAX_LEVELS} levels")
        try:
            own = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
            self.unet = Unet(**own | {"learned_variance": learned_variance})
        except Exception as error:  # options of any kind make it raise anything
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"denoising-diffusion-pytorch cannot build this Unet: {reason}") from error
        factor = self.unet.downsample_factor
        if height % factor or width % factor:
            raise ValueError(f"images of {height}×{width}: the sides of this Unet are multiples of {factor}")

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *x0_before: Tensor) -> Tensor:
        own = next(self.parameters()).dtype
        output: Tensor = self.unet(x.to(own), t - 1, *(one.to(own) for one in x0_before))
        return output
