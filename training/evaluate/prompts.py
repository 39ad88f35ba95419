"""Does a picture show what was asked for in words? The judge reads the digit, morphometry measures the strokes."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from training.data.captions import HELD_OUT_COMBINATIONS, TRAITS, Caption, traits_of
from training.data.morphometry import measure
from training.evaluate.judge import Judge

ASKED = ("digit", "thickness", "slant")  # of every held-out prompt


def adherence(
    images: Tensor, prompts: Sequence[Caption], judge: Judge, bounds: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Shares of images [n, 1, H, W] in 0 … 255 that show what their prompt asks for: each of ASKED, thickness and slant
    both, all three; and all three among the prompts whose combination training never said.

    Thickness and slant count where they are in the asked third *of the asked digit's* real images.
    """
    asked = np.array([prompt.asks for prompt in prompts])
    _, read = judge.look(images)
    traits = traits_of(asked[:, 0], measure(images), bounds)
    right = {
        "digit": read.numpy() == asked[:, 0],
        **{name: traits[:, TRAITS.index(name)] == asked[:, TRAITS.index(name)] for name in ASKED[1:]},
    }
    right["thickness and slant"] = right["thickness"] & right["slant"]
    right["all three"] = right["digit"] & right["thickness and slant"]
    new = np.array([prompt.asks[:3] in HELD_OUT_COMBINATIONS for prompt in prompts])
    shares = {name: float(of.mean()) for name, of in right.items()}
    if new.any():
        shares["all three, new combinations"] = float(right["all three"][new].mean())
    return shares
