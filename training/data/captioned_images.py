"""Images with captions that somebody wrote: two that say the same are true of the same images."""

from collections import Counter

import torch
from torch import Tensor

from model.vocabulary import LONGEST, MOST_WORDS, PromptError, Vocabulary, words_of
from training.data.captions import Caption, HeldOutCaptions
from training.data.training_set import DataError, Examples, FiniteSet

LENGTH = 32  # words of a prompt, where no caption is longer
EXAMPLES, SHORT = 4, 100  # captions that are given as examples: so many, of so many characters at most
FEWEST = 2  # different captions: of one there is nothing to learn


class CaptionedImages:
    """A `CaptionedSet` of one trait: which of the different captions an image has. Images without one are not drawn.

    Raises DataError where there are none to learn from, or one is too long.
    """

    def __init__(self, real: FiniteSet):
        self.config = real.config
        self.examples, self.held_out = real.examples, real.held_out
        self._real = real
        self.vocabulary = _vocabulary(real)
        self._texts: list[str] = []  # each different caption, as it is first written
        number: dict[tuple[str, ...], int] = {}

        def numbered(of: Examples) -> tuple[Tensor, Tensor]:
            """(places of the rows whose caption can be read [n], which caption each has [n, 1])"""
            places, numbers = [], []
            for place, text in enumerate(of.captions):
                if not _readable(text, self.vocabulary):
                    continue
                words = tuple(words_of(text))
                if words not in number:
                    number[words] = len(self._texts)
                    self._texts.append(text)
                places.append(place)
                numbers.append(number[words])
            return torch.tensor(places, dtype=torch.int64), torch.tensor(numbers, dtype=torch.int64).unsqueeze(1)

        self._places, self._numbers = numbered(real.examples)
        if len(self._texts) < FEWEST:
            raise DataError(f"{self.config.dataset}: at least {FEWEST} different captions are needed to learn from")
        self._held_out_places, self._held_out_numbers = numbered(real.held_out)
        if not len(self._held_out_places):
            raise DataError(
                f"{self.config.dataset}: no image that is held out has a caption to measure with: give more images one"
            )
        named = [name for name in self.config.labels if _readable(name, self.vocabulary, whole=True)]
        self.label_prompts = self.config.labels if len(named) == len(self.config.labels) else ()

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self._places), (rows,), generator=generator)
        return self._real.at(self._places[index], generator), self._numbers[index]

    def captions_of(self, traits: Tensor, generator: torch.Generator) -> list[Caption]:
        return [Caption(self._texts[number], (number,)) for number in traits[:, 0].tolist()]

    def held_out_captions(self, n: int, seed: int) -> HeldOutCaptions:
        """Those that the held-out images have."""
        order = torch.randperm(len(self._held_out_places), generator=torch.Generator().manual_seed(seed))[:n]
        traits = self._held_out_numbers[order]
        return HeldOutCaptions(self._held_out_places[order], traits, self.captions_of(traits, torch.Generator()))

    def held_out_prompts(self, n: int, seed: int = 0) -> list[Caption]:
        """Over and over, where there are fewer."""
        captions = self.held_out_captions(len(self._held_out_places), seed).captions
        return [captions[i % len(captions)] for i in range(n)]


def captioned_images(real: FiniteSet) -> CaptionedImages:
    """Raises DataError where nothing is said of them."""
    if not real.examples.captions:
        raise DataError(
            f"{real.config.dataset} has no captions: for images they are lines of metadata.jsonl in their folder, "
            f'{{"file_name": "rose.png", "text": "a red rose"}} each'
        )
    return CaptionedImages(real)


def _vocabulary(real: FiniteSet) -> Vocabulary:
    """The words of the captions that are trained on; of very many the most frequent ones."""
    for of in (real.examples, real.held_out):
        for name, text in zip(of.names, of.captions, strict=True):
            if len(words_of(text)) > LONGEST:
                raise DataError(f"{name}: its caption has more than {LONGEST} words: shorten it")
    said = Counter(" ".join(text.split()) for text in real.examples.captions if text)
    counts: Counter[str] = Counter()
    for text, count in said.items():
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
            [text for text, _ in said.most_common() if len(text) <= SHORT][:EXAMPLES] or [min(said, key=len)]
        ),
    )


def _readable(text: str, vocabulary: Vocabulary, *, whole: bool = False) -> bool:
    """Is a word of it known; or all of them?"""
    try:
        return not (vocabulary.read(text).unknown and whole)
    except PromptError:
        return False
