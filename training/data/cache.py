"""The cache of processed data, in XDG_CACHE_HOME or ~/.cache. It may be deleted at any time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spirale"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder: one process at a time works in it, and the others wait."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
