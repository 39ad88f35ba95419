"""A prompt → the words of a closed vocabulary that are in it, and those that are not."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from pydantic import Field, model_validator

from model.strict_config import StrictConfig

PADDING, UNKNOWN = 0, 1  # tokens; those of the vocabulary's words follow
SPECIAL = 2


MOST_WORDS = 10_000  # of a vocabulary
LONGEST = 256  # words of a prompt
NAMED, LISTED = 200, 20  # words that an error lists, known and unknown ones
WHITE = "\t\n\r"  # of the control characters, what people write
SAY_NOTHING = frozenset({"a", "an", "and", "at", "by", "in", "is", "it", "of", "on", "or", "that", "the", "to", "with"})
"""Words that tell nothing alone: where no other is known, a prompt is not understood."""
CONTROL = ("Cc", "Cs")  # categories of Unicode: control characters, and halves of a character


def words_of(text: str) -> list[str]:
    """Letters in runs, in lower case (an apostrophe belongs to its word); digits one by one: 77 is two sevens."""
    plain = unicodedata.normalize("NFKC", text).casefold()  # a full-width ７ is a 7
    return re.findall(r"\d|[^\W\d_]+(?:['’][^\W\d_]+)*", plain)


class PromptError(ValueError):
    """A prompt that cannot be understood; the message says why, and what would be."""


class Vocabulary(StrictConfig):
    """What a text encoder reads.

    words        lower case; a digit is a word of its own
    label_words  for each class the words that name it, the first of which stands for it
    length       words that a prompt may have at most, unknown ones counted
    examples     of what is understood, for whoever was not
    """

    words: tuple[str, ...] = Field(min_length=1, max_length=MOST_WORDS)
    label_words: tuple[tuple[str, ...], ...] = ()
    length: int = Field(32, ge=1, le=LONGEST)
    examples: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Vocabulary":
        words = set(self.words)
        if len(words) != len(self.words):
            raise ValueError("a word is there twice")
        unknown = [word for names in self.label_words for word in names if word not in words]
        if unknown or not all(self.label_words):
            raise ValueError(
                f"label_words: each label has at least one, of the vocabulary (unknown: {unknown[:LISTED]})"
            )
        return self

    @property
    def tokens(self) -> int:
        return len(self.words) + SPECIAL

    @cached_property
    def _tokens(self) -> dict[str, int]:
        return {word: SPECIAL + index for index, word in enumerate(self.words)}

    def read(self, prompt: str) -> "Words":
        """Raises PromptError for control characters, too many words, and where no word that says something is known."""
        if any(unicodedata.category(c) in CONTROL and c not in WHITE for c in prompt):
            raise PromptError(f"it has control characters; such prompts are understood: {self._such_as()}")
        found = words_of(prompt)
        if len(found) > self.length:
            raise PromptError(f"it has {len(found)} words; at most {self.length} are read")
        known = self._tokens
        tokens = tuple(known.get(word, UNKNOWN) for word in found)
        labels = {label for label, names in enumerate(self.label_words) if set(names) & set(found)}
        if not labels and all(word in SAY_NOTHING or word not in known for word in found):
            but = f" but “{small}”" if (small := next((word for word in found if word in known), None)) else ""
            some = ", ".join(self.words[:NAMED]) + (f" … ({len(self.words):,} in all)" * (len(self.words) > NAMED))
            raise PromptError(f"no word of it is known{but}; understood are, such as {self._such_as()}: {some}")
        unknown = tuple(dict.fromkeys(word for word in found if word not in known))
        return Words(tuple(found), tokens, unknown, tuple(sorted(labels)))

    def _such_as(self) -> str:
        return " or ".join(f"“{example}”" for example in self.examples[:2]) or ", ".join(self.words[:5])


@dataclass(frozen=True)
class Words:
    """A prompt as it was read.

    words    of the prompt, normalised
    tokens   one a word; UNKNOWN for those that are not in the vocabulary
    unknown  the words of which nothing is understood, each once
    labels   the classes that it names, ascending
    """

    words: tuple[str, ...]
    tokens: tuple[int, ...]
    unknown: tuple[str, ...]
    labels: tuple[int, ...]
