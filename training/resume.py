"""A run's folder, runs/NAME: start a training run in it, or continue the run that it holds."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from model.checkpoints.base import WEIGHTS
from training.kept_weights import KEPT
from training.lock import held_alone
from training.recipe import RecipeError
from training.tasks.registry import needed
from training.tasks.task import Task
from training.trainer import newest_state


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, with the trainer's states and what the run started from.

    fresh  start again, whatever the folder holds
    """

    path: Path
    fresh: bool

    def alone(self) -> AbstractContextManager[None]:
        """Hold the run's lock, which ends with the process, however that ends.

        The lock is a file beside the folder, which --fresh deletes. Raises RecipeError if another process trains here.
        """
        lock = self.path.with_name(f".{self.path.name}.lock")
        return held_alone(lock, self.path, "trains there", "take another folder by --runs")

    @property
    def continues(self) -> bool:
        """Does the next training continue an earlier one?"""
        return not self.fresh and newest_state(self.path) is not None

    @property
    def step(self) -> int:
        """The steps that are done when the next training begins."""
        state = newest_state(self.path)
        return 0 if self.fresh or state is None else int(state.name.removeprefix("state-"))

    def resolve_start(self, name: str, start_from: str | None) -> str | None:
        """The checkpoint that the run started from, or is to start from; None for fresh weights.

        Raises RecipeError if a run that continues started from something else than `start_from`, and if one that begins
        would delete that with the folder.
        """
        if not self.continues:
            if start_from is not None and Path(start_from).resolve().is_relative_to(self.path.resolve()):
                raise RecipeError(
                    f"--from {start_from}: it lies in {self.path}, which is emptied before a run begins there: move it "
                    f"elsewhere, or take another folder by --runs"
                )
            return start_from
        before = self._started_from.read_text() if self._started_from.is_file() else None
        if start_from is not None and start_from != before:
            raise RecipeError(
                f"{self.path} holds a state of {name}, which started from {before or 'fresh weights'}: without "
                f"--from {start_from} that run continues; add --fresh to delete it"
            )
        return before

    def check(self, sources: Mapping[str, str]) -> None:
        """Raises RecipeError if a run that continues was begun with another of these, see `sources_of`."""
        if not self.continues or not self._sources.is_file():
            return
        before = json.loads(self._sources.read_text())
        changed = [name for name, digest in sources.items() if before.get(name) != digest]
        if changed:
            raise RecipeError(
                f"{' and '.join(changed)} {'have' if len(changed) > 1 else 'has'} changed since {self.path} was begun: "
                f"add --fresh to start again"
            )

    def prepare(self, sources: Mapping[str, str], start_from: str | None) -> None:
        """Make the folder, and write down what the run is made of, and the checkpoint that it starts from. Nothing
        happens to a run that continues."""
        if self.continues:
            return
        if self.fresh and self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.path / KEPT, ignore_errors=True)  # of a run that was stopped before its first state
        self._sources.write_text(json.dumps(dict(sources)))
        self._started_from.unlink(missing_ok=True)
        if start_from is not None:
            self._started_from.write_text(start_from)

    @property
    def _sources(self) -> Path:
        return self.path / "sources.json"

    @property
    def _started_from(self) -> Path:
        return self.path / "started_from"


def sources_of(task: Task, checkpoints: Path) -> dict[str, str]:
    """A digest of each thing that a training has besides its recipe, by its name: own data, and other checkpoints."""
    real = task.data.real
    sources = {f"the data set {real.config.dataset}": real.identity} if real is not None and real.identity else {}
    for folder in needed(task.recipe, checkpoints).values():
        with (folder / WEIGHTS).open("rb") as weights:
            sources[f"the checkpoint {folder.name}"] = hashlib.file_digest(weights, "sha256").hexdigest()
    return sources
