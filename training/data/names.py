"""Names of files, folders and classes: printable, and in their natural order."""

import os
import re
from pathlib import Path


def printable(path: Path | str) -> str:
    """A path as printable text: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key: 9 comes before 10, and numbers before words."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
