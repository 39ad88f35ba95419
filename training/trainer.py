"""The one training loop: Accelerate carries device and processes; a run that was stopped goes on exactly.

All randomness of step k comes from a generator seeded by (recipe seed, process, k), so what a run becomes does not
depend on how often it was interrupted, and there is no random state to save.
"""

import contextlib
import json
import math
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor, nn

from model.checkpoints.base import TorchPrecision
from model.precision import precision_on
from training.data.data_section import PLACES
from training.kept_weights import keep_weights
from training.learning_rate import learning_rate, step_all
from training.muon import optimisers_of
from training.progress import TrainingProgress
from training.recipe import OptimisationSection, Recipe, RecipeError
from training.tasks.task import Batch, LossContext, Task
from training.weight_average import average_of


@dataclass
class TrainState:
    """The step that a run has reached. Saved and restored with it."""

    step: int = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


class Interrupted(Exception):
    """Stopped by Ctrl-C or SIGTERM; the state is saved and the same command goes on from it."""


class TrainStep:
    """The network, its optimisers and its running average, and what a step does to them."""

    def __init__(self, task: Task, accelerator: Accelerator):
        options = task.recipe.optimisation
        self.network, *self.optimisers = accelerator.prepare(task.network, *optimisers_of(task.network, options))
        self.average = average_of(accelerator.unwrap_model(self.network), options.ema_decay)
        self.precision = training_precision(options, accelerator.device)
        self._task, self._options, self._accelerator = task, options, accelerator

    def take(self, step: int) -> tuple[Tensor, Tensor]:
        """Step number `step`, from 0 on: (its loss, the norm of its gradient), still on the device."""
        task, options, accelerator = self._task, self._options, self._accelerator
        generator = _generator(task.recipe.seed, accelerator.process_index, step)
        rows, labels = task.data.draw(options.batch_size, generator)
        batch = Batch(rows.to(accelerator.device), labels.to(accelerator.device))
        context = LossContext(self.network, self.average.module, step, generator)
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            loss = task.loss(batch, context)
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(self.network.parameters(), options.gradient_clip)
        step_all(self.optimisers, options, step)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        self.average.update_parameters(accelerator.unwrap_model(self.network))
        return loss.detach(), norm


def train(task: Task, run: Path, accelerator: Accelerator, keep_every: int | None = None) -> nn.Module:
    """Train to the recipe's last step, from the state in `run` where there is one; returns the averaged network.

    `run` gets state-<step>/ (resumable, the newest only), samples/ (pictures) and log.jsonl; with `keep_every`, after
    each so many steps, a checkpoint as well. The accelerator's trackers get what log.jsonl has.

    Raises Interrupted on Ctrl-C and SIGTERM; RecipeError where `run` holds a state of another recipe, or of another
    number of processes.
    """
    recipe, options = task.recipe, task.recipe.optimisation
    steps = TrainStep(task, accelerator)
    position = TrainState()
    accelerator.register_for_checkpointing(steps.average, position, *task.stateful)
    _restore(accelerator, run, recipe)
    if accelerator.is_main_process:
        _forget_log_after(run, position.step)

    loss_sum, norm_sum = torch.zeros(2, device=accelerator.device)
    since = position.step
    with (
        _stop_signals() as stop,
        TrainingProgress(recipe.name, options.steps, position.step, accelerator.is_main_process) as progress,
    ):
        while position.step < options.steps:
            loss, norm = steps.take(position.step)
            position.step += 1
            loss_sum += loss
            norm_sum += norm
            finished = position.step == options.steps
            due, stopping = _any_process(accelerator, progress.due(), stop.asked)
            saving = finished or stopping or position.step % options.save_every == 0
            keeping = keep_every is not None and position.step % keep_every == 0 and not finished
            if due or saving or keeping:
                mean_loss = (accelerator.reduce(loss_sum, "mean") / (position.step - since)).item()
                if not (math.isfinite(mean_loss) and math.isfinite(norm_sum.item())):  # so it is never saved
                    raise RecipeError(
                        f"{recipe.name}: the loss or its gradient is not finite at step {position.step}; the last "
                        f"state is whole, but the recipe needs a lower optimisation.learning_rate and --fresh"
                    )
                loss_sum.zero_()
                norm_sum.zero_()
                since = position.step
                images = options.batch_size * accelerator.num_processes
                entry = progress.update(position.step, mean_loss, images)
                if accelerator.is_main_process:
                    with (run / "log.jsonl").open("a") as log:
                        log.write(json.dumps(entry) + "\n")
                    curves = {name: value for name, value in entry.items() if name != "step"}
                    rate = learning_rate(options, position.step - 1)
                    accelerator.log(curves | {"learning_rate": rate}, step=position.step)
            if accelerator.is_main_process and keeping:  # before the state: a run that goes on from there has kept it
                with _time_out_of(progress):
                    keep_weights(task, steps.average.module, run, position.step)
            if saving:
                _save(accelerator, run, recipe, position.step)
            if accelerator.is_main_process and (finished or position.step % options.sample_every == 0):
                with _time_out_of(progress):
                    task.picture(steps.average.module, run / "samples" / f"step-{position.step:06d}.png")
            if stopping:  # also in the last step, after which the same command saves and measures
                raise Interrupted(f"{recipe.name}: stopped at step {position.step} of {options.steps}")
    return steps.average.module


def _any_process(accelerator: Accelerator, *flags: bool) -> list[bool]:
    """Each flag, if it is up in any process: clocks and signals differ between them, what they do next must not."""
    if accelerator.num_processes == 1:
        return list(flags)
    counts = accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=accelerator.device))
    return [count > 0 for count in counts.tolist()]


def training_precision(options: OptimisationSection, device: torch.device) -> TorchPrecision:
    """The precision in which a recipe's network is computed; its weights and the optimiser are always float32."""
    return precision_on(device, "bfloat16" if options.mixed_precision == "bf16" else "float32")


def _generator(seed: int, process: int, step: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, process, step)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def newest_state(run: Path) -> Path | None:
    states = sorted(run.glob("state-*[0-9]"), key=lambda path: int(path.name.removeprefix("state-")))
    return states[-1] if states else None


def _save(accelerator: Accelerator, run: Path, recipe: Recipe, step: int) -> None:
    """Write beside the old state, then take its place by one rename: a kill at any moment leaves a whole state."""
    final = run / f"state-{step}"
    partial = run / "state.partial"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial))
    except (OSError, RuntimeError, SafetensorError) as error:  # what torch and safetensors raise on a full disk
        free = shutil.disk_usage(run).free / 2**20
        raise RecipeError(
            f"{run}: the state of step {step} cannot be written ({free:,.0f} MB are free; {_first_line(error)}): the "
            f"last state is whole; make room, and the same command goes on from there"
        ) from error
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        made_by = {"recipe": recipe.model_dump(mode="json"), "processes": accelerator.num_processes}
        (partial / "made_by.json").write_text(json.dumps(made_by))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in run.glob("state-*[0-9]"):
            if old != final:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _restore(accelerator: Accelerator, run: Path, recipe: Recipe) -> None:
    state = newest_state(run)
    if state is None:
        return
    made_by = json.loads((state / "made_by.json").read_text())
    if made_by["processes"] != accelerator.num_processes:
        raise RecipeError(
            f"{state} was made by {made_by['processes']} processes, not {accelerator.num_processes}, and would go on "
            f"to other weights: start as many, or start anew with --fresh"
        )
    if _without_places(made_by["recipe"]) != _without_places(recipe.model_dump(mode="json")):
        raise RecipeError(
            f"{state} was made by another version of the recipe {recipe.name!r}: go back to that recipe, "
            f"or start anew with --fresh"
        )
    accelerator.load_state(str(state))


def _without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Own data may be moved: whether they are the same, `training.resume` has checked."""
    data = recipe.get("data")
    if not isinstance(data, dict):
        return dict(recipe)
    return {**recipe, "data": {field: value for field, value in data.items() if field not in PLACES}}


def _forget_log_after(run: Path, step: int) -> None:
    """What a killed run logged after its last state is done again, and must not stand there twice."""

    def stays(line: str) -> bool:
        try:
            return bool(json.loads(line)["step"] <= step)
        except ValueError:  # the kill came while it was written
            return False

    log = run / "log.jsonl"
    if log.is_file():
        log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if stays(line)))


@dataclass
class _Stop:
    asked: bool = False


@contextlib.contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """SIGINT and SIGTERM ask for a stop after the step in hand; a second one stops at once."""
    stop = _Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        stop.asked = True
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _time_out_of(progress: TrainingProgress) -> Iterator[None]:
    """Pictures and kept weights are not training: their time stays out of the images per second."""
    started = time.monotonic()
    yield
    progress.skip(time.monotonic() - started)
