"""Where what took long to make of data is kept: XDG_CACHE_HOME, by default ~/.cache. It may be deleted at any time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spirale"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """What is made in that folder is made by one process at a time; the others wait, and find it made."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
