"""`report`: measure what has not been measured, draw, write, and set the defaults that follow."""

from pathlib import Path

import torch
from rich.console import Console

from model.checkpoint import Checkpoint, load_checkpoint, load_config, read_role, save_config
from model.classifier import ClassifierCheckpoint, load_classifier
from model.precision import choose_precision
from model.weights import CheckpointError
from training.evaluate import card
from training.evaluate.run import ImageReference, evaluate_images, evaluate_points, image_reference
from training.generate import Steering
from training.recipe import RecipeError
from training.report import grid, plots, sheets
from training.report.cells import CellStore, weights_hash
from training.report.fields import draw_fields
from training.report.grid import Cell
from training.report.write import Line, Section, write_report

SEED = 0
POINT_SEEDS = 3

console = Console(highlight=False)


def make_report(checkpoints: Path, reports: Path, device: torch.device, *, full: bool, only: list[str]) -> None:
    """Every checkpoint's cells, pictures and section of quality.md; `only` limits what is measured, not what is told.

    Raises RecipeError where there is nothing to measure, or no judge for images.
    """
    folders = denoisers(checkpoints)
    unknown = sorted(set(only) - {folder.name for folder in folders})
    if unknown or not folders:
        raise RecipeError(f"no checkpoint {', '.join(unknown)} in {checkpoints}: there are "
                          f"{', '.join(folder.name for folder in folders) or 'none'}")  # fmt: skip
    bench = _Bench(checkpoints, reports, device)
    sections, trade_offs = [], []
    for folder in folders:
        checkpoint = load_checkpoint(folder)
        wanted = not only or folder.name in only
        store = bench.store(checkpoint, forget=full and wanted)
        if wanted:
            bench.measure(checkpoint, store, grid.cells(checkpoint.config))
            _advise(folder, checkpoint, store)
        config = load_config(folder)
        pictures = plots.draw(config, store.measured, reports) + sheets.draw(load_checkpoint(folder), reports, device)
        if grid.by_scale(config):
            trade_offs.append(Line(config, f"{config.name}, classifier-free", grid.by_scale(config), store.measured))
        steers = next((one for one in _classifiers(checkpoints) if one.fits(config)), None)
        if steers is not None and config.data.kind == "images":
            cells, steered = (
                grid.by_gradient_scale(steers.config),
                bench.store(checkpoint, steers, forget=full and wanted),
            )
            if wanted:
                bench.measure(checkpoint, steered, cells, steers)
            trade_offs.append(Line(config, f"{config.name} + {steers.config.name}", cells, steered.measured))
            pictures.append(sheets.draw_scales(checkpoint, steers, reports, device))
        elif steers is not None and not config.data.labels:
            pictures.append(draw_fields(checkpoint, steers, reports, device))
        sections.append(Section(config, store.measured, pictures))
    trade_offs = [line for line in trade_offs if line.known]
    picture = plots.draw_trade_off(trade_offs, reports) if trade_offs else None
    write_report(reports / "quality.md", sections, trade_offs, picture)
    console.print(f"written to {reports / 'quality.md'}")


def denoisers(checkpoints: Path) -> list[Path]:
    """Folders that hold one, images first."""
    found = []
    for folder in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        try:
            found.append((load_config(folder).data.kind != "images", folder))
        except CheckpointError:
            continue  # a judge, or no checkpoint at all
    return [folder for _, folder in sorted(found)]


def _classifiers(checkpoints: Path) -> list[ClassifierCheckpoint]:
    return [load_classifier(path) for path in sorted(checkpoints.iterdir()) if read_role(path) == "classifier"]


class _Bench:
    """Where cells are measured: what all measurements share."""

    def __init__(self, checkpoints: Path, reports: Path, device: torch.device):
        self._checkpoints, self._reports, self._device = checkpoints, reports, device
        self._reference: ImageReference | None = None  # made when the first image is measured

    def store(self, checkpoint: Checkpoint, steers: ClassifierCheckpoint | None = None, *, forget: bool) -> CellStore:
        """What is known of a checkpoint, or of it steered by a classifier."""
        name = checkpoint.config.name
        identity = {"weights": weights_hash(self._checkpoints / name), "seed": str(SEED)}
        if checkpoint.config.data.kind == "images":
            identity["judge"] = weights_hash(self._checkpoints / "mnist-judge")
            identity["computed in"] = choose_precision("auto", checkpoint, self._device)
        if steers is not None:
            identity["classifier"] = weights_hash(self._checkpoints / steers.config.name)
            name = f"{name}+{steers.config.name}"
        return CellStore(self._reports / "cells" / f"{name}.json", identity, forget=forget)

    def measure(
        self, checkpoint: Checkpoint, store: CellStore, cells: list[Cell], steers: ClassifierCheckpoint | None = None
    ) -> None:
        """Those of the cells that are missing; with a classifier, `guidance_scale` is its gradient's."""
        config = checkpoint.config
        missing = [cell for cell in cells if cell not in store]
        for number, cell in enumerate(missing, 1):
            console.print(
                f"{config.name}{f' + {steers.config.name}' if steers else ''} {number}/{len(missing)}: {cell.method}, "
                f"{cell.steps} steps, scale {cell.guidance_scale:g}, {cell.samples:,} samples"
            )
            steering = steers and Steering(steers, cell.guidance_scale)
            common = dict(samples=cell.samples, seed=SEED, device=self._device, steering=steering)
            if config.data.kind == "images":
                self._reference = self._reference or image_reference(self._checkpoints, self._device)
                precision = choose_precision("auto", checkpoint, self._device)
                figures, _ = evaluate_images(checkpoint, self._reference, cell.options, precision=precision, **common)
            else:
                figures, _ = evaluate_points(checkpoint, cell.options, seeds=POINT_SEEDS, **common)
            store.put(cell, figures)


def _advise(folder: Path, checkpoint: Checkpoint, store: CellStore) -> None:
    """Write the settings that follow into config.json and the card."""
    config = checkpoint.config
    best = grid.cheapest(config, store.measured)
    if best is None:
        return
    advice = {"sampler": best.sampler, "steps": best.steps, "variance": best.variance}
    if config.sampling.model_dump(include=set(advice)) != advice:
        console.print(f"{config.name}: now advises {best.method}, {best.steps} steps")
        config = config.model_copy(update={"sampling": config.sampling.model_copy(update=advice)})
        save_config(folder, config)
        card.write_denoiser_card(folder, config)
