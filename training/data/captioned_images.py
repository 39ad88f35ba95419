"""Own images with captions: captions of the same words are true of the same images."""

from collections import Counter

import torch
from torch import Tensor

from model.vocabulary import LONGEST, MOST_WORDS, PromptError, Vocabulary, words_of
from training.data.captions import Caption, HeldOutCaptions
from training.data.training_set import DataError, Examples, FiniteSet

LENGTH = 32  # words of a prompt, unless a caption is longer
EXAMPLES, SHORT = 4, 100  # captions that serve as examples: their number, and their characters at most
FEWEST = 2  # different captions: from one there is nothing to learn


class CaptionedImages:
    """A `CaptionedSet` with one trait: the number of the image's caption. Images without a caption are left out.

    Raises DataError if there are too few different captions, or one is too long.
    """

    def __init__(self, real: FiniteSet):
        self.config = real.config
        self.examples, self.held_out = real.examples, real.held_out
        self.real = real
        self.vocabulary = _vocabulary(real)
        self._texts: list[str] = []  # each different caption, as first written
        number: dict[tuple[str, ...], int] = {}

        def numbered(examples: Examples) -> tuple[Tensor, Tensor]:
            """(indices of the rows with a readable caption [n], the number of each one's caption [n, 1])"""
            indices, numbers = [], []
            for index, text in enumerate(examples.captions):
                if not _readable(text, self.vocabulary):
                    continue
                words = tuple(words_of(text))
                if words not in number:
                    number[words] = len(self._texts)
                    self._texts.append(text)
                indices.append(index)
                numbers.append(number[words])
            return torch.tensor(indices, dtype=torch.int64), torch.tensor(numbers, dtype=torch.int64).unsqueeze(1)

        self._indices, self._numbers = numbered(real.examples)
        if len(self._texts) < FEWEST:
            raise DataError(f"{self.config.dataset}: at least {FEWEST} different captions are needed to learn from")
        self._held_out_indices, self._held_out_numbers = numbered(real.held_out)
        if not len(self._held_out_indices):
            raise DataError(
                f"{self.config.dataset}: no image that is held out has a caption to measure with: give more images one"
            )
        named = [name for name in self.config.labels if _readable(name, self.vocabulary, whole=True)]
        self.label_prompts = self.config.labels if len(named) == len(self.config.labels) else ()

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self._indices), (rows,), generator=generator)
        return self.real.at(self._indices[chosen], generator), self._numbers[chosen]

    def captions_of(self, traits: Tensor, generator: torch.Generator) -> list[Caption]:
        return [Caption(self._texts[number], (number,)) for number in traits[:, 0].tolist()]

    def held_out_captions(self, n: int, seed: int) -> HeldOutCaptions:
        """The captions of at most n held-out images, in a random order."""
        order = torch.randperm(len(self._held_out_indices), generator=torch.Generator().manual_seed(seed))[:n]
        traits = self._held_out_numbers[order]
        return HeldOutCaptions(self._held_out_indices[order], traits, self.captions_of(traits, torch.Generator()))

    def held_out_prompts(self, n: int, seed: int = 0) -> list[Caption]:
        """n captions of held-out images; they repeat if there are fewer."""
        captions = self.held_out_captions(len(self._held_out_indices), seed).captions
        return [captions[i % len(captions)] for i in range(n)]


def captioned_images(real: FiniteSet) -> CaptionedImages:
    """Raises DataError if the images have no captions, or too few to learn from."""
    if not real.examples.captions:
        raise DataError(
            f"{real.config.dataset} has no captions: for images they are lines of metadata.jsonl in their folder, "
            f'{{"file_name": "rose.png", "text": "a red rose"}} each'
        )
    return CaptionedImages(real)


def _vocabulary(real: FiniteSet) -> Vocabulary:
    """The words of the training captions; the most frequent ones if there are very many."""
    for examples in (real.examples, real.held_out):
        for name, text in zip(examples.names, examples.captions, strict=True):
            if len(words_of(text)) > LONGEST:
                raise DataError(f"{name}: its caption has more than {LONGEST} words: shorten it")
    captions = Counter(" ".join(text.split()) for text in real.examples.captions if text)
    counts: Counter[str] = Counter()
    for text, count in captions.items():
        counts.update({word: count for word in words_of(text)})
    if not counts:
        raise DataError(f"{real.config.dataset}: there are no words in its captions")
    words = sorted(word for word, _ in counts.most_common(MOST_WORDS))
    longest = max(len(words_of(text)) for text in (*real.examples.captions, *real.held_out.captions))
    names = tuple(tuple(words_of(label)) for label in real.config.labels)
    known = set(words)
    one_word = all(len(name) == 1 and name[0] in known for name in names) and len(set(names)) == len(names)
    return Vocabulary(
        words=tuple(words),
        label_words=names if one_word else (),
        length=max(LENGTH, longest),
        examples=tuple(
            [text for text, _ in captions.most_common() if len(text) <= SHORT][:EXAMPLES] or [min(captions, key=len)]
        ),
    )


def _readable(text: str, vocabulary: Vocabulary, *, whole: bool = False) -> bool:
    """Is a word of the text in the vocabulary; with `whole`, are all of them?"""
    try:
        return not (vocabulary.read(text).unknown and whole)
    except PromptError:
        return False
