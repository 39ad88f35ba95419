"""A ControlNet (ZRA23 section 3.2): the downward half of a UNet, trained to add to another's what a hint asks for."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.unet import UNet


class ControlNet(UNet):
    """(x_t [rows, C, H, W], t [rows], condition, hint [rows, 1, H, W] in 0 … 1) → what a hint adds to each of a UNet's
    skips and to its middle, as `UNet.forward` takes it.

    Everything passes convolutions that begin as zeros, so it begins by adding nothing. The options are those of the
    UNet that it steers; begin with a copy of its weights (`begin_as`).
    """

    def __init__(self, *, shape: tuple[int, int, int], patch: int, **options):
        super().__init__(shape=shape, patch=patch, **options)
        del self.up, self.leave
        widths = self.skip_channels
        self.read = nn.Sequential(
            nn.Conv2d(patch**2, widths[0], 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(widths[0], widths[0], 3, padding=1),
            nn.SiLU(),
            _zeroed(nn.Conv2d(widths[0], widths[0], 3, padding=1)),
        )
        self.give = nn.ModuleList(_zeroed(nn.Conv2d(width, width, 1)) for width in (*widths, widths[-1]))

    def begin_as(self, base: UNet) -> None:
        """Take the weights of the halves that both have."""
        ours = self.state_dict()
        self.load_state_dict(ours | {name: of for name, of in base.state_dict().items() if name in ours})

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, hint: Tensor) -> tuple[Tensor, ...]:
        embedding = F.silu(self.embedding(t, condition))
        read = self.read(F.pixel_unshuffle(hint.to(self.enter.weight.dtype), self.patch))
        passed = self.descended(self.entered(x) + read, embedding)
        return tuple(give(h) for give, h in zip(self.give, passed, strict=True))


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    return convolution
