"""CLIP on real data: retrieval of captions by images and of images by captions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoints.clip import Clip, ClipCheckpoint
from model.prediction import diffused
from training.data.captions import CaptionedSet, tensor_of, true_of
from training.evaluate.measurement import Metrics, rounded

BATCH = 500
RETRIEVED = 1_000  # held-out captions at most, each for a different held-out image


def image_vectors(clip: Clip, checkpoint: ClipCheckpoint, rows: Tensor, t: int, generator: torch.Generator) -> Tensor:
    """CLIP's vectors [n, d] of images, noised to time t.

    rows       [n, C, H, W] in 0 … 255
    generator  of the noise
    """
    data, device = checkpoint.data, clip.device
    vectors = []
    for batch in torch.split(rows, BATCH):
        noise = torch.randn(batch.shape, generator=generator)
        alpha_bar = torch.full((len(batch),), float(checkpoint.schedule.alpha_bar[t]))
        x_t = diffused(data.standardise(batch.float()), noise, alpha_bar).to(device)
        with torch.inference_mode():
            vectors.append(clip.encode(x_t, torch.full((len(batch),), t, device=device)).cpu())
    return torch.cat(vectors)


def zero_shot_prompts(checkpoint: ClipCheckpoint, data: CaptionedSet) -> Tensor | None:
    """The text vectors [classes, d] of each class's prompt; None if the captions have no words for the classes."""
    return _text_vectors(checkpoint, data.label_prompts) if data.label_prompts else None


def _text_vectors(checkpoint: ClipCheckpoint, texts: Sequence[str]) -> Tensor:
    """[n, d]"""
    vocabulary = checkpoint.text.config.vocabulary
    return checkpoint.text.embed([vocabulary.read(text) for text in texts])


def retrieval(clip: Clip, checkpoint: ClipCheckpoint, data: CaptionedSet, *, seed: int) -> Metrics:
    """Recall at 1 and at 5 between held-out captions and held-out images without noise.

    Recall at k is the share of queries with a true match among the k nearest results.
    """
    held_out = data.held_out_captions(RETRIEVED, seed)
    text = _text_vectors(checkpoint, [caption.text for caption in held_out.captions])
    rows = data.held_out.rows[held_out.index]
    images = image_vectors(clip, checkpoint, rows, 0, torch.Generator().manual_seed(seed))
    similarity, true = images @ text.T, true_of(tensor_of(held_out.captions), held_out.traits)
    metrics: Metrics = {"held_out_captions": len(rows)}
    for name, scores, matches in (("caption", similarity, true), ("image", similarity.T, true.T)):
        for k in (1, 5):
            first = scores.topk(min(k, scores.shape[1]), dim=1).indices
            metrics[f"{name} recall at {k}"] = rounded(matches.gather(1, first).any(1).double().mean().item())
    # A random guess is right as often as a caption is true of an image.
    metrics["recall at 1 by chance"] = rounded(true.double().mean().item())
    return metrics


def nearest_captions(
    clip: Clip, checkpoint: ClipCheckpoint, images: Tensor, captions: list[str], k: int
) -> NDArray[np.int64]:
    """The indices [n, k] of the k captions that are most similar to each image [n, C, H, W] in 0 … 255."""
    text = _text_vectors(checkpoint, captions)
    vectors = image_vectors(clip, checkpoint, images, 0, torch.Generator().manual_seed(0))
    indices: NDArray[np.int64] = (vectors @ text.T).topk(k, dim=1).indices.numpy()
    return indices
