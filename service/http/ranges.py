"""A part of a file, as Range asks for it (RFC 9110 section 14)."""

import re

ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins past the end."""


def part_of(asked: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) of the one range that is asked for; None for the whole: without a range, of several, or where it
    cannot be read. Raises Unsatisfiable."""
    found = ONE_RANGE.fullmatch(asked or "")
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":  # the last so many
        start, stop = max(0, size - int(found[2])), size
    else:
        start, stop = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or stop == start:
        raise Unsatisfiable
    return start, stop
