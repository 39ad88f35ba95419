"""Networks of other libraries, as a checkpoint's config names them.

The network is the library's own class, or has its parameters by their names. Each module here adapts one to a
`Network`: (x [rows, C, H, W], t [rows] int64 from 1, label [rows] int64) → [rows, C or 2C, H, W].
"""

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from model.karras_levels import KarrasLevels
from model.networks import MAX_BLOCKS, MAX_LEVELS, MAX_WIDTH, NetworkConfig
from model.networks.adapters.guided_unet import GuidedUNet


class MissingExtra(ValueError):
    """A network needs a package that is not installed; the message names the extra that has it."""


class AdapterConfig(NetworkConfig):
    """The fields of every adapted network.

    null_class  the number of the network's class that means no label; None where it was trained with labels only
    """

    null_class: int | None = Field(None, ge=0)

    @property
    def description(self) -> str:
        raise NotImplementedError


class DiffusersUNetConfig(AdapterConfig):
    """diffusers' UNet2DModel; `options` are its own config."""

    kind: Literal["diffusers-unet"] = "diffusers-unet"
    options: dict[str, Any]

    @property
    def description(self) -> str:
        channels = self.options.get("block_out_channels")
        return "diffusers' UNet2DModel" + (f", channels {', '.join(map(str, channels))}" if channels else "")


class ConsistencyUNetConfig(AdapterConfig):
    """diffusers' UNet2DModel as a consistency model (Song 2023); `options` are its own config.

    sigma_data  deviation of the data in −1 … 1, by which its input and output are scaled
    """

    kind: Literal["consistency-unet"] = "consistency-unet"
    options: dict[str, Any]
    sigma_data: float = Field(0.5, gt=0, le=1e3)

    @property
    def description(self) -> str:
        return f"{DiffusersUNetConfig(options=self.options).description}, a consistency model"


class LucidrainsUNetConfig(AdapterConfig):
    """The Unet of lucidrains' denoising-diffusion-pytorch; `options` are its constructor's."""

    kind: Literal["lucidrains-unet"] = "lucidrains-unet"
    options: dict[str, Any]

    @property
    def description(self) -> str:
        own = ", self-conditioned" if self.self_conditioned else ""
        return f"lucidrains' Unet, dim {self.options.get('dim')}, dim_mults {self.options.get('dim_mults')}{own}"

    @property
    def self_conditioned(self) -> bool:
        """Does it also read its own last x̂0?"""
        return bool(self.options.get("self_condition", False))


class GuidedUNetConfig(AdapterConfig):
    """The UNet of openai's improved-diffusion and guided-diffusion: see `GuidedUNet`."""

    kind: Literal["guided-unet"] = "guided-unet"
    width: int = Field(ge=32, le=MAX_WIDTH)
    multiples: tuple[Annotated[float, Field(gt=0, le=MAX_WIDTH)], ...] = Field(min_length=1, max_length=MAX_LEVELS)
    blocks: int = Field(ge=1, le=MAX_BLOCKS)
    attention: tuple[int, ...] = Field((), max_length=MAX_LEVELS)
    heads: int = Field(4, ge=1)
    heads_up: int = Field(4, ge=1)
    head_width: int | None = Field(None, ge=1)
    modulated: bool = True
    residual_sampling: bool = False
    heads_outside: bool = False
    timestep_scale: float = Field(1.0, gt=0)

    @property
    def description(self) -> str:
        return (
            f"guided diffusion's UNet, width {self.width}, multiples {', '.join(f'{one:g}' for one in self.multiples)}"
        )


def build_adapter(
    config: AdapterConfig,
    *,
    shape: tuple[int, ...],
    labels: int,
    learned_variance: bool,
    levels: KarrasLevels | None = None,
) -> nn.Module:
    """The network that `config` describes, with fresh weights.

    shape   of one row, (C, H, W)
    labels  how many classes it reads, besides the null class; 0 for none
    levels  the noise levels that a consistency model reads

    Raises MissingExtra where its library is not installed, and ValueError where the network cannot be as described.
    """
    if len(shape) != 3:
        raise ValueError(f"it cannot denoise rows of the shape {list(shape)}: it is for images")
    if isinstance(config, ConsistencyUNetConfig):
        _need("diffusers", "diffusers' UNet2DModel", "diffusers")
        from model.networks.adapters.consistency_unet import ConsistencyUNet  # slow to import, and optional

        assert levels is not None  # a consistency model's schedule is karras
        return ConsistencyUNet(config.options, shape=shape, labels=labels, levels=levels, sigma_data=config.sigma_data)
    if isinstance(config, DiffusersUNetConfig):
        _need("diffusers", "diffusers' UNet2DModel", "diffusers")
        from model.networks.adapters.diffusers_unet import DiffusersUNet  # slow to import, and optional

        return DiffusersUNet(
            config.options, shape=shape, labels=labels, null_class=config.null_class, learned_variance=learned_variance
        )
    if isinstance(config, GuidedUNetConfig):
        options = config.model_dump(exclude={"kind", "null_class"})
        return GuidedUNet(shape=shape, labels=labels, learned_variance=learned_variance, **options)
    assert isinstance(config, LucidrainsUNetConfig)
    _need("denoising_diffusion_pytorch", "lucidrains' Unet", "lucidrains")
    from model.networks.adapters.lucidrains_unet import LucidrainsUNet  # the same

    return LucidrainsUNet(config.options, shape=shape, labels=labels, learned_variance=learned_variance)


def _need(module: str, network: str, extra: str) -> None:
    """Raises MissingExtra where the module is not installed."""
    if find_spec(module) is None:
        raise MissingExtra(f"its network is {network}: install the extra spirale[{extra}]")
