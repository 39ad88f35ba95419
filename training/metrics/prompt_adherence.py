"""Does a picture show what was asked for in words?

Of digits the judge reads the digit, and morphometry measures the strokes. Of own data CLIP says which of the captions
goes best.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from model.checkpoints.clip import ClipCheckpoint
from training.data.captions import UNSAID, Caption, CaptionedSet
from training.data.digit_captions import HELD_OUT_COMBINATIONS, TRAITS, traits_of
from training.data.morphometry import measure
from training.data.training_set import some_rows
from training.evaluate.measurement import rounded
from training.metrics.clip_retrieval import nearest_captions
from training.metrics.image_metrics import among
from training.metrics.image_reference import Judged

ASKED = ("digit", "thickness", "slant")  # of every held-out prompt
FOLLOWED = "all three, among real"  # what a prompt is for: an image that shows what it asks, as real ones would


def recalled(images: Tensor, prompts: Sequence[Caption], clip: ClipCheckpoint, data: CaptionedSet) -> dict[str, float]:
    """Share of images [n, C, H, W] in 0 … 255 with which, as CLIP sees it, their own prompt goes best of all different
    ones; the same of the real images that are held out and have one of these for a caption; and by chance."""
    texts = {prompt.asks: prompt.text for prompt in prompts}
    number = {asks: index for index, asks in enumerate(texts)}
    held_out = data.held_out_captions(len(data.held_out), 0)
    real = [index for index, one in enumerate(held_out.captions) if one.asks in number]

    def share(images: Tensor, captions: Sequence[Caption]) -> float:
        nearest = nearest_captions(clip.clip(), clip, images, list(texts.values()), 1)[:, 0]
        return float(np.mean(nearest == np.array([number[one.asks] for one in captions])))

    shown, captions = data.held_out.rows[held_out.index[real]], [held_out.captions[index] for index in real]
    return {
        "prompt_recall": rounded(share(images, prompts)),
        "prompt_recall_of_real": rounded(share(shown, captions)),
        "prompt_recall_by_chance": rounded(1 / len(texts)),
    }


def share_true(images: Tensor, captions: Sequence[Caption], judged: Judged, bounds: Mapping[str, np.ndarray]) -> float:
    """Share of images [n, 1, H, W] in 0 … 255 of which all is true that their caption says.

    Where that does not say which digit, strokes are compared with those of the digit that the judge reads.
    """
    asked = np.array([one.asks for one in captions])
    _, read = judged.judge.look(images)
    traits = traits_of(read.numpy(), measure(images), bounds)
    return rounded(float(((traits == asked) | (asked == UNSAID)).all(1).mean()))


def adherence(
    images: Tensor, prompts: Sequence[Caption], judged: Judged, bounds: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Shares of images [n, 1, H, W] in 0 … 255 that show what their prompt asks for: each of ASKED, thickness and slant
    both, all three; all three among the prompts whose combination training never said; shares that lie among as many
    real images, in the judge's features, and that do so and show all three.

    Thickness and slant count where they are in the asked third *of the asked digit's* real images.
    """
    asked = np.array([prompt.asks for prompt in prompts])
    features, read = judged.judge.look(images)
    traits = traits_of(asked[:, 0], measure(images), bounds)
    right = {
        "digit": read.numpy() == asked[:, 0],
        **{name: traits[:, TRAITS.index(name)] == asked[:, TRAITS.index(name)] for name in ASKED[1:]},
    }
    right["thickness and slant"] = right["thickness"] & right["slant"]
    right["all three"] = right["digit"] & right["thickness and slant"]
    right["among real"] = among(features, some_rows(judged.train_features, len(features))).numpy()
    right[FOLLOWED] = right["all three"] & right["among real"]
    new = np.array([prompt.asks[:3] in HELD_OUT_COMBINATIONS for prompt in prompts])
    shares = {name: rounded(float(of.mean())) for name, of in right.items()}
    if new.any():
        shares["all three, new combinations"] = rounded(float(right["all three"][new].mean()))
    return shares
