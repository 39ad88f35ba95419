"""Measure a denoiser of points: clouds of samples, compared with clouds of real points."""

import math
from dataclasses import asdict

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL
from model.data import DataConfig
from training.data import trained_on
from training.data.training_set import Examples, TrainingSet
from training.evaluate.measurement import Metrics, rounded, settings_of
from training.evaluate.sampling_run import Generated, SamplingRun, asks_for_labels
from training.generate import generate, labelled
from training.metrics.point_metrics import (
    energy_distance,
    nearest_label_accuracy,
    point_metrics,
    sliced_wasserstein,
    sliced_wasserstein_within_labels,
    spread_within_labels,
)
from training.metrics.two_sample import two_sample_accuracy

POINT_SEEDS = 10  # draws that figures are the mean of: one differs from the next by half
POINT_STEPS = 50  # at which checkpoints of points are measured, whatever they are served at


def evaluate_points(
    checkpoint: DenoiserCheckpoint,
    options: SamplingConfig,
    how: SamplingRun,
    *,
    samples: int,
    seeds: int = POINT_SEEDS,
) -> tuple[Metrics, Generated]:
    """(means over `seeds` runs (2 or more) of `samples` points, the points of all runs)

    In float32, not compiled, whatever `how` says: the networks are small, and figures of points compare with one
    another. Of a finite set there are at most as many points a run as are held out. Where dimensions are measured in
    different units, distances are taken as the network sees them.
    """
    data, guidance = trained_on(checkpoint.config), how.guidance
    runs: list[dict[str, float]] = []
    drawn: list[Generated] = []
    for run in track(range(seeds), "sampling", transient=True):
        # The floor's draw lends its labels: both are as far from the other draw by chance.
        real, other = _two_draws(data, samples, torch.Generator().manual_seed(how.first + run))
        asked = other.labels
        if guidance is None and not checkpoint.config.data.labels:
            asked = torch.full_like(asked, NO_LABEL)
        # Runs must not share a sample: run r takes the seeds first + r·samples …
        points = generate(
            checkpoint,
            labelled(asked.numpy(), options, guidance),
            options,
            guidance_model=guidance and guidance.guidance_model,
            seed=how.first + run * samples,
            device=how.device,
        )
        drawn.append(Generated(points, asked))
        made = _comparable(points, data.config)
        metrics = asdict(point_metrics(made, real.rows))
        metrics["sliced_wasserstein_floor"] = sliced_wasserstein(other.rows, real.rows)
        metrics["energy_floor"] = energy_distance(other.rows, real.rows)
        if asks_for_labels(checkpoint, options, guidance):
            known = _all_real(data) or real
            metrics["label_accuracy"] = nearest_label_accuracy(made, asked, known.rows, known.labels)
            metrics |= _within_labels(Examples(made, asked), other, real)
        runs.append(metrics)
    found = dict.fromkeys(name for run in runs for name in run)  # in small classes some runs have no spread to measure
    mean = {name: rounded(float(np.mean([run[name] for run in runs if name in run]))) for name in found}
    whole = Generated(*(torch.cat([getattr(one, part) for one in drawn]) for part in ("rows", "labels")))
    if data.examples is None:  # runs that share their held-out points, as of a finite set, are not independent
        spread = float(np.std([run["sliced_wasserstein"] for run in runs], ddof=1)) / math.sqrt(seeds)
        mean["sliced_wasserstein_standard_error"] = rounded(spread)
    if mean.get("within_labels_floor"):
        mean["within_labels_ratio"] = rounded(mean["within_labels"] / mean["within_labels_floor"])
    return {
        "samples": len(drawn[0].rows),
        "seeds": seeds,
        "seed": how.seed,
        **settings_of(options, guidance),
        **mean,
        "sliced_wasserstein_ratio": rounded(mean["sliced_wasserstein"] / mean["sliced_wasserstein_floor"]),
    }, whole


def two_sample_test(drawn: Generated, data: TrainingSet) -> Metrics:
    """How often a small network tells samples from real points: of a finite set, from all that there are."""
    real = _all_real(data)
    rows = real.rows if real else data.draw(len(drawn.rows), torch.Generator().manual_seed(0))[0]
    return {"two_sample_accuracy": rounded(two_sample_accuracy(_comparable(drawn.rows, data.config), rows))}


def _two_draws(data: TrainingSet, n: int, generator: torch.Generator) -> tuple[Examples, Examples]:
    """Two clouds of n real points to compare: of a finite set, held-out ones and as many that were trained on."""
    if data.examples is None:
        clouds = [Examples(*data.draw(n, generator)) for _ in range(2)]
    else:
        n = min(n, len(data.held_out), len(data.examples))
        index = [torch.randperm(len(of), generator=generator)[:n] for of in (data.held_out, data.examples)]
        clouds = [
            Examples(of.rows[rows], of.labels[rows])
            for of, rows in zip((data.held_out, data.examples), index, strict=True)
        ]
    real, other = (Examples(_comparable(of.rows, data.config), of.labels) for of in clouds)
    return real, other


def _all_real(data: TrainingSet) -> Examples | None:
    """Every real point there is; None where there is no end of them."""
    if data.examples is None:
        return None
    parts = (data.examples, data.held_out)
    rows = _comparable(torch.cat([of.rows for of in parts]), data.config)
    return Examples(rows, torch.cat([of.labels for of in parts]))


def _comparable(points: Tensor, data: DataConfig) -> Tensor:
    """In units in which all dimensions count: the data's own, or the network's where those are several."""
    return points if data.one_unit else data.standardise(points)


def _within_labels(made: Examples, other: Examples, real: Examples) -> dict[str, float]:
    """Shapes of classes, whatever their shares; without what cannot be measured in classes of so few points."""
    metrics = {
        "spread": spread_within_labels(made.rows, made.labels, other.rows, other.labels),
        "within_labels": sliced_wasserstein_within_labels(made.rows, made.labels, real.rows, real.labels),
        "within_labels_floor": sliced_wasserstein_within_labels(other.rows, other.labels, real.rows, real.labels),
    }
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
