"""`report`: measure what has not been measured, draw, write, and set the defaults that follow."""

from pathlib import Path

import torch
from rich.console import Console

from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, load_config, save_config
from model.precision import choose_precision
from training.evaluate import card
from training.evaluate.run import ImageReference, evaluate_images, evaluate_points, image_reference
from training.recipe import RecipeError
from training.report import grid, plots, sheets
from training.report.cells import CellStore, weights_hash
from training.report.write import Section, write_report

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
    reference = None
    sections = []
    for folder in folders:
        checkpoint = load_checkpoint(folder)
        images = checkpoint.config.data.kind == "images"
        if images and reference is None:
            reference = image_reference(checkpoints, device)
        store = _store(folder, checkpoints, reports, checkpoint, device, full)
        if not only or folder.name in only:
            _measure(checkpoint, store, reference, device)
            _advise(folder, checkpoint, store)
        sections.append(
            Section(
                load_config(folder),
                store.measured,
                plots.draw(checkpoint.config, store.measured, reports)
                + sheets.draw(load_checkpoint(folder), reports, device),
            )
        )
    write_report(reports / "quality.md", sections)
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


def _store(
    folder: Path, checkpoints: Path, reports: Path, checkpoint: Checkpoint, device: torch.device, full: bool
) -> CellStore:
    identity = {"weights": weights_hash(folder), "seed": str(SEED)}
    if checkpoint.config.data.kind == "images":
        identity["judge"] = weights_hash(checkpoints / "mnist-judge")
        identity["computed in"] = choose_precision("auto", checkpoint, device)
    return CellStore(reports / "cells" / f"{folder.name}.json", identity, forget=full)


def _measure(checkpoint: Checkpoint, store: CellStore, reference: ImageReference | None, device: torch.device) -> None:
    config = checkpoint.config
    missing = [cell for cell in grid.cells(config) if cell not in store]
    for number, cell in enumerate(missing, 1):
        console.print(
            f"{config.name} {number}/{len(missing)}: {cell.method}, {cell.steps} steps, "
            f"scale {cell.guidance_scale:g}, {cell.samples:,} samples"
        )
        if reference is not None and config.data.kind == "images":
            precision = choose_precision("auto", checkpoint, device)
            figures, _ = evaluate_images(
                checkpoint, reference, cell.options, samples=cell.samples, seed=SEED, precision=precision, device=device
            )
        else:
            figures, _ = evaluate_points(
                checkpoint, cell.options, samples=cell.samples, seed=SEED, device=device, seeds=POINT_SEEDS
            )
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
