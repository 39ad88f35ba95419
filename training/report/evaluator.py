"""Where cells are measured: what all measurements share, made once."""

from pathlib import Path

import torch
from rich.console import Console

from model.checkpoints.denoiser import Precision, load_config
from training.data import section_trained_on, trained_on
from training.data.data_section import DataSection
from training.evaluate.hint_evaluation import evaluate_control, of_held_out
from training.evaluate.image_evaluation import Drawing, evaluate_captions, evaluate_images, evaluate_prompts
from training.evaluate.measurement import Figures
from training.evaluate.point_evaluation import POINT_SEEDS, evaluate_points
from training.generate import Steering
from training.metrics.image_metrics import FEWEST
from training.metrics.image_reference import ImageReference, find_judge, image_reference
from training.metrics.judge import JudgeConfig
from training.recipe import RecipeError
from training.report.grid import Cell
from training.report.measurement_store import CellStore, weights_hash
from training.report.pipeline import Subject

SEED = 0
VERSION = "2"  # of the figures of images: another number where what is measured, or how, changes

console = Console(highlight=False)


class Bench:
    def __init__(self, checkpoints: Path, reports: Path, device: torch.device, *, compile: bool = False):
        self._checkpoints, self._reports, self._device, self._compile = checkpoints, reports, device, compile
        self._references: dict[tuple[DataSection, Path], ImageReference] = {}  # by what was trained on, and the judge
        self._stores: dict[str, CellStore] = {}
        self._made: set[tuple[str, Cell]] = set()  # by this bench, of whom

    def store(self, subject: Subject) -> CellStore:
        """What is known of it."""
        if subject.name not in self._stores:
            self._stores[subject.name] = self._open(subject)
        return self._stores[subject.name]

    def prepare(self, subject: Subject, cells: list[Cell]) -> None:
        """Raises RecipeError and DataError where any of the cells would have to be measured and cannot be."""
        if subject.asked != "points" and not all(cell in self.store(subject) for cell in cells):
            self._reference(subject)

    def measure(self, subject: Subject, cells: list[Cell], *, anew: bool = False) -> None:
        """Those of the cells that are missing, the cheap ones first; `anew` those too that this bench did not make."""
        store = self.store(subject)
        if anew:
            store.forget([cell for cell in cells if (subject.name, cell) not in self._made])
        missing = sorted((cell for cell in cells if cell not in store), key=lambda cell: cell.samples * cell.steps)
        for number, cell in enumerate(missing, 1):
            control = f", control {cell.control_scale:g}{' alone' * cell.alone}" if subject.control else ""
            console.print(
                f"{subject.name} {number}/{len(missing)}: {cell.method}, {cell.steps} steps, "
                f"scale {cell.guidance_scale:g}{control}, {cell.samples:,} samples"
            )
            store.put(cell, self._figures(subject, cell))
            self._made.add((subject.name, cell))

    def _figures(self, subject: Subject, cell: Cell) -> Figures:
        checkpoint, steering = subject.checkpoint, subject.guide and Steering(subject.guide, cell.guidance_scale)
        how = Drawing(self._device, SEED, _precision(subject), self._compile, steering)
        if subject.asked == "points":
            return evaluate_points(checkpoint, cell.options, how, samples=cell.samples, seeds=POINT_SEEDS)[0]
        reference = self._reference(subject)
        if subject.asked == "hints":
            shown = of_held_out(subject.control.hint, reference.data, cell.samples, SEED)
            scale, alone = cell.control_scale, cell.alone
            return evaluate_control(
                subject.control, checkpoint, shown, reference, cell.options, how, scale=scale, alone=alone
            )[0]
        said = evaluate_captions if cell.captioned else evaluate_prompts
        evaluate = said if subject.asked == "prompts" else evaluate_images
        return evaluate(checkpoint, reference, cell.options, how, samples=cell.samples)[0]

    def _reference(self, subject: Subject) -> ImageReference:
        config, judge = subject.checkpoint.config, self.judge(subject)
        if judge is None:
            raise RecipeError(
                f"{config.name}: there is no judge of {config.data.dataset} in {self._checkpoints}: train one (a "
                f"recipe of the role judge with its [data]), or name other checkpoints to report on"
            )
        key = (section_trained_on(config), judge)
        if key not in self._references:
            data = trained_on(config)
            if len(data.held_out) < FEWEST:
                raise RecipeError(
                    f"{config.name}: only {len(data.held_out)} images of {config.data.dataset} are held out, and fewer "
                    f"than {FEWEST} have no distribution to compare with: hold out more, or name other checkpoints"
                )
            self._references[key] = image_reference(judge, data, self._device)
        return self._references[key]

    def judge(self, subject: Subject) -> Path | None:
        """The folder of what reads its images, if there is one."""
        return find_judge(self._checkpoints, subject.checkpoint.config.data)

    def _open(self, subject: Subject) -> CellStore:
        identity = {of.name: weights_hash(self._checkpoints / of.name, of) for of in subject.configs}
        identity["seed"] = str(SEED)
        if subject.asked == "points":
            identity["draws"] = str(POINT_SEEDS)
        else:
            judge = self.judge(subject)
            identity["judge"] = weights_hash(judge, load_config(judge, JudgeConfig)) if judge else "none"
            identity["computed in"] = _precision(subject)
            identity["version"] = VERSION
        return CellStore(self._reports / "cells" / f"{subject.name}.json", identity)


def _precision(subject: Subject) -> Precision:
    """The fastest that is allowed, whatever this machine has: so cells that were measured elsewhere are known here."""
    return "bfloat16" if "bfloat16" in subject.checkpoint.config.precisions else "float32"
