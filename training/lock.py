"""A lock that one process holds at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.recipe import RecipeError


@contextmanager
def held_alone(lock: Path, where: Path, does: str, otherwise: str) -> Iterator[None]:
    """Hold the lock, which ends with the process, however that ends. The file stays.

    Raises RecipeError if another process holds it: it says where that one does what, and what to do otherwise.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            process = file.read().strip() or "another"
            raise RecipeError(
                f"{where}: process {process} {does} already: wait for it, stop it, or {otherwise}"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
