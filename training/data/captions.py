"""Captioned sets: the training data of CLIP, and of denoisers conditioned on text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.vocabulary import Vocabulary
from training.data.training_set import TrainingSet

UNMENTIONED = -1  # in place of a trait that a caption does not mention


@dataclass(frozen=True)
class Caption:
    """A text about a row, and its meaning.

    traits  the value of each trait in the text; UNMENTIONED for a trait that it does not mention
    """

    text: str
    traits: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class HeldOutCaptions:
    """Held-out rows with true captions.

    index     [n] int64, the rows' indices among the held-out examples
    traits    [n, traits] int64
    captions  n
    """

    index: Tensor
    traits: Tensor
    captions: list[Caption]


class CaptionedSet(TrainingSet, Protocol):
    """A set whose `draw` gives traits in place of labels: integers that captions put into words.

    label_prompts  a prompt for each class; empty if the captions have no words for the classes
    """

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def label_prompts(self) -> tuple[str, ...]: ...

    def captions_of(self, traits: Tensor, generator: torch.Generator) -> list[Caption]:
        """A true caption for each row of traits [rows, traits], in the phrasings of training."""
        ...

    def held_out_captions(self, n: int, seed: int) -> HeldOutCaptions:
        """At most n true captions of different held-out rows, if possible in phrasings that training never uses."""
        ...

    def held_out_prompts(self, n: int, seed: int = 0) -> list[Caption]:
        """n prompts in the same phrasings."""
        ...


def tensor_of(captions: Sequence[Caption]) -> Tensor:
    """The trait values of each caption, [captions, traits] int64."""
    return torch.tensor([caption.traits for caption in captions])


def true_of(captions: Tensor, traits: Tensor) -> Tensor:
    """Which captions [m, traits] are true of which rows [n, traits], bool [n, m]: all mentioned traits match."""
    return ((captions.unsqueeze(0) == traits.unsqueeze(1)) | (captions.unsqueeze(0) == UNMENTIONED)).all(2)
