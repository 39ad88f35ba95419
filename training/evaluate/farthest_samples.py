"""The samples that are farthest from real data: a reader sees the worst, and not only a sheet."""

from pathlib import Path

from torch import Tensor

from model.checkpoints.denoiser import DenoiserCheckpoint
from training.card.pictures import save_farthest_picture
from training.evaluate.image_evaluation import generate_conditioned
from training.evaluate.sampling_run import SamplingRun
from training.metrics.image_reference import ImageReference
from training.metrics.nearest_neighbours import nearest_distance

SAMPLES = {"images": 1_000, "points": 5_000}  # among which they are looked for, by the kind of data


def draw_farthest(checkpoint: DenoiserCheckpoint, reference: ImageReference, run: SamplingRun, path: Path) -> Tensor:
    """Draw the farthest of the samples that the card advises. Returns all samples' distances from real data [n]."""
    config = checkpoint.config
    samples = SAMPLES[config.data.kind]
    generated = generate_conditioned(checkpoint, reference.data, config.sampling, run, samples=samples)
    distance = distance_from_real(generated.rows, reference)
    save_farthest_picture(path, reference.data, generated, distance)
    return distance


def distance_from_real(rows: Tensor, reference: ImageReference) -> Tensor:
    """The distance of each sample [n, …] from the nearest held-out row: [n].

    Between the judge's features, where there is a judge of such images; else between rows in the network's range.
    """
    judged, config = reference.judged, reference.data.config
    if judged is not None:
        return nearest_distance(judged.judge.look(rows)[0], judged.test_features)
    generated, real = (config.standardise(some.float()).flatten(1) for some in (rows, reference.data.held_out.rows))
    return nearest_distance(generated, real)
