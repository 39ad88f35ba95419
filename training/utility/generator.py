"""The generators whose samples are judged: what each has seen of the data is its definition."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig
from model.conditions import NO_LABEL
from model.precision import choose_precision
from training.data import DATA_IDENTITY
from training.data.stored_tensors import StoredTensors
from training.data.training_set import DataError, Examples, TrainingSet
from training.generate import generate, labelled
from training.utility.generator_training import NETWORKS, SAMPLING, GeneratorOptions, precision_of, train_denoiser
from training.utility.pool import Pool
from training.utility.side_by_side import stop_if_unwanted

Sampler = Callable[[Tensor, Tensor], Tensor]
"""(labels [n] int64, seeds [n] int64) → rows [n, …] in the data's own units"""

PRETRAINING_VERSION = 1  # of a generator's training without labels: a new number makes it be done again
ROUNDS = 4  # of drawing samples: the later ones are of those that are not read as asked
SEEDS_OF_A_ROUND = 2**29  # more than anyone draws, so no two rounds share a sample …
SEEDS_OF_A_CHOICE = 2**32  # … nor do two choices: this is more than the seeds of all rounds


@dataclass(frozen=True, eq=False)
class Known:
    """What is known to whoever chose the labelled rows.

    chosen  indices into `pool.train`
    seed    of the generator's training, less than 2³²: PyTorch reads no more of one; the samples have seeds from
            SEEDS_OF_A_CHOICE · seed on
    reader  rows [n, …] → p(class|row) [n, classes], by the classifier that the chosen rows have taught with classical
            augmentation. A generator that needs a labeller has that instead.
    """

    pool: Pool
    chosen: Tensor
    seed: int
    reader: Callable[[Tensor], Tensor]

    @property
    def labelled(self) -> Examples:
        return self.pool.train.at(self.chosen)

    def pseudo_labelled(self) -> Examples:
        """All rows of the pool: the chosen with their labels, the others as the classifier reads them."""
        rows = self.pool.seen
        labels = self.reader(rows).argmax(1)
        labels[self.chosen] = self.pool.train.labels[self.chosen]
        return Examples(rows, labels)


class Closed:
    """A diffusion model of the chosen rows alone."""

    name = key = "closed"
    doubt = ""
    said = "trained on the labelled rows alone"
    needs_labeller = False

    def __init__(self, options: GeneratorOptions):
        self._options = options

    def prepare(self, pool: Pool) -> None:
        """Nothing is known before rows are chosen."""

    def taught(self, known: Known) -> Sampler:
        options = self._options
        return sampler_of(train_denoiser(known.labelled, known.pool.config, options, options.steps, known.seed))


class Semi:
    """A diffusion model of all rows, most of them without a label (You 2023): the labeller's pseudo-labels tune a model
    that was trained on the same rows without labels. That one is trained once, and kept in the cache."""

    name = key = "semi"
    doubt = ""
    said = "trained on all rows; a classifier that has learned from all of them labels those without a label"
    needs_labeller = True

    def __init__(self, options: GeneratorOptions):
        self._options = options

    def prepare(self, pool: Pool) -> None:
        """Train it without labels, if that was not done before."""
        self._start(pool)

    def taught(self, known: Known) -> Sampler:
        options, data, start = self._options, known.pool.config, self._start(known.pool)
        return sampler_of(train_denoiser(known.pseudo_labelled(), data, options, options.steps, known.seed, start))

    def is_pretrained(self, pool: Pool) -> bool:
        return self._stored(pool).known

    def _start(self, pool: Pool) -> Mapping[str, Tensor]:
        return self._stored(pool).get(lambda: self._pretrained(pool))

    def _stored(self, pool: Pool) -> StoredTensors:
        made_by = (
            PRETRAINING_VERSION,
            pool.fingerprint,
            pool.config,
            NETWORKS[pool.config.kind],
            self._options.before_labels,
            precision_of(pool.config),
        )
        return StoredTensors(f"{pool.config.dataset} without labels", made_by)

    def _pretrained(self, pool: Pool) -> Mapping[str, Tensor]:
        unlabelled = Examples(pool.seen, torch.full((len(pool.seen),), NO_LABEL))
        options = self._options
        return train_denoiser(unlabelled, pool.config, options, options.pretraining_steps, seed=0).network.state_dict()


class Shipped:
    """A checkpoint that is there already. It has seen other rows, and their labels, than were chosen.

    key    what its results are kept by: another one of this name, or with other settings, has another
    doubt  what the page says if it may have learned test rows
    """

    said = "a checkpoint that was trained with the labels of all rows: no fair rival of few labels"
    needs_labeller = False

    def __init__(self, checkpoint: DenoiserCheckpoint, data: TrainingSet):
        """data: what it is to help with. Raises DataError: see `spares_held_out`."""
        self._checkpoint, self.name = checkpoint, checkpoint.config.name
        self.doubt = (
            ""
            if spares_held_out(checkpoint.config, data)
            else (
                f"{self.name} may have learned test rows: its config.json does not tell which rows it was trained on."
            )
        )
        sampling = checkpoint.config.sampling.model_dump_json()
        self.key = f"{self.name} {hashlib.sha256((checkpoint.identity + sampling).encode()).hexdigest()[:8]}"

    def prepare(self, pool: Pool) -> None:
        """It is trained already."""

    def taught(self, known: Known) -> Sampler:
        return self.sampler

    @property
    def sampler(self) -> Sampler:
        """It samples as its card advises."""
        return sampler_of(self._checkpoint, self._checkpoint.config.sampling)


Generator = Closed | Semi | Shipped


def spares_held_out(config: DenoiserConfig, data: TrainingSet) -> bool:
    """Is it known that a checkpoint has not learned what this set holds out?

    Raises DataError if it was trained on other data of somebody's own.
    """
    learned, own = config.recipe.get(DATA_IDENTITY, ""), "" if data.real is None else data.real.identity
    if learned and learned != own:
        raise DataError(
            f"{config.name} was trained on other data than {data.config.dataset}, or before they changed: it may have "
            f"learned the rows that are held out now. Ask with the recipe that it was trained by, or train it again"
        )
    if "started_from" in config.recipe:  # the recipe tells of the last stage alone
        return False
    if own:
        return bool(learned)
    return bool(config.recipe) and config.data.dataset == data.config.dataset  # built in: always the same is held out


def sampler_of(checkpoint: DenoiserCheckpoint, sampling: SamplingConfig = SAMPLING) -> Sampler:
    """Its samples; images are whole numbers 0 … 255, as real ones are."""
    data, precision = checkpoint.config.data, choose_precision("auto", checkpoint, torch.device("cpu"))

    def sample(labels: Tensor, seeds: Tensor) -> Tensor:
        conditions = labelled(labels.numpy(), sampling)
        rows = generate(
            checkpoint,
            conditions,
            sampling,
            seed=seeds,
            precision=precision,
            advance=lambda rows: stop_if_unwanted(),
        )
        return rows.round().clamp(0, 255).to(torch.uint8) if data.kind == "images" else rows

    return sample


def generated_rows(sampler: Sampler, known: Known, rows: int, confidence: float) -> Examples:
    """So many samples of each class: one of each in turn, so that the first ones of many are the same as few.

    confidence  samples that are read as asked with less probability are drawn again, in ROUNDS rounds with the first;
                then the best of them stay
    """
    classes = known.pool.classes
    labels = torch.arange(classes).repeat(rows)
    seeds = SEEDS_OF_A_CHOICE * known.seed + torch.arange(len(labels))
    kept = sampler(labels, seeds)
    if confidence <= 0:
        return Examples(kept, labels)
    sure = known.reader(kept)[torch.arange(len(labels)), labels]
    for attempt in range(1, ROUNDS):
        weak = torch.nonzero(sure < confidence).flatten()
        if not len(weak):
            break
        fresh = sampler(labels[weak], seeds[weak] + attempt * SEEDS_OF_A_ROUND)
        found = known.reader(fresh)[torch.arange(len(weak)), labels[weak]]
        better = found > sure[weak]
        kept[weak[better]], sure[weak[better]] = fresh[better], found[better]
    return Examples(kept, labels)
