"""What CLIP understands: real images by words, words by images."""

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.clip import Clip, ClipCheckpoint
from model.prediction import diffused
from training.data.captions import CaptionedSet, tensor_of, true_of
from training.evaluate.measurement import Metrics, rounded

BATCH = 500
RETRIEVED = 1_000  # held-out captions at most, each of another held-out image


def image_vectors(clip: Clip, checkpoint: ClipCheckpoint, rows: Tensor, t: int, generator: torch.Generator) -> Tensor:
    """[n, d] of rows [n, …] in the data's own units, with noise of level t."""
    data, device = checkpoint.data, clip.device
    found = []
    for batch in rows.split(BATCH):
        noise = torch.randn(batch.shape, generator=generator)
        alpha_bar = torch.full((len(batch),), float(checkpoint.schedule.alpha_bar[t]))
        x_t = diffused(data.standardise(batch.float()), noise, alpha_bar).to(device)
        with torch.inference_mode():
            found.append(clip.encode(x_t, torch.full((len(batch),), t, device=device)).cpu())
    return torch.cat(found)


def zero_shot_prompts(checkpoint: ClipCheckpoint, data: CaptionedSet) -> Tensor | None:
    """[classes, d]; None where the captions have no words for the classes."""
    read = checkpoint.text.config.vocabulary.read
    return checkpoint.text.embed([read(prompt) for prompt in data.label_prompts]) if data.label_prompts else None


def retrieval(clip: Clip, checkpoint: ClipCheckpoint, data: CaptionedSet, *, seed: int) -> Metrics:
    """Recall of held-out captions and noiseless held-out images: is what comes first true, is any of the first five?"""
    held_out = data.held_out_captions(RETRIEVED, seed)
    vocabulary = checkpoint.text.config.vocabulary
    text = checkpoint.text.embed([vocabulary.read(one.text) for one in held_out.captions])
    rows = data.held_out.rows[held_out.index]
    images = image_vectors(clip, checkpoint, rows, 0, torch.Generator().manual_seed(seed))
    product, true = images @ text.T, true_of(tensor_of(held_out.captions), held_out.traits)
    found: Metrics = {"held_out_captions": len(rows)}
    for name, similar, right in (("caption", product, true), ("image", product.T, true.T)):
        for k in (1, 5):
            first = similar.topk(min(k, similar.shape[1]), dim=1).indices
            found[f"{name} recall at {k}"] = rounded(right.gather(1, first).any(1).double().mean().item())
    # How good would be guessing, weighed by how many are true?
    found["recall at 1 by chance"] = rounded(true.double().mean().item())
    return found


def nearest_captions(clip: Clip, checkpoint: ClipCheckpoint, images: Tensor, captions: list[str], k: int) -> np.ndarray:
    """The indices [n, k] of the captions that go best with images [n, …] in the data's own units."""
    vocabulary = checkpoint.text.config.vocabulary
    text = checkpoint.text.embed([vocabulary.read(one) for one in captions])
    vectors = image_vectors(clip, checkpoint, images, 0, torch.Generator().manual_seed(0))
    return (vectors @ text.T).topk(k, dim=1).indices.numpy()
