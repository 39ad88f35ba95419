"""Muon, an optimiser of matrices, and the choice of which optimiser trains which weights."""

import math
from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor, nn

from training.recipe import OptimisationSection

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic whose slope at 0 is steep: few iterations do (Jordan 2024)
ITERATIONS = 5
RMS_OF_ADAMW = 0.2  # the usual root mean square of AdamW's update (Liu 2025)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal (Jordan 2024): all directions of a matrix move alike, not only those of large gradients.

    The update is as large as AdamW's usually is (Liu 2025), so that learning rates and weight decay mean the same. A
    convolution [out, in, h, w] is the matrix [out, in·h·w]. PyTorch's own Muon refuses these, and multiplies in
    bfloat16, which many CPUs only emulate.

    parameters  of two dimensions or more
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                state = self.state[weights]
                if not state:
                    state["momentum"] = torch.zeros_like(weights)
                momentum = state["momentum"].lerp_(weights.grad, 1 - MOMENTUM)
                matrix = weights.grad.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's: a step ahead
                size = RMS_OF_ADAMW * math.sqrt(max(matrix.shape))
                weights.mul_(1 - group["lr"] * group["weight_decay"])
                weights.add_(orthogonalised(matrix).view(weights.shape), alpha=-group["lr"] * size)
        return loss


def orthogonalised(matrix: Tensor) -> Tensor:
    """About U·Vᵀ of a matrix [m, n] = U·S·Vᵀ, by Newton-Schulz iterations: singular values come near 1, to 0.7 … 1.2.

    Those that are less than a thousandth of the matrix's norm stay less.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    a, b, c = COEFFICIENTS
    unit: Tensor = matrix / matrix.norm().clamp_min(1e-7)
    square = unit @ unit.T
    product = torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
    for _ in range(ITERATIONS):  # all of them multiply from the left, so it is enough to know their product, [m, m]
        gram = product @ square @ product.T
        product = a * product + (b * gram + c * gram @ gram) @ product
    return product @ unit


def optimisers_of(network: nn.Module, options: OptimisationSection) -> list[torch.optim.Optimizer]:
    """What trains the network: AdamW; or Muon, with AdamW for what is no matrix, and for tables of embeddings."""
    others = list(network.parameters())
    made: list[torch.optim.Optimizer] = []
    if options.optimiser == "muon":
        layers = (layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d))
        matrices = {layer.weight: None for layer in layers if layer.weight.requires_grad}
        others = [weights for weights in others if weights not in matrices]
        made.append(Muon(matrices, options.learning_rate, options.weight_decay))
    adamw = torch.optim.AdamW(
        others, options.learning_rate, betas=(0.9, options.beta2), weight_decay=options.weight_decay
    )
    return [*made, adamw]
