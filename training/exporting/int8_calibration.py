"""What a network reads as it samples: its integers are scaled for it."""

import torch
from torch import Tensor

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import Conditions
from model.label_prior import in_drawn_clusters
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from training.generate import labelled, prompted, spread

ROWS, SAMPLER, STEPS = 32, "dpmpp-2m", 20
FIRST_SEED = 2**40  # far from those that evaluations sample


def network_inputs(checkpoint: DenoiserCheckpoint) -> list[tuple[Tensor, ...]]:
    """Batches of (x, t, condition, …), one for each network evaluation of a run from noise to samples, under the card's
    guidance: over all labels, in drawn clusters, or over the vocabulary's examples."""
    network, seen = checkpoint.torch_network(), []

    def recorded(*rows: Tensor) -> Tensor:
        seen.append(tuple(one.clone() for one in rows))
        return network(*rows)

    steps = min(STEPS, checkpoint.schedule.T)
    plan = make_plan(checkpoint.schedule, SAMPLER, steps)
    seeds = torch.from_numpy(sample_seeds(FIRST_SEED, ROWS))
    conditions = _conditions(checkpoint)
    if checkpoint.config.cluster_shares:
        conditions = in_drawn_clusters(conditions, seeds, checkpoint.config.cluster_shares)
    sample(checkpoint.denoiser(network=recorded), plan, conditions, seeds, checkpoint.data.shape)
    return seen


def _conditions(checkpoint: DenoiserCheckpoint) -> Conditions:
    options: SamplingConfig = checkpoint.config.sampling
    if checkpoint.text is not None:
        vocabulary = checkpoint.text.config.vocabulary
        text = checkpoint.text.embed([vocabulary.read(prompt) for prompt in vocabulary.examples])
        return prompted(text[torch.arange(ROWS) % len(text)], options)
    if checkpoint.data.labels:
        labels = spread(len(checkpoint.data.labels), ROWS)
        return labelled(labels[torch.arange(ROWS).numpy() % len(labels)], options)
    return options.conditions(ROWS)
