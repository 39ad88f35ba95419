"""What is said of an image is true of it, and what is held out is never said."""

import random
import re

import numpy as np
import pytest
import torch

from model.vocabulary import UNKNOWN, Vocabulary
from training.data import digit_captions as captions
from training.data.captions import UNMENTIONED, true_of
from training.data.digit_captions import (
    HELD_OUT,
    HELD_OUT_COMBINATIONS,
    MEASURES,
    SEEN,
    CaptionedDigits,
    caption,
    say,
)
from training.data.digits import CONFIG
from training.data.morphometry import Morphometry
from training.data.training_set import Examples, FiniteSet

WORDS = Vocabulary(words=captions.vocabulary(), label_words=captions.label_words(), length=32)
# Words that mean one third of one measure and nothing else.
TELLING = {
    word: (measure, level)
    for words in (captions.ADJECTIVES, captions.PHRASES)
    for measure, levels in words.items()
    for level, phrases in levels.items()
    for word in phrases
}


def drawn(n: int, templates=SEEN, seed: int = 0):
    rng = random.Random(seed)
    for _ in range(n):
        traits = (rng.randrange(10), *(rng.randrange(3) for _ in MEASURES))
        yield traits, caption(traits, templates, rng)


def test_a_caption_says_only_what_is_true_and_all_that_it_claims():
    for traits, said in drawn(3000):
        asks = dict(zip(captions.TRAITS, said.traits, strict=True))
        assert all(level in (UNMENTIONED, trait) for level, trait in zip(said.traits, traits, strict=True))
        named = WORDS.read(said.text).labels
        assert named == (() if asks["digit"] == UNMENTIONED else (asks["digit"],))
        longest = sorted(TELLING, key=len, reverse=True)
        text, found = said.text, {}
        for words in longest:  # "drawn with a thin pen" before "thin"
            if re.search(rf"\b{words}\b", text):
                measure, level = TELLING[words]
                found[measure] = level
                text = re.sub(rf"\b{words}\b", "", text)
        assert found == {measure: asks[measure] for measure in MEASURES if asks[measure] != UNMENTIONED}, said.text


def test_captions_are_varied_clean_and_of_the_vocabulary():
    texts = [said.text for templates in (SEEN, HELD_OUT) for _, said in drawn(2000, templates)]
    assert len(set(texts)) > 2500
    for text in texts:
        assert UNKNOWN not in WORDS.read(text).tokens
        assert not re.search(r"\s\s|^\W|[,:]$|[{}]| [,:]|,,|^a [aeiu8]|\ba 8", text), text


def test_held_out_combinations_are_never_said_in_training():
    assert len(HELD_OUT_COMBINATIONS) == 10
    said = [one.traits[:3] for _, one in drawn(20_000)]
    assert not HELD_OUT_COMBINATIONS & set(said)
    complete = {asks for asks in said if UNMENTIONED not in asks}
    assert len(complete) == 90 - 10  # every other one is


def test_held_out_prompts_ask_for_all_three_in_other_phrasings_half_of_them_new():
    prompts = captions.held_out_prompts(2000)
    assert prompts == captions.held_out_prompts(2000)
    assert all(UNMENTIONED not in one.traits[:3] and set(one.traits[3:]) == {UNMENTIONED} for one in prompts)
    new = [one.traits[:3] in HELD_OUT_COMBINATIONS for one in prompts]
    assert sum(new) == 1000
    assert np.ptp(np.bincount([one.traits[0] for one in prompts])) <= 30  # digits alike often
    assert not set(HELD_OUT) & set(SEEN)


def test_what_there_are_no_words_for_is_refused():
    with pytest.raises(ValueError, match="no words for height"):
        say((3, UNMENTIONED, UNMENTIONED, UNMENTIONED, 1, UNMENTIONED), SEEN, random.Random(0))


def test_a_caption_is_true_of_every_image_that_has_all_it_asks_for():
    traits = torch.tensor([[7, 0, 2, 1, 1, 1], [7, 0, 1, 1, 1, 1], [3, 0, 2, 0, 0, 0]])
    asks = torch.tensor([[7, 0, 2, -1, -1, -1], [-1, 0, -1, -1, -1, -1], [7, -1, -1, -1, -1, -1], [-1] * 6])
    assert true_of(asks, traits).tolist() == [
        [True, True, True, True],
        [False, True, True, True],
        [False, True, False, True],
    ]


def test_traits_are_the_thirds_of_the_images_own_class():
    measured = Morphometry(*[np.array([1.0, 5.0, 9.0, 5.0])] * 5)
    bounds = dict.fromkeys(MEASURES, np.array([[4.0, 6.0], [6.0, 8.0]]))
    traits = captions.traits_of(np.array([0, 0, 0, 1]), measured, bounds)
    assert traits.tolist() == [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1], [0, 2, 2, 2, 2, 2], [1, 0, 0, 0, 0, 0]]


def test_the_same_generator_the_same_captions():
    traits = torch.tensor([[7, 0, 2, 1, 1, 1]]).expand(20, -1)
    say = CaptionedDigits(FiniteSet(CONFIG, Examples(traits, traits), Examples(traits, traits))).captions_of
    one, other = (say(traits, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one == other
    assert one != say(traits, torch.Generator().manual_seed(4))
