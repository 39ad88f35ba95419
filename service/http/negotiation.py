"""Which representation a client wants: the Accept header (RFC 9110 section 12.5.1)."""

import re
from collections.abc import Sequence

QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def choose(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered media type that the header likes best, the earlier of equals; None where it likes none.

    No header, or an empty one, takes the first. Of the ranges that match a type the most specific one counts.
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [_parse(part) for part in accept.split(",") if part.strip()]

    def quality(media_type: str) -> float:
        kind = media_type.split("/")[0]
        for pattern in (media_type, f"{kind}/*", "*/*"):
            found = [q for name, q in ranges if name == pattern]
            if found:
                return max(found)
        return 0.0

    best = max(offered, key=quality)
    return best if quality(best) > 0 else None


def _parse(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            return name.lower(), float(value) if QUALITY.fullmatch(value.strip()) else 0.0
    return name.lower(), 1.0
