"""The networks, each in a file of its own, and what a checkpoint's config may say of them."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from model.data import MAX_SIDE
from model.networks.encoder import ImageEncoder, PointEncoder
from model.networks.mlp import MLP
from model.networks.unet import UNet
from model.strict_config import StrictConfig

# More than anybody trains: a config that another hand wrote takes neither long nor much memory to be refused.
MAX_WIDTH = 1 << 16
MAX_LEVELS = 12
MAX_BLOCKS = 64  # a level of images, …
MAX_MLP_BLOCKS = 256  # … or of points in all

Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=MAX_LEVELS)]


class NetworkConfig(StrictConfig):
    """The network of a config.json: `kind`, and the options of that kind."""


class MLPConfig(NetworkConfig):
    kind: Literal["mlp"] = "mlp"
    width: int = Field(128, ge=8, le=MAX_WIDTH, multiple_of=2)
    blocks: int = Field(4, ge=1, le=MAX_MLP_BLOCKS)
    frequencies: int = Field(0, ge=0, le=1024)
    embedding: int | None = Field(None, ge=8, le=MAX_WIDTH, multiple_of=2)


class TrunkConfig(NetworkConfig):
    """The options that a UNet shares with its downward half: see `TrunkOptions`."""

    kind: Literal["unet", "image-encoder"]
    channels: Widths
    blocks: int = Field(2, ge=1, le=MAX_BLOCKS)
    attention: tuple[int, ...] = Field((1,), max_length=MAX_LEVELS)
    patch: int = Field(2, ge=1, le=MAX_SIDE)
    groups: int = Field(8, ge=1)


class UNetConfig(TrunkConfig):
    kind: Literal["unet"] = "unet"
    channels: Widths = (48, 96)


class PointEncoderConfig(NetworkConfig):
    kind: Literal["point-encoder"] = "point-encoder"
    width: int = Field(64, ge=8, le=MAX_WIDTH, multiple_of=2)
    blocks: int = Field(3, ge=1, le=MAX_MLP_BLOCKS)


class ImageEncoderConfig(TrunkConfig):
    kind: Literal["image-encoder"] = "image-encoder"
    channels: Widths = (32, 64)


AnyNetworkConfig = Annotated[MLPConfig | UNetConfig, Field(discriminator="kind")]
AnyEncoderConfig = Annotated[PointEncoderConfig | ImageEncoderConfig, Field(discriminator="kind")]

_NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "unet": UNet}
_ENCODERS: dict[str, type[nn.Module]] = {"point-encoder": PointEncoder, "image-encoder": ImageEncoder}


def build_network(
    config: MLPConfig | UNetConfig,
    *,
    shape: tuple[int, ...],
    labels: int,
    T: int,
    learned_variance: bool,
    text: int = 0,
    jumps: bool = False,
) -> nn.Module:
    """The network that `config` describes, with fresh weights.

    shape   of one row: (d,) for points, (C, H, W) for images
    labels  how many classes; 0 for a network that reads no label
    text    length of the text vectors that it reads; 0 for none
    jumps   whether it reads the guidance scale and the timestep to which it jumps

    Raises ValueError where the network cannot take rows of that shape.
    """
    if len(shape) != (1 if config.kind == "mlp" else 3):
        right = "points need an mlp" if len(shape) == 1 else "images need a unet"
        raise ValueError(f"{config.kind} cannot denoise rows of the shape {list(shape)}: {right}")
    return _NETWORKS[config.kind](
        shape=shape,
        labels=labels,
        text=text,
        jumps=jumps,
        T=T,
        learned_variance=learned_variance,
        **config.model_dump(exclude={"kind"}),
    )


def build_encoder(
    config: PointEncoderConfig | ImageEncoderConfig, *, shape: tuple[int, ...], outputs: int, T: int
) -> nn.Module:
    """The encoder that `config` describes, with fresh weights: (x [rows, *shape], t [rows]) → [rows, outputs].

    Raises ValueError where it cannot take rows of that shape.
    """
    if len(shape) != (1 if config.kind == "point-encoder" else 3):
        raise ValueError(f"{config.kind} cannot read rows of the shape {list(shape)}")
    return _ENCODERS[config.kind](shape=shape, outputs=outputs, T=T, **config.model_dump(exclude={"kind"}))
