"""Names and numbers of classes, and of a table's columns."""

import re
from collections.abc import Sequence

from service.http.problems import invalid

NAMED = 20  # names that an error lists


def class_numbers(wanted: int | str | list[int | str], names: Sequence[str], n: int) -> list[int]:
    """The class's number of each of n samples. Raises Problem (422) for a label that is none of the names."""
    if isinstance(wanted, list):
        return [class_number(one, names) for one in wanted]
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
    if str(wanted) in names:
        return names.index(str(wanted))
    if isinstance(wanted, str) and not re.fullmatch(r"[0-9]{1,9}", wanted):
        return None
    return int(wanted) if 0 <= int(wanted) < len(names) else None


def listed(names: Sequence[str]) -> str:
    """The names, at most NAMED of them."""
    return ", ".join(names[:NAMED]) + (f" … ({len(names)} in all, see /models)" if len(names) > NAMED else "")
