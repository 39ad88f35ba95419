"""A run's folder, runs/NAME: start a training run in it, or continue the run that it holds."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.data.training_set import FiniteSet
from training.recipe import RecipeError
from training.trainer import newest_state


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, with the trainer's states and what the run started from.

    fresh  start again, whatever the folder holds
    """

    path: Path
    fresh: bool

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the run's lock, which ends with the process, however that ends.

        The lock is a file beside the folder, which --fresh deletes. Raises RecipeError if another process trains here.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                process = lock.read().strip() or "another"
                raise RecipeError(
                    f"{self.path}: process {process} trains there already: wait for it, stop it, or take another "
                    f"folder by --runs"
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    @property
    def continues(self) -> bool:
        """Does the next training continue an earlier one?"""
        return not self.fresh and newest_state(self.path) is not None

    def resolve_start(self, name: str, start_from: str | None) -> str | None:
        """The checkpoint that the run started from, or is to start from; None for fresh weights.

        Raises RecipeError if `start_from` is given for a run that continues.
        """
        if not self.continues:
            return start_from
        if start_from is not None:
            raise RecipeError(
                f"{self.path} holds a state of {name}: without --from that run continues; with --from add --fresh to "
                "delete it"
            )
        return self._started_from.read_text() if self._started_from.is_file() else None

    def check_data(self, data: FiniteSet) -> None:
        """Raises RecipeError if a run that continues was started on other data."""
        if self.continues and self._identity.is_file() and self._identity.read_text() != data.identity:
            raise RecipeError(
                f"{data.config.dataset} has changed since {self.path} was begun: add --fresh to start again"
            )

    def prepare(self, data: FiniteSet | None, start_from: str | None) -> None:
        """Make the folder, and write down the data and the checkpoint that the run starts from."""
        if self.fresh:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        if data is not None:
            self._identity.write_text(data.identity)
        if start_from is not None:
            self._started_from.write_text(start_from)

    @property
    def _identity(self) -> Path:
        return self.path / "data"

    @property
    def _started_from(self) -> Path:
        return self.path / "started_from"
