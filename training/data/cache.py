"""The cache of processed data, in XDG_CACHE_HOME or ~/.cache. It may be deleted at any time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.data.training_set import DataError


def cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spirale"


def cache_folder(name: str, kept: str) -> Path:
    """A folder of the cache, which can be written. kept: what it is for, in an error. Raises DataError."""
    home = cache_dir() / name
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "lock").touch()
    except OSError as error:
        raise cannot_keep(kept, home, error) from error
    return home


def cannot_keep(kept: str, home: Path, error: Exception) -> DataError:
    why = error.strerror if isinstance(error, OSError) else error
    return DataError(f"{home}: {kept} cannot be kept there ({why}): set XDG_CACHE_HOME to a folder that can be written")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder: one process at a time works in it, and the others wait."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
