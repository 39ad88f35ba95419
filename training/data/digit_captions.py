"""Captions of handwritten digits: their traits in varied English."""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.vocabulary import Vocabulary
from training.data import morphometry
from training.data.captions import UNMENTIONED, Caption, HeldOutCaptions
from training.data.digits import mnist_set
from training.data.morphometry import Morphometry
from training.data.training_set import Examples, FiniteSet

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MEASURES = ("thickness", "slant", "width", "height", "length")
TRAITS = ("digit", *MEASURES)
LENGTH = 32  # words of a prompt; captions have up to about 25
EXAMPLES = (
    "a thin seven leaning right",
    "bold 3",
    "the digit eight, wide and upright",
    "a narrow four in thin strokes",
)

# The words for each third of a class, by measure. Adjectives stand before the digit, or in a list after it; phrases
# always stand after it.
ADJECTIVES: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "thickness": {
        0: ("thin", "fine", "slender", "light", "skinny"),
        1: ("medium", "regular", "medium weight"),
        2: ("bold", "thick", "heavy", "fat", "chubby"),
    },
    "slant": {
        0: ("left leaning", "left slanted"),
        1: ("upright", "straight", "vertical"),
        2: ("right leaning", "right slanted"),
    },
    "width": {0: ("narrow", "slim"), 2: ("wide", "broad")},
    "height": {0: ("short", "low"), 2: ("tall", "high")},
    "length": {},
}
PHRASES: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "thickness": {
        0: ("drawn with a thin pen", "in thin strokes"),
        1: ("drawn with a medium pen",),
        2: ("drawn with a thick pen", "in bold strokes"),
    },
    "slant": {
        0: ("leaning left", "leaning to the left", "slanted left", "slanting left", "tilted to the left"),
        1: ("standing upright", "standing straight"),
        2: ("leaning right", "leaning to the right", "slanted right", "slanting right", "tilted to the right"),
    },
    "width": {},
    "height": {},
    "length": {0: ("with a short stroke", "with a short line"), 2: ("with a long stroke", "with a long line")},
}

# {before}: adjectives; {digit}: a numeral, a word or a noun; {after}: phrases; {list}: adjectives and phrases in a row.
SEEN = (
    "{a} {before} {digit} {after}",
    "{before} {digit} {after}",
    "{digit} {after} {before}",
    "{digit}, {list}",
    "{a} {digit}, {list}",
    "the digit {digit}, {list}",
    "the number {digit}, {list}",
    "{a} {before} handwritten {digit} {after}",
    "{a} {digit} that is {list}",
    "draw {a} {before} {digit} {after}",
    "write the digit {digit}, {list}",
)
HELD_OUT = (
    "{list}: {a} {digit}",
    "{list}, the number {digit}",
    "write {a} handwritten digit {digit} that is {list}",
    "draw the number {digit} {after}, {before}",
)
NOUNS = ("digit", "number")  # in place of a digit that is not named
HOW_MANY = ((0, 0.15), (1, 0.3), (2, 0.3), (3, 0.15), (4, 0.06), (5, 0.04))  # mentioned measures, and their frequency
NAMES_THE_DIGIT = 0.92  # share of the captions

# (digit, thickness, slant): one combination for each digit that no training caption has.
HELD_OUT_COMBINATIONS = frozenset((digit, *divmod((4 * digit + 2) % 9, 3)) for digit in range(10))


def say(values: Sequence[int], templates: Sequence[str], rng: random.Random) -> Caption:
    """A caption for a value of each of TRAITS, or UNMENTIONED. Raises ValueError if there are no words for a value."""
    digit, levels = values[0], dict(zip(MEASURES, values[1:], strict=True))
    mentioned = [(measure, level) for measure, level in levels.items() if level != UNMENTIONED]
    for measure, level in mentioned:
        if not can_say(measure, level):
            raise ValueError(f"there are no words for {measure} in third {level}")
    rng.shuffle(mentioned)
    named = rng.choice(NOUNS) if digit == UNMENTIONED else rng.choice((str(digit), DIGITS[digit]))
    template = rng.choice(templates)
    before: list[str] = []
    after: list[str] = []
    for measure, level in mentioned:
        adjectives, phrases = (words[measure].get(level, ()) for words in (ADJECTIVES, PHRASES))
        word = rng.choice((*adjectives, *phrases))
        (before if word in adjectives else after).append(word)
    listed = _listed(before + after, rng)
    filled = template.format(a="{a}", digit=named, before=", ".join(before), after=" and ".join(after), list=listed)
    return Caption(_tidy(filled), tuple(values))


def can_say(measure: str, level: int) -> bool:
    """Are there words for that third of the measure?"""
    return bool(ADJECTIVES[measure].get(level) or PHRASES[measure].get(level))


def caption(traits: Sequence[int], templates: Sequence[str], rng: random.Random) -> Caption:
    """A true caption for an image with these TRAITS; it mentions some of them, and never a held-out combination."""
    mentioned = [UNMENTIONED] * len(TRAITS)
    if rng.random() < NAMES_THE_DIGIT:
        mentioned[0] = traits[0]
    sayable = [index for index, measure in enumerate(MEASURES, 1) if can_say(measure, traits[index])]
    (count,) = rng.choices([n for n, _ in HOW_MANY], [weight for _, weight in HOW_MANY])
    for index in rng.sample(sayable, min(count, len(sayable))):
        mentioned[index] = traits[index]
    if tuple(mentioned[:3]) in HELD_OUT_COMBINATIONS:
        mentioned[rng.randrange(3)] = UNMENTIONED
    return say(mentioned, templates, rng)


def held_out_prompts(n: int, seed: int = 0) -> list[Caption]:
    """n prompts for digit, thickness and slant in phrasings that training never uses.

    The first half has combinations from training, all equally often; the second half has held-out combinations.
    """
    rng = random.Random(seed)
    every = [(digit, thickness, slant) for digit in range(10) for thickness in range(3) for slant in range(3)]
    seen = [combination for combination in every if combination not in HELD_OUT_COMBINATIONS]
    unseen = sorted(HELD_OUT_COMBINATIONS)
    half = n // 2
    wanted = [seen[i % len(seen)] for i in range(half)] + [unseen[i % len(unseen)] for i in range(n - half)]
    rest = (UNMENTIONED,) * (len(TRAITS) - 3)
    return [say((*mentioned, *rest), HELD_OUT, rng) for mentioned in wanted]


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can have, sorted."""
    levels = [level for words in (ADJECTIVES, PHRASES) for measure in words.values() for level in measure.values()]
    phrases = [phrase for level in levels for phrase in level]
    templates = [re.sub(r"\{[a-z]+\}", " ", template) for template in (*SEEN, *HELD_OUT)]
    text = " ".join([*phrases, *templates, *DIGITS, *NOUNS, "a", "an", "and"])
    return tuple(sorted(set(re.findall(r"[a-z]+", text)) | {str(digit) for digit in range(10)}))


def label_words() -> tuple[tuple[str, ...], ...]:
    """The words that name each digit; the first stands for it."""
    return tuple((word, str(digit)) for digit, word in enumerate(DIGITS))


def traits_of(
    labels: NDArray[np.int64], measured: Morphometry, bounds: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.int64]:
    """The TRAITS [n, 6] of images: the label, and the third of its class (0, 1 or 2) that each measure is in.

    labels    [n]
    measured  of the n images; a blank image has UNMENTIONED for every measure
    bounds    see `CaptionedDigits.bounds`
    """
    columns = [labels]
    for measure in MEASURES:
        value, bound = getattr(measured, measure), bounds[measure][labels]
        third = (value > bound[:, 0]).astype(np.int64) + (value > bound[:, 1])
        columns.append(np.where(np.isnan(value), UNMENTIONED, third))
    return np.stack(columns, axis=1).astype(np.int64)


class CaptionedDigits:
    """MNIST with its traits in place of labels; a `CaptionedSet`."""

    vocabulary = Vocabulary(words=vocabulary(), label_words=label_words(), length=LENGTH, examples=EXAMPLES)
    label_prompts = tuple(f"the digit {word}" for word in DIGITS)

    def __init__(self, real: FiniteSet):
        self.config = real.config
        self.examples, self.held_out = real.examples, real.held_out
        self.real = real

    @cached_property
    def bounds(self) -> Mapping[str, NDArray[np.float64]]:
        """Measure → [10, 2], the lower and upper bound of the middle third of each digit's training images."""
        labels = self.examples.labels.numpy()
        return morphometry.terciles(self._measured(self.examples), labels, len(DIGITS))

    @cached_property
    def traits(self) -> Tensor:
        """The traits of the examples, int64 [n, len(TRAITS)]."""
        return self._traits(self.examples)

    @cached_property
    def held_out_traits(self) -> Tensor:
        return self._traits(self.held_out)

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.real), (rows,), generator=generator)
        return self.real.at(index, generator), self.traits[index]

    def captions_of(self, traits: Tensor, generator: torch.Generator) -> list[Caption]:
        rng = _rng(generator)
        return [caption(row, SEEN, rng) for row in traits.tolist()]

    def held_out_captions(self, n: int, seed: int) -> HeldOutCaptions:
        """At most n captions in phrasings that training never uses."""
        rng = random.Random(seed)
        index = torch.tensor(rng.sample(range(len(self.held_out)), min(n, len(self.held_out))))
        traits = self.held_out_traits[index]
        return HeldOutCaptions(index, traits, [caption(row, HELD_OUT, rng) for row in traits.tolist()])

    def held_out_prompts(self, n: int, seed: int = 0) -> list[Caption]:
        return held_out_prompts(n, seed)

    def _measured(self, examples: Examples) -> Morphometry:
        return morphometry.measure(examples.rows, keep=True)

    def _traits(self, examples: Examples) -> Tensor:
        return torch.from_numpy(traits_of(examples.labels.numpy(), self._measured(examples), self.bounds))


def captioned_mnist() -> CaptionedDigits:
    return CaptionedDigits(mnist_set())


def _rng(generator: torch.Generator) -> random.Random:
    return random.Random(int(torch.randint(2**62, (), generator=generator)))


def _listed(words: Sequence[str], rng: random.Random) -> str:
    """thin, tall and leaning right"""
    words = list(words)
    rng.shuffle(words)
    if len(words) < 2 or rng.random() < 0.3:
        return ", ".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _tidy(text: str) -> str:
    """A filled template, whose slots may be empty → clean English."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\b(?:digit|number) (digit|number)\b", r"\1", text)  # a noun in place of a digit
    text = re.sub(r"( that is|,|:)+ ?(?=$)", "", text.strip())
    text = re.sub(r"^[,: ]+", "", re.sub(r" ([,:])", r"\1", text)).strip()
    # "an" before the sound of a vowel: an eight, an 8, an upright one; "a one" has none.
    text = re.sub(r"\{a\} (?=(?:[aeiu]|8))", "an ", text)
    return text.replace("{a}", "a").strip()
