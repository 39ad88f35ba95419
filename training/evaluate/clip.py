"""What CLIP understands: real images by words, words by images."""

import random

import numpy as np
import torch
from torch import Tensor

from model.clip import Clip, ClipCheckpoint
from model.prediction import diffused
from training.data.captions import HELD_OUT, caption, captioned_mnist, tensor_of, true_of

BATCH = 500
ZERO_SHOT = "the digit {}"  # one prompt a class
RETRIEVED = 1_000  # held-out captions, each of another test image


def image_vectors(clip: Clip, checkpoint: ClipCheckpoint, rows: Tensor, t: int, generator: torch.Generator) -> Tensor:
    """[n, d] of rows [n, …] in the data's own units, with noise of level t."""
    data, device = checkpoint.data, clip.device
    found = []
    for batch in rows.split(BATCH):
        noise = torch.randn(batch.shape, generator=generator)
        alpha_bar = torch.full((len(batch),), float(checkpoint.schedule.alpha_bar[t]))
        x_t = diffused(data.standardise(batch.float()), noise, alpha_bar).to(device)
        with torch.inference_mode():
            found.append(clip.read(x_t, torch.full((len(batch),), t, device=device)).cpu())
    return torch.cat(found)


def zero_shot_prompts(checkpoint: ClipCheckpoint) -> Tensor:
    """[classes, d]"""
    vocabulary = checkpoint.text.config.vocabulary
    return checkpoint.text.embed([vocabulary.read(ZERO_SHOT.format(names[0])) for names in vocabulary.label_words])


def retrieval(clip: Clip, checkpoint: ClipCheckpoint, *, seed: int) -> dict[str, float]:
    """Recall of held-out phrasings and noiseless test images: is what comes first true, is any of the first five?"""
    digits = captioned_mnist(train=False)
    rng = random.Random(seed)
    index = torch.tensor(rng.sample(range(len(digits.digits)), min(RETRIEVED, len(digits.digits))))
    traits = digits.traits[index]
    captions = [caption(row, HELD_OUT, rng) for row in traits.tolist()]
    vocabulary = checkpoint.text.config.vocabulary
    text = checkpoint.text.embed([vocabulary.read(one.text) for one in captions])
    images = image_vectors(clip, checkpoint, digits.digits.images[index], 0, torch.Generator().manual_seed(seed))
    product, true = images @ text.T, true_of(tensor_of(captions), traits)
    found = {}
    for name, similar, right in (("caption", product, true), ("image", product.T, true.T)):
        for k in (1, 5):
            first = similar.topk(k, dim=1).indices
            found[f"{name} recall at {k}"] = right.gather(1, first).any(1).double().mean().item()
    # How good would be guessing, weighed by how many are true?
    found["recall at 1 by chance"] = true.double().mean().item()
    return found


def nearest_captions(clip: Clip, checkpoint: ClipCheckpoint, images: Tensor, captions: list[str], k: int) -> np.ndarray:
    """The indices [n, k] of the captions that go best with images [n, …] in the data's own units."""
    vocabulary = checkpoint.text.config.vocabulary
    text = checkpoint.text.embed([vocabulary.read(one) for one in captions])
    vectors = image_vectors(clip, checkpoint, images, 0, torch.Generator().manual_seed(0))
    return (vectors @ text.T).topk(k, dim=1).indices.numpy()
