"""Prompts are read by a closed vocabulary; their vectors are their own."""

import pytest
import torch
from pydantic import ValidationError

from model.vocabulary import UNKNOWN, PromptError, Vocabulary
from tests.tiny import TEXT, tiny_text

WORDS = TEXT.vocabulary


def tokens(prompt: str) -> list[str]:
    return [WORDS.words[token - 2] if token != UNKNOWN else "?" for token in WORDS.read(prompt).tokens]


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("thin seven", ["thin", "seven"]),
        ("  Thin,\tSEVEN!\n", ["thin", "seven"]),
        ("bold-7", ["bold", "7"]),
        ("77", ["7", "7"]),
        ("a bold ７", ["?", "bold", "7"]),  # full width
        ("don't thin it", ["?", "thin", "?"]),  # an apostrophe belongs to its word
        ("тонкая 7 🙂", ["?", "7"]),
        ("thin\u200bseven", ["thin", "seven"]),  # a zero-width space
    ],
)
def test_a_prompt_is_read_as_words_and_digits(prompt, read):
    assert tokens(prompt) == read


def test_what_is_not_understood_is_told_once_and_in_order():
    assert WORDS.read("very thin or VERY bold 3").unknown == ("very", "or")
    assert WORDS.read("thin 3").unknown == ()


def test_the_classes_that_a_prompt_names():
    assert WORDS.read("the digit 7").labels == WORDS.read("seven").labels == (7,)
    assert WORDS.read("3 or seven").labels == (3, 7)
    assert WORDS.read("thin").labels == ()


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "no word of it is known"),
        (" \n\t", "no word of it is known"),
        ("hello there", "thin seven"),  # an example of what is understood
        ("🙂", "no word of it is known"),
        ("the purple elephant", "no word of it is known but “the”"),
        ("the", "no word of it is known but “the”"),
        ("thin\x00 7", "control characters"),
        ("\x1b[31mthin 7", "control characters"),
        ("thin\x0b7", "control characters"),
        ("thin\x1c7", "control characters"),
        ("thin\x857", "control characters"),
        ("thin \ud83d 7", "control characters"),  # half a surrogate pair
        ("7 " * 7, "at most 6"),
    ],
)
def test_what_cannot_be_understood_says_why(prompt, says):
    with pytest.raises(PromptError, match=says):
        WORDS.read(prompt)


def test_a_class_may_have_a_small_words_name():
    switch = Vocabulary(words=("on", "off"), label_words=(("on",), ("off",)))
    assert switch.read("on").labels == (0,)


@pytest.mark.parametrize("wrong", [{"words": ("a", "a")}, {"words": ("a",), "label_words": (("b",),)}, {"words": ()}])
def test_a_vocabulary_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValidationError):
        Vocabulary(**wrong)


def test_a_prompts_vector_is_its_own_whatever_stands_beside_it():
    encoder = tiny_text()
    prompts = [WORDS.read(text) for text in ("7", "thin seven", "the bold digit 3 left", "right right right right")]
    together = encoder.embed(prompts)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))
    for row, prompt in zip(together, prompts, strict=True):
        torch.testing.assert_close(encoder.embed([prompt])[0], row)
    assert torch.equal(encoder.embed([prompts[1]]), encoder.embed([WORDS.read("THIN  seven.")]))


def test_the_order_of_words_counts():
    encoder = tiny_text()
    one, other = encoder.embed([WORDS.read("left 7 right 3"), WORDS.read("right 7 left 3")])
    assert (one - other).norm() > 1e-3
