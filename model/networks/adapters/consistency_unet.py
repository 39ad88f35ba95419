"""diffusers' UNet2DModel as a consistency model. Needs the extra `diffusers`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from model.karras_levels import KarrasLevels
from model.networks.adapters.diffusers_unet import DiffusersUNet
from model.prediction import per_row


class ConsistencyUNet(DiffusersUNet):
    """Images [rows, C, H, W] and timesteps 1 … T → x̂0 [rows, C, H, W], c_skip(σ)·x + c_out(σ)·F(c_in(σ)·x, 250 log σ)
    (Song 2023 appendix C), where F is the UNet and x has the noise σ_t.

    Its rows have unit variance, as those of every network here: x/√(1 + σ_t² − σ_min²), and noise alone at T.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        shape: tuple[int, ...],
        labels: int,
        levels: KarrasLevels,
        sigma_data: float,
    ):
        super().__init__(options, shape=shape, labels=labels, null_class=None, learned_variance=False)
        self.levels, self.sigma_data = levels, sigma_data

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        low, data = self.levels.low, self.sigma_data
        sigma = self.levels(t.double())
        unit = torch.where(t == self.levels.T, sigma, (1 + sigma**2 - low**2).sqrt())
        c_in = (sigma**2 + data**2).rsqrt()
        c_skip = data**2 / ((sigma - low) ** 2 + data**2)
        c_out = (sigma - low) * data * c_in
        noisy = per_row(unit.to(x.dtype), x) * x
        scaled = (per_row(c_in.to(x.dtype), x) * noisy).to(next(self.parameters()).dtype)
        output: Tensor = self.unet(scaled, 250 * sigma.log(), self.classes(condition), return_dict=False)[0]
        return per_row(c_skip.to(x.dtype), x) * noisy + per_row(c_out.to(x.dtype), x) * output
