"""A recipe as it is being made: every value with the reason for it, and the TOML that says both."""

import json
from dataclasses import dataclass
from typing import Any

WIDTH = 120  # of a line, before its comment moves above it

SECTION_REASON = ""  # the key under which a section keeps the reason for all of it


@dataclass(frozen=True)
class Choice:
    value: Any
    why: str = ""


Choices = dict[str, "Choice | Choices"]


def plain(choices: Choices) -> dict[str, Any]:
    """The values alone, as `tomllib` would read them."""
    return {
        key: choice.value if isinstance(choice, Choice) else plain(choice)
        for key, choice in choices.items()
        if key != SECTION_REASON
    }


def to_toml(choices: Choices) -> str:
    """Values first, then a table for each section of them."""
    sections = {key: of for key, of in choices.items() if not isinstance(of, Choice)}
    lines = _lines({key: of for key, of in choices.items() if isinstance(of, Choice)})
    for name, section in sections.items():
        head = section.get(SECTION_REASON, Choice(None)).why
        lines += ["", *_commented(f"[{name}]", head)]
        lines += _lines({key: of for key, of in section.items() if key != SECTION_REASON})
    return "\n".join(lines) + "\n"


def _lines(values: dict[str, Choice]) -> list[str]:
    return [
        line for key, choice in values.items() for line in _commented(f"{key} = {_value(choice.value)}", choice.why)
    ]


def _commented(line: str, why: str) -> list[str]:
    if not why:
        return [line]
    whole = f"{line} {comment(why)}"
    return [whole] if len(whole) <= WIDTH else [comment(why), line]


def comment(text: str) -> str:
    """On one line, whatever columns and paths are called: TOML has no control characters in comments."""
    printable = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return f"# {''.join(printable)}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    # JSON's strings, numbers and booleans are TOML's, but for the one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
