"""A recipe in the making: every value with the reason for it, and its TOML with both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 120  # characters of a line; a longer comment stands above its value

Value = str | int | float | bool | Sequence["Value"]
"""What TOML can hold, except tables."""


@dataclass(frozen=True)
class Choice:
    """A value, and why it was chosen."""

    value: Value
    why: str = ""


Choices = dict[str, Choice]


@dataclass(frozen=True)
class Section:
    """A table of the recipe; `why` is the reason for all of it."""

    choices: Choices
    why: str = ""


@dataclass(frozen=True)
class Draft:
    """A recipe: the values at its head, and its sections by name."""

    head: Choices
    sections: dict[str, Section] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """The values alone, as `tomllib` reads them."""
        return {**plain(self.head), **{name: plain(section.choices) for name, section in self.sections.items()}}

    def to_toml(self) -> str:
        """The recipe as text: the head, then a table for each section."""
        lines = _lines(self.head)
        for name, section in self.sections.items():
            lines += ["", *_commented(f"[{name}]", section.why), *_lines(section.choices)]
        return "\n".join(lines) + "\n"


def plain(choices: Choices) -> dict[str, Value]:
    """The values alone."""
    return {key: choice.value for key, choice in choices.items()}


def comment(text: str) -> str:
    """A comment on one line; control characters are escaped, as TOML allows none in comments."""
    printable = (
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    return f"# {''.join(printable)}"


def _lines(choices: Mapping[str, Choice]) -> list[str]:
    return [
        line for key, choice in choices.items() for line in _commented(f"{key} = {_value(choice.value)}", choice.why)
    ]


def _commented(line: str, why: str) -> list[str]:
    if not why:
        return [line]
    whole = f"{line} {comment(why)}"
    return [whole] if len(whole) <= WIDTH else [comment(why), line]


def _value(value: Value) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON's strings, numbers and booleans are TOML's, except for one control character that JSON does not escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
