"""What strokes can be followed in, and how large what is drawn is."""

import numpy as np
import torch
from PIL import Image, ImageDraw

from training.data.ink import frame_of, is_ink


def drawn(side: int, *, ink: int = 255, ground: int = 0, reach: float = 0.5, n: int = 20) -> torch.Tensor:
    """uint8 [n, 1, side, side]: crosses that reach over that share of the side."""
    pictures = []
    for index in range(n):
        picture = Image.new("L", (side, side), ground)
        start = round((1 - reach) * side / 2) + index % 2
        box = (start, start, start + round(reach * side) - 1, start + round(reach * side) - 1)
        draw = ImageDraw.Draw(picture)
        draw.line(box, fill=ink, width=max(1, side // 12))
        draw.line((box[0], box[3], box[2], box[1]), fill=ink, width=max(1, side // 12))
        pictures.append(np.array(picture))
    return torch.from_numpy(np.stack(pictures)).unsqueeze(1)


def test_light_strokes_on_dark_are_ink_at_any_size():
    for side in (8, 28, 64):
        assert is_ink(drawn(side))
    assert is_ink(drawn(28, ink=130))  # faint ink is ink


def test_dark_on_light_photographs_and_colour_are_not():
    assert not is_ink(drawn(28, ink=0, ground=255))
    assert not is_ink(torch.randint(0, 256, (20, 1, 28, 28), dtype=torch.uint8))
    assert not is_ink(drawn(28).expand(-1, 3, -1, -1))
    assert not is_ink(torch.cat([drawn(28, n=20), drawn(28, ink=0, ground=255, n=20)]))
    assert not is_ink(torch.full((20, 1, 28, 28), 255, dtype=torch.uint8))


def test_the_frame_is_the_share_that_is_drawn_over():
    assert abs(frame_of(drawn(64, reach=0.5)) - 0.5) < 0.08
    assert abs(frame_of(drawn(28, reach=20 / 28)) - 20 / 28) < 0.08
    assert frame_of(drawn(8, reach=1.0)) > 0.85
