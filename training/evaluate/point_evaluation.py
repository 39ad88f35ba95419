"""Measure a denoiser of points: generate samples and compare them with real points."""

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
from training.data.synthetic_points import CurveSet
from training.data.training_set import Examples, TrainingSet
from training.evaluate.measurement import Metrics, rounded, settings_of
from training.evaluate.sampling_run import Generated, SamplingRun, requests_labels
from training.generate import generate, labelled
from training.metrics.nearest_neighbours import near_shares, nearest_distance
from training.metrics.point_metrics import (
    energy_distance,
    nearest_label_accuracy,
    point_metrics,
    sliced_wasserstein,
    sliced_wasserstein_within_labels,
    spread_within_labels,
)
from training.metrics.synthetic_training import balanced_accuracy
from training.metrics.two_sample import two_sample_accuracy

POINT_SEEDS = 10  # runs that metrics are averaged over: single runs differ by half
POINT_STEPS = 50  # of every measurement, whatever the card advises
OFF_CURVE, FAR_OFF_CURVE = 0.05, 0.2  # distances from a curve, in the data's own units


def evaluate_points(
    checkpoint: DenoiserCheckpoint,
    data: TrainingSet,
    options: SamplingConfig,
    run: SamplingRun,
    *,
    samples: int,
    seeds: int = POINT_SEEDS,
) -> tuple[Metrics, Generated]:
    """(the metrics as means over `seeds` ≥ 2 runs of `samples` points, the points of all runs)

    data  what the checkpoint was trained on, see `trained_on`

    Points are generated in float32 and not compiled, whatever `run` says: the networks are small, and metrics of points
    stay comparable. For a finite set a run compares at most as many points as are held out. If dimensions have
    different units, distances are taken in the network's range.
    """
    guidance = run.guidance
    by_labels = requests_labels(checkpoint, options, guidance)
    all_real = _all_real(data) if by_labels else None
    results: list[dict[str, float]] = []
    parts: list[Generated] = []
    for number in track(range(seeds), "sampling", transient=True):
        # Samples take the labels of `other`, the real points of the floor, so chance moves both from `real` equally.
        real, other = _two_real_samples(data, samples, torch.Generator().manual_seed(run.seed * seeds + number))
        labels = other.labels
        if (guidance is None or guidance.conditioning is None) and not checkpoint.config.data.labels:
            labels = torch.full_like(labels, NO_LABEL)
        # Runs must not share a sample: run r takes the seeds first_seed + r·samples …
        points = generate(
            checkpoint,
            labelled(labels.numpy(), options, guidance),
            options,
            guidance_model=run.guidance_model,
            seed=run.first_seed + number * samples,
            device=run.device,
        )
        parts.append(Generated(points, labels))
        generated = _comparable(points, data.config)
        metrics = asdict(point_metrics(generated, real.rows))
        metrics["sliced_wasserstein_floor"] = sliced_wasserstein(other.rows, real.rows)
        metrics["energy_floor"] = energy_distance(other.rows, real.rows)
        metrics["precision"], metrics["recall"] = near_shares(generated, real.rows, other.rows)
        if by_labels:
            known = all_real or real
            metrics["label_accuracy"] = nearest_label_accuracy(generated, labels, known.rows, known.labels)
            metrics |= _within_labels(Examples(generated, labels), other, real)
        results.append(metrics)
    names = dict.fromkeys(name for result in results for name in result)  # small classes have no spread in some runs
    mean = {name: rounded(float(np.mean([result[name] for result in results if name in result]))) for name in names}
    whole = Generated(torch.cat([part.rows for part in parts]), torch.cat([part.labels for part in parts]))
    if isinstance(data, CurveSet):
        mean |= _off_curve(nearest_distance(whole.rows, data.curve))
    if data.examples is None:  # runs on a finite set share its held-out points, so they are not independent
        deviation = float(np.std([result["sliced_wasserstein"] for result in results], ddof=1)) / math.sqrt(seeds)
        mean["sliced_wasserstein_standard_error"] = rounded(deviation)
    if mean.get("within_labels_floor"):
        mean["within_labels_ratio"] = rounded(mean["within_labels"] / mean["within_labels_floor"])
    if mean["sliced_wasserstein_floor"]:  # discrete points may be the same on both sides
        mean["sliced_wasserstein_ratio"] = rounded(mean["sliced_wasserstein"] / mean["sliced_wasserstein_floor"])
    return {
        "samples": len(parts[0].rows),
        "seeds": seeds,
        "seed": run.seed,
        **settings_of(options, guidance),
        **mean,
    }, whole


def two_sample_test(generated: Generated, data: TrainingSet) -> Metrics:
    """The accuracy of a small network that separates samples from real points: of a finite set, from all of them."""
    real = _all_real(data)
    rows = real.rows if real else data.draw(len(generated.rows), torch.Generator().manual_seed(0))[0]
    return {"two_sample_accuracy": rounded(two_sample_accuracy(_comparable(generated.rows, data.config), rows))}


def train_on_synthetic_test_on_real(generated: Generated, data: TrainingSet) -> Metrics:
    """How well a classifier of samples reads held-out points (TSTR), and one of as many training points (TRTR).

    Nothing where samples or points have no labels, or the set is without end.
    """
    if data.examples is None or not data.config.labels or (generated.labels == NO_LABEL).any():
        return {}
    n = min(len(generated.rows), len(data.examples))
    synthetic, real = Examples(generated.rows, generated.labels).some(n), data.examples.some(n)
    return {
        "tstr": rounded(balanced_accuracy(synthetic, data.held_out)),
        "trtr": rounded(balanced_accuracy(real, data.held_out)),
    }


def _two_real_samples(data: TrainingSet, n: int, generator: torch.Generator) -> tuple[Examples, Examples]:
    """Two sets of n real points: of a finite set, at most n held-out points and as many training points."""

    def some(examples: Examples, n: int) -> Examples:
        index = torch.randperm(len(examples), generator=generator)[:n]
        return Examples(_comparable(examples.rows[index], data.config), examples.labels[index])

    if data.examples is not None:
        n = min(n, len(data.held_out), len(data.examples))
        return some(data.held_out, n), some(data.examples, n)
    (first, first_labels), (second, second_labels) = data.draw(n, generator), data.draw(n, generator)
    return (
        Examples(_comparable(first, data.config), first_labels),
        Examples(_comparable(second, data.config), second_labels),
    )


def _all_real(data: TrainingSet) -> Examples | None:
    """All real points of a finite set; None for a set without end."""
    if data.examples is None:
        return None
    parts = (data.examples, data.held_out)
    rows = _comparable(torch.cat([part.rows for part in parts]), data.config)
    return Examples(rows, torch.cat([part.labels for part in parts]))


def _comparable(points: Tensor, data: DataConfig) -> Tensor:
    """Points [n, d] in units in which all dimensions count: the data's own if they share one, else the network's."""
    return points if data.one_unit and not data.needs_float64 else data.standardise(points)


def _off_curve(distance: Tensor) -> dict[str, float]:
    """How far points stray from their curve, by their distances [n] from it."""
    return {
        "off_curve": rounded((distance > OFF_CURVE).double().mean().item()),
        "far_off_curve": rounded((distance > FAR_OFF_CURVE).double().mean().item()),
        "farthest_from_curve": rounded(distance.max().item()),
    }


def _within_labels(generated: Examples, other: Examples, real: Examples) -> dict[str, float]:
    """Metrics of the classes' shapes, whatever the classes' shares; without those that few points leave undefined."""
    metrics = {
        "spread": spread_within_labels(generated.rows, generated.labels, other.rows, other.labels),
        "within_labels": sliced_wasserstein_within_labels(generated.rows, generated.labels, real.rows, real.labels),
        "within_labels_floor": sliced_wasserstein_within_labels(other.rows, other.labels, real.rows, real.labels),
    }
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
