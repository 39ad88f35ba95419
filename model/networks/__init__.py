"""The networks, each in a file of its own, and what a checkpoint's config may say of them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from model.networks.mlp import MLP
from model.networks.unet import UNet


class NetworkConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MLPConfig(NetworkConfig):
    kind: Literal["mlp"] = "mlp"
    width: int = Field(128, ge=8, multiple_of=2)
    blocks: int = Field(4, ge=1)


class UNetConfig(NetworkConfig):
    kind: Literal["unet"] = "unet"
    channels: tuple[int, ...] = Field((48, 96), min_length=1)
    blocks: int = Field(2, ge=1)
    attention: tuple[int, ...] = (1,)
    patch: int = Field(2, ge=1)
    groups: int = Field(8, ge=1)


AnyNetworkConfig = Annotated[MLPConfig | UNetConfig, Field(discriminator="kind")]

_NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "unet": UNet}


def build_network(
    config: MLPConfig | UNetConfig, *, shape: tuple[int, ...], labels: int, T: int, learned_variance: bool
) -> nn.Module:
    """The network that `config` describes, with fresh weights.

    shape   of one row: (d,) for points, (C, H, W) for images
    labels  how many classes; 0 for an unconditional network

    Raises ValueError where the network cannot take rows of that shape.
    """
    return _NETWORKS[config.kind](
        shape=shape, labels=labels, T=T, learned_variance=learned_variance, **config.model_dump(exclude={"kind"})
    )
