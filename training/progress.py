"""The progress of a training run: a bar on a terminal, regular lines in a log file."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

BAR_EVERY = 0.5  # seconds, on a terminal
LINE_EVERY = 30.0  # seconds, elsewhere


class TrainingProgress:
    """A context that shows loss, images per second and time left of a run.

    steps  of the whole run
    start  the step at which the run begins or continues
    shown  False: print nothing
    """

    def __init__(self, name: str, steps: int, start: int, shown: bool):
        self.name, self.steps = name, steps
        self._console = Console(quiet=not shown)
        self._every = BAR_EVERY if self._console.is_terminal else LINE_EVERY
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:.0f} rows/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
        )
        self._task = self._bar.add_task(name, total=steps, completed=start, loss=float("nan"), rate=0.0)
        self._since_step, self._since = start, time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        self._bar.__enter__()
        self._since = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, traceback)

    def due(self) -> bool:
        """Is it time for an update?"""
        return time.monotonic() - self._since >= self._every

    def skip(self, seconds: float) -> None:
        """Leave out seconds that were not spent on training."""
        self._since += seconds

    def update(self, step: int, loss: float, images_per_step: int) -> dict[str, float]:
        """Show the progress, and return it as a record for the log."""
        now = time.monotonic()
        per_second = (step - self._since_step) / max(now - self._since, 1e-9)
        self._since_step, self._since = step, now
        rate = per_second * images_per_step
        self._bar.update(self._task, completed=step, loss=loss, rate=rate)
        if not self._console.is_terminal:
            left = int((self.steps - step) / max(per_second, 1e-9))
            self._console.print(
                f"{self.name}  step {step}/{self.steps}  loss {loss:.4f}  {rate:.0f} rows/s  "
                f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left",
                highlight=False,
            )
        return {"step": step, "loss": round(loss, 6), "images_per_second": round(rate, 1)}
