"""Which representation a client wants: the Accept header (RFC 9110 section 12.5.1), read leniently.

Clients that are in use send what the grammar does not have: Java before 19 sends `*; q=.2`. What cannot be read says
nothing: it refuses nothing.
"""

import re
from collections.abc import Sequence
from urllib.request import parse_http_list

RANGE = re.compile(r"\*/\*|[^\s/*]+/(\*|[^\s/*]+)")
WEIGHT = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


def choose(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered media type that the header likes best, the earlier of equals; None where it likes none.

    No header, or one without a media range, takes the first. Of the ranges that match a type the most specific counts.
    """
    ranges = [found for part in parse_http_list(accept or "") if (found := _parse(part)) is not None]
    if not ranges:
        return offered[0]

    def quality(media_type: str) -> float:
        kind = media_type.split("/")[0]
        for pattern in (media_type, f"{kind}/*", "*/*"):
            found = [q for name, q in ranges if name == pattern]
            if found:
                return max(found)
        return 0.0

    best = max(offered, key=quality)
    return best if quality(best) > 0 else None


def _parse(element: str) -> tuple[str, float] | None:
    """(media range, weight); None for what is no media range. `*` alone is `*/*`, a weight that is no number is 1."""
    name, *parameters = (piece.strip() for piece in element.split(";"))
    name = "*/*" if name == "*" else name.lower()
    if not RANGE.fullmatch(name):
        return None
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        weight = value.strip().strip('"')
        if key.strip().lower() == "q" and WEIGHT.fullmatch(weight):
            return name, min(1.0, float(weight))
    return name, 1.0
