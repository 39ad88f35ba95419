"""Prompt adherence: does an image show what its prompt requests?

For digits the judge reads the digit, and morphometry measures the strokes. For own data CLIP picks the nearest caption.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoints.clip import ClipCheckpoint
from training.data.captions import UNMENTIONED, Caption, CaptionedSet
from training.data.digit_captions import HELD_OUT_COMBINATIONS, TRAITS, traits_of
from training.data.morphometry import measure
from training.data.training_set import some_rows
from training.evaluate.measurement import rounded
from training.metrics.clip_retrieval import nearest_captions
from training.metrics.image_metrics import among
from training.metrics.image_reference import Judged

PROMPTED_TRAITS = ("digit", "thickness", "slant")  # the traits that every held-out prompt requests
FOLLOWED = "all three, among real"  # the image shows the requested traits and lies among real images


def recalled(images: Tensor, prompts: Sequence[Caption], clip: ClipCheckpoint, data: CaptionedSet) -> dict[str, float]:
    """The share of images whose nearest prompt by CLIP is their own; also of real images, and by chance.

    images   [n, C, H, W] in 0 … 255
    prompts  [n], captions of held-out images; the real images are those that these captions describe
    """
    texts = {prompt.traits: prompt.text for prompt in prompts}
    number = {traits: index for index, traits in enumerate(texts)}
    held_out = data.held_out_captions(len(data.held_out), 0)
    real = [index for index, caption in enumerate(held_out.captions) if caption.traits in number]

    def share(images: Tensor, captions: Sequence[Caption]) -> float:
        nearest = nearest_captions(clip.clip(), clip, images, list(texts.values()), 1)[:, 0]
        return float(np.mean(nearest == np.array([number[caption.traits] for caption in captions])))

    real_images, captions = data.held_out.rows[held_out.index[real]], [held_out.captions[index] for index in real]
    return {
        "prompt_recall": rounded(share(images, prompts)),
        "prompt_recall_of_real": rounded(share(real_images, captions)),
        "prompt_recall_by_chance": rounded(1 / len(texts)),
    }


def share_true(
    images: Tensor, captions: Sequence[Caption], judged: Judged, bounds: Mapping[str, NDArray[np.float64]]
) -> float:
    """The share of images for which their caption is true in every trait that it mentions.

    images    [n, 1, H, W] in 0 … 255
    captions  [n]
    bounds    see `CaptionedDigits.bounds`; the strokes' thirds are those of the digit that the judge reads
    """
    requested = np.array([caption.traits for caption in captions])
    _, digits = judged.judge.look(images)
    traits = traits_of(digits.numpy(), measure(images), bounds)
    return rounded(float(((traits == requested) | (requested == UNMENTIONED)).all(1).mean()))


def adherence(
    images: Tensor, prompts: Sequence[Caption], judged: Judged, bounds: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """The shares of images that show what their prompt requests.

    images   [n, 1, H, W] in 0 … 255
    prompts  [n], each with digit, thickness and slant
    bounds   see `CaptionedDigits.bounds`; thickness and slant count in thirds of the *requested* digit's real images

    The shares are of each trait, of thickness and slant both, and of all three. "among real" counts images that lie
    among as many real images in the judge's features; FOLLOWED counts images with both. If some prompts have a
    combination that no training caption has, there is also the share of all three among these.
    """
    requested = np.array([prompt.traits for prompt in prompts])
    features, digits = judged.judge.look(images)
    traits = traits_of(requested[:, 0], measure(images), bounds)
    correct: dict[str, NDArray[np.bool_]] = {
        "digit": digits.numpy() == requested[:, 0],
        **{name: traits[:, TRAITS.index(name)] == requested[:, TRAITS.index(name)] for name in PROMPTED_TRAITS[1:]},
    }
    correct["thickness and slant"] = correct["thickness"] & correct["slant"]
    correct["all three"] = correct["digit"] & correct["thickness and slant"]
    correct["among real"] = among(features, some_rows(judged.train_features, len(features))).numpy()
    correct[FOLLOWED] = correct["all three"] & correct["among real"]
    new = np.array([prompt.traits[:3] in HELD_OUT_COMBINATIONS for prompt in prompts])
    shares = {name: rounded(float(of_images.mean())) for name, of_images in correct.items()}
    if new.any():
        shares["all three, new combinations"] = rounded(float(correct["all three"][new].mean()))
    return shares
