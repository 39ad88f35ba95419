"""A request's prompt, with the label beside it → the words that a text encoder reads."""

from model.vocabulary import SAY_NOTHING, PromptError, Vocabulary, Words
from service.http.problems import invalid
from service.requests.labels import class_number


def parse_prompt(vocabulary: Vocabulary, prompt: str, label: int | str | list[int | str] | None) -> tuple[str, Words]:
    """(the prompt, its words). The label is put into words, unless the prompt says it already.

    Raises Problem (422) for a prompt without a known word, and for a label that does not go with it.
    """
    try:
        words = vocabulary.read(prompt)
        if label is None:
            return prompt, words
        if isinstance(label, list):
            raise invalid("label", "one for all samples, where there is a prompt; or leave it away", label)
        if not vocabulary.label_words:
            raise invalid("label", "this model reads words and knows no classes: leave it away", label)
        number = class_number(label, tuple(names[0] for names in vocabulary.label_words))
        if not words.labels:
            prompt = f"{prompt} {vocabulary.label_words[number][0]}"
            return prompt, vocabulary.read(prompt)
    except PromptError as error:
        raise invalid("prompt", str(error), prompt) from error
    if words.labels != (number,):
        says = " and ".join(vocabulary.label_words[one][0] for one in words.labels)
        raise invalid("label", f"the prompt says {says}, the label something else: leave one away", label)
    return prompt, words


def class_named(vocabulary: Vocabulary, prompt: str) -> tuple[str, ...]:
    """What the class is called that the prompt names, where it says nothing besides: "7" or "a seven"; else nothing."""
    try:
        words = vocabulary.read(prompt)
    except PromptError:
        return ()
    if len(words.labels) != 1:
        return ()
    names = vocabulary.label_words[words.labels[0]]
    return names if set(words.words) <= {*names, *SAY_NOTHING} else ()
