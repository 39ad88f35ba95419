"""Names and numbers of classes, and of a table's columns."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from service.http.problems import invalid

LONGEST = 1000  # characters of what is compared with names
NUMBER = re.compile(r"[0-9]{1,9}(\.0{1,9})?")  # 7.0 is a whole number in JSON
NAMED = 20  # names that an error lists


def class_numbers(wanted: int | str | list[int | str], names: Sequence[str], n: int) -> list[int]:
    """The class's number of each of n samples. Raises Problem (422) for a label that is none of the names."""
    if isinstance(wanted, list):
        numbers = {one: class_number(one, names) for one in dict.fromkeys(wanted)}
        return [numbers[one] for one in wanted]
    return [class_number(wanted, names)] * n


def class_number(wanted: int | str, names: Sequence[str]) -> int:
    """Raises Problem (422) for a label that is none of the names."""
    label = index_of(wanted, names)
    if label is None:
        raise invalid("label", f"one of {listed(names)}, or its number 0 … {len(names) - 1}", wanted)
    return label


def index_of(wanted: int | str, names: Sequence[str]) -> int | None:
    """The index of a name, or of a number where no name matches; None for neither. 10 is the one that is called 10, if
    there is one: so JSON and query strings, where all is text, mean the same."""
    text = str(wanted)
    if len(text) > LONGEST:
        return None
    if (index := index_of_name(text, names)) is not None:
        return index
    if not NUMBER.fullmatch(number := unicodedata.normalize("NFKC", text).strip()):
        return None
    index = int(float(number))
    return index if index < len(names) else None


def index_of_name(text: str, names: Sequence[str]) -> int | None:
    """The index of a name, which may be spelled in any Unicode form, width and case, as a prompt may, where that leaves
    one name only. None for no name."""
    if len(text) > LONGEST:
        return None
    for spelling, indices in zip(_spellings(text), _by_spelling(tuple(names)), strict=True):
        if (index := indices.get(spelling)) is not None:
            return index
    return None


def _spellings(name: str) -> tuple[str, str, str]:
    """As it is; composed, which looks the same; and without differences of width and case, or white space around."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFKC", plain).strip()


@lru_cache(maxsize=64)
def _by_spelling(names: tuple[str, ...]) -> tuple[Mapping[str, int | None], ...]:
    """For each of the three spellings: spelling → index, None where two names share it."""
    found: tuple[dict[str, int | None], ...] = ({}, {}, {})
    for index, name in enumerate(names):
        for indices, spelling in zip(found, _spellings(name), strict=True):
            indices[spelling] = None if spelling in indices else index
    return found


def listed(names: Sequence[str]) -> str:
    """The names, at most NAMED of them."""
    return ", ".join(names[:NAMED]) + (f" … ({len(names)} in all, see /models)" if len(names) > NAMED else "")
