"""Spirale's UNet as a model of diffusers."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor

from model.networks.unet import UNet


class SpiraleUNet2DModel(ModelMixin, ConfigMixin):
    """Called as UNet2DModel is: timesteps from 0, class labels from 0. A label of −1, or none at all, is no label."""

    @register_to_config
    def __init__(
        self,
        sample_size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        labels: int,
        num_train_timesteps: int,
        channels: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        patch: int,
        groups: int,
    ):
        super().__init__()
        self.network = UNet(
            shape=(in_channels, *sample_size),
            labels=labels,
            T=num_train_timesteps,
            learned_variance=out_channels == 2 * in_channels,
            channels=tuple(channels),
            blocks=blocks,
            attention=tuple(attention),
            patch=patch,
            groups=groups,
        )

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple[Tensor]:
        rows = len(sample)
        t = torch.as_tensor(timestep, device=sample.device).reshape(-1).expand(rows) + 1
        if class_labels is None:
            class_labels = torch.full((rows,), -1, device=sample.device)
        output: Tensor = self.network(sample, t, class_labels)
        return UNet2DOutput(sample=output) if return_dict else (output,)
