"""AdamW against Muon: the loss on held-out digits after equal steps, and what a step costs."""

import tempfile
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.table import Table

from benchmarks import machine
from training.data.training_set import as_floats
from training.recipe import parse_recipe
from training.tasks.registry import make_task
from training.tasks.task import Batch, LossContext
from training.trainer import train

RATES = (("adamw", 5e-4), ("adamw", 1.5e-3), ("muon", 5e-4), ("muon", 2e-3))
BATCH = 128
HELD_OUT = 2_000  # digits


def run(steps: int) -> None:
    """Half of `mnist-cfg`'s width, from fresh weights."""
    machine.console.print(f"[bold]optimisers[/] · {machine.describe()}")
    table = Table("optimiser", "learning rate", "held-out loss", "over the first's", "ms a step", "over the first's")
    losses, costs = [], []
    for optimiser, rate in RATES:
        loss, seconds = _trained(optimiser, rate, steps)
        losses.append(loss)
        costs.append(1000 * seconds / steps)
        ratios = f"{loss / losses[0]:.2f}", f"{costs[-1] / costs[0]:.2f}"
        table.add_row(optimiser, f"{rate:g}", f"{loss:.4f}", ratios[0], f"{costs[-1]:.0f}", ratios[1])
    machine.console.print(table)


def _trained(optimiser: str, rate: float, steps: int) -> tuple[float, float]:
    """(the averaged network's loss on held-out digits, seconds of its training with one picture and one state)"""
    recipe = {
        "name": "optimisers",
        "data": {"dataset": "mnist"},
        "network": {"kind": "unet", "channels": [24, 48], "blocks": 2, "attention": [1], "patch": 2, "groups": 8},
        "prediction": {"target": "v"},
        "sampling": {"steps": 20},
        "optimisation": {
            "steps": steps,
            "batch_size": BATCH,
            "optimiser": optimiser,
            "learning_rate": rate,
            "warmup_steps": steps // 7,
            "weight_decay": 0.01,
            "ema_decay": 0.99,
            "save_every": steps,
            "sample_every": 10 * steps,
        },
    }
    task = make_task(parse_recipe(recipe, "optimisers"), machine.CHECKPOINTS)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        network = train(task, Path(folder), Accelerator())
        seconds = time.perf_counter() - started
    held_out = task.data.held_out.some(HELD_OUT)
    context = LossContext(network, network, steps, torch.Generator().manual_seed(1))
    with torch.inference_mode():
        parts = zip(torch.split(held_out.rows, BATCH), torch.split(held_out.labels, BATCH), strict=True)
        losses = [float(task.loss(Batch(as_floats(rows), labels), context)) * len(rows) for rows, labels in parts]
    return sum(losses) / HELD_OUT, seconds
