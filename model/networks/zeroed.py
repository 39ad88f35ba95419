"""Layers that begin as zeros."""

from typing import TypeVar

from torch import nn

LayerT = TypeVar("LayerT", nn.Conv2d, nn.Linear)


def zeroed(layer: LayerT) -> LayerT:
    """The same layer with zeros for parameters: a branch that ends in it begins by adding nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
