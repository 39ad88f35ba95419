"""Where cells are measured: what all measurements share, made once."""

from pathlib import Path

import torch
from rich.console import Console

from model.precision import choose_precision
from training.evaluate.controls import evaluate_control
from training.evaluate.denoisers import evaluate_images, evaluate_points, evaluate_prompts
from training.evaluate.figures import Figures
from training.evaluate.reference import ImageReference, image_reference
from training.generate import Steering
from training.report.cells import CellStore, weights_hash
from training.report.grid import Cell
from training.report.subject import Library, Subject

SEED = 0
POINT_SEEDS = 3
JUDGE = "mnist-judge"

console = Console(highlight=False)


class Bench:
    def __init__(self, library: Library, reports: Path, device: torch.device):
        self._library, self._reports, self._device = library, reports, device
        self._reference: ImageReference | None = None  # made when the first image is measured
        self._stores: dict[str, CellStore] = {}

    def store(self, subject: Subject) -> CellStore:
        """What is known of it."""
        if subject.name not in self._stores:
            self._stores[subject.name] = self._open(subject)
        return self._stores[subject.name]

    def measure(self, subject: Subject, cells: list[Cell]) -> None:
        """Those of the cells that are missing, the cheap ones first."""
        store = self.store(subject)
        missing = sorted((cell for cell in cells if cell not in store), key=lambda cell: cell.samples * cell.steps)
        for number, cell in enumerate(missing, 1):
            control = f", control {cell.control_scale:g}" if subject.control else ""
            console.print(
                f"{subject.name} {number}/{len(missing)}: {cell.method}, {cell.steps} steps, "
                f"scale {cell.guidance_scale:g}{control}, {cell.samples:,} samples"
            )
            store.put(cell, self._figures(subject, cell))

    def _figures(self, subject: Subject, cell: Cell) -> Figures:
        checkpoint, steering = subject.checkpoint, subject.guide and Steering(subject.guide, cell.guidance_scale)
        common = dict(samples=cell.samples, seed=SEED, device=self._device)
        if subject.asked == "points":
            return evaluate_points(checkpoint, cell.options, seeds=POINT_SEEDS, steering=steering, **common)[0]
        self._reference = self._reference or image_reference(self._library.folder, self._device)
        common["precision"] = choose_precision("auto", checkpoint, self._device)
        if subject.asked == "hints":
            scale = cell.control_scale
            return evaluate_control(
                subject.control, checkpoint, self._reference, cell.options, scale=scale, **common
            )[0]  # fmt: skip
        evaluate = evaluate_prompts if subject.asked == "prompts" else evaluate_images
        return evaluate(checkpoint, self._reference, cell.options, steering=steering, **common)[0]

    def _open(self, subject: Subject) -> CellStore:
        folder = self._library.folder
        identity = {part: weights_hash(folder / part) for part in subject.parts} | {"seed": str(SEED)}
        if subject.asked != "points":
            identity["judge"] = weights_hash(folder / JUDGE)
            identity["computed in"] = choose_precision("auto", subject.checkpoint, self._device)
        return CellStore(self._reports / "cells" / f"{subject.name}.json", identity)
