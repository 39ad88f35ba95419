"""New columns on the card of a checkpoint: other processes may write theirs while these are measured."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Generic

from model.checkpoints.config import ConfigT, load_config, save_config
from training.evaluate.measurement import Metrics, number
from training.metrics.image_reference import same_judge
from training.recipe import RecipeError
from training.weights_hash import weights_hash


class CardUpdate(Generic[ConfigT]):
    """What is measured of a checkpoint, on the way into its config.json.

    config  as it was loaded, before anything is measured
    """

    def __init__(self, folder: Path, config: ConfigT):
        self._folder, self._kind = folder, type(config)
        self._weights = weights_hash(folder, config)

    def now(self) -> ConfigT:
        """config.json as it is by now.

        Raises RecipeError if the weights are others than those that were measured, and CheckpointError if config.json
        cannot be read.
        """
        if weights_hash(self._folder, load_config(self._folder, self._kind)) != self._weights:
            raise RecipeError(
                f"{self._folder}: its weights have changed since this measurement began, so it is not kept: measure it "
                f"again"
            )
        return load_config(self._folder, self._kind)  # once more: to hash large weights takes a while

    def has_more(self, column: str, metrics: Metrics) -> bool:
        """Does the column have a measurement of more samples? One of fewer does not replace it.

        One by another judge does: what is measured next compares with that one. Raises like `now`.
        """
        known = self.now().metrics.get(column, {})
        by_another = "judge" in metrics and not same_judge(metrics, known)
        return number(metrics, "samples") < known.get("samples", 0) and not by_another

    def write(self, columns: Mapping[str, Metrics], change: Callable[[ConfigT], ConfigT] | None = None) -> ConfigT:
        """Write the columns beside those that config.json has now; returns the new config.

        change  what else follows from the columns

        Raises like `now`.
        """
        with self._alone():
            config = self.now()
            config = config.model_copy(update={"metrics": config.metrics | dict(columns)})
            if change is not None:
                config = change(config)
            save_config(self._folder, config)
        return config

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time writes. The lock is on the folder itself, so that none is left in the checkpoint."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
