"""A ControlNet (ZRA23 section 3.2): half a UNet, trained to add to a whole one what a hint asks for."""

from typing import Unpack

from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.trunk import TrunkOptions
from model.networks.unet import HalfUNet, upward_half
from model.networks.zeroed import zeroed


class ControlNet(HalfUNet):
    """(x_t [rows, C, H, W], t [rows], condition, hint [rows, 1, H, W] in 0 … 1) → what a hint adds to each of a UNet's
    skips and to its middle, as `UNet.forward` takes it.

    Everything passes convolutions that begin as zeros, so it begins by adding nothing. The options are those of its
    UNet; begin with a copy of that one's weights (`begin_as`).

    jumps  its UNet reads the guidance scale and s, both [rows]; so does this one, before the hint
    """

    def __init__(self, *, labels: int, text: int = 0, jumps: bool = False, **options: Unpack[TrunkOptions]):
        super().__init__(labels=labels, text=text, jumps=jumps, **options)
        # Built and dropped: the layers below start from the random numbers that follow those of a whole UNet, and a
        # recipe's seed keeps its meaning.
        upward_half(self, self.unshuffled_channels, options)
        widths = self.skip_channels
        self.read = nn.Sequential(
            nn.Conv2d(self.patch**2, widths[0], 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(widths[0], widths[0], 3, padding=1),
            nn.SiLU(),
            zeroed(nn.Conv2d(widths[0], widths[0], 3, padding=1)),
        )
        self.give = nn.ModuleList(zeroed(nn.Conv2d(width, width, 1)) for width in (*widths, widths[-1]))

    def begin_as(self, base: nn.Module) -> None:
        """Take the weights of the half that the UNet `base` has too."""
        ours = self.state_dict()
        self.load_state_dict(ours | {name: weights for name, weights in base.state_dict().items() if name in ours})

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        *jump, hint = more
        embedding = F.silu(self.embedding(t, condition, *jump))
        encoded = self.read(F.pixel_unshuffle(hint.to(self.enter.weight.dtype), self.patch))
        passed = self.descended(self.entered(x) + encoded, embedding)
        return tuple(give(h) for give, h in zip(self.give, passed, strict=True))
