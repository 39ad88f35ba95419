"""What can be said of the rows of a set: what CLIP, and what reads its text, are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.vocabulary import Vocabulary
from training.data.training_set import TrainingSet

UNSAID = -1


@dataclass(frozen=True)
class Caption:
    """`asks` has for each trait what the text says of it; UNSAID for nothing."""

    text: str
    asks: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class HeldOutCaptions:
    """Of rows that are held out: their places there [n], their traits [n, traits], and a true caption of each."""

    index: Tensor
    traits: Tensor
    captions: list[Caption]


class CaptionedSet(TrainingSet, Protocol):
    """A set whose rows have traits, integers that captions speak of; they are drawn in place of labels.

    label_prompts  words for each class; none where the captions have none for it
    """

    vocabulary: Vocabulary
    label_prompts: tuple[str, ...]

    def captions_of(self, traits: Tensor, generator: torch.Generator) -> list[Caption]:
        """A true one for each row of traits [rows, traits], as training says it."""
        ...

    def held_out_captions(self, n: int, seed: int) -> HeldOutCaptions:
        """At most n, of different rows, in other words than training's where there are other words."""
        ...

    def held_out_prompts(self, n: int, seed: int = 0) -> list[Caption]:
        """n prompts to be followed, in the same words."""
        ...


def tensor_of(captions: Sequence[Caption]) -> Tensor:
    """What each asks, [captions, traits] int64."""
    return torch.tensor([one.asks for one in captions])


def true_of(asks: Tensor, traits: Tensor) -> Tensor:
    """Which captions [m, traits] are true of which rows [n, traits]: bool [n, m]."""
    return ((asks.unsqueeze(0) == traits.unsqueeze(1)) | (asks.unsqueeze(0) == UNSAID)).all(2)
