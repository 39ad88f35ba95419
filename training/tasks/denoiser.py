"""A recipe for a denoiser → what the trainer trains, and the checkpoint it becomes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.clip import load_clip
from model.checkpoints.config import load_config, read_role
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError, read_weights
from model.conditions import NO_LABEL
from model.networks.adapters import AdapterConfig
from model.networks.parameter_names import NAMES
from model.noise_schedule import make_schedule
from model.text_encoder import TextEncoder
from training.card.card import PICTURES, write_denoiser_card
from training.clusters import cluster_shares, in_clusters, network_features, row_features
from training.data import captioned_set, training_set
from training.data.captions import CaptionedSet
from training.data.data_section import ImageSection
from training.data.label_shares import label_shares
from training.data.training_set import FiniteSet, TrainingSet
from training.recipe import DenoiserRecipe, RecipeError, trained_by
from training.reference_points import keeps_reference_by_default, reference_of
from training.tasks.objectives import DenoisingLoss
from training.tasks.sample_picture import save_sample_picture
from training.tasks.stable_targets import all_rows
from training.tasks.task import Batch, LossContext


class DenoisingTask:
    """See `training.tasks.task.Task`."""

    def __init__(
        self,
        recipe: DenoiserRecipe,
        start_from: Path | None = None,
        text_from: Path | None = None,
        features_from: Path | None = None,
    ):
        """`text_from`, `features_from`: the folders of the checkpoints that the recipe's fields of that name name."""
        self.recipe = recipe
        self.text: TextEncoder | None = None
        self._captioned: CaptionedSet | None = None
        try:
            if text_from is None:
                data_set = training_set(recipe.data)
                self.data: TrainingSet = data_set if data_set.real is None else data_set.real.with_unlabelled()
                if recipe.clusters is not None:
                    self.data = _clustered(self.data, recipe, recipe.clusters, features_from)
            elif isinstance(recipe.data, ImageSection) and recipe.data.unlabelled is not None:
                raise RecipeError(f"{recipe.name}: data: unlabelled images have no captions to learn: leave them out")
            else:
                self.text = _text_encoder(text_from, recipe.data.dataset)
                self.data = self._captioned = captioned_set(recipe.data)
                if self.text.config.vocabulary.words != self._captioned.vocabulary.words:
                    raise RecipeError(
                        f"{recipe.name}: text_from: {text_from.name} knows other words than the captions: "
                        f"train it again"
                    )
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: data: {error}") from error
        data = self.data.config
        if not recipe.objective.conditional or self.text is not None:
            data = data.model_copy(update={"labels": ()})
        self.config = DenoiserConfig(
            name=recipe.name,
            data=data,
            network=recipe.network,
            schedule=recipe.schedule,
            prediction=recipe.prediction,
            sampling=recipe.sampling,
            text=None if self.text is None else self.text.config,
            label_shares=label_shares(self.data) if data.labels else (),
            cluster_shares=() if self.data.real is None else cluster_shares(self.data.real),
            recipe=trained_by(recipe),
        )
        torch.manual_seed(recipe.seed)
        try:
            self.network = self.config.build_network()
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: network: {error}") from error
        self.network.to(memory_format=torch.channels_last)
        if start_from is not None:
            self._start_from(start_from)
        self.schedule = make_schedule(recipe.schedule.name, recipe.schedule.T)
        known = all_rows(self.data) if recipe.objective.stable_targets else None
        self._loss = DenoisingLoss(self.schedule, recipe.prediction, recipe.objective, data, known)
        self.stateful = [part for part in (self._loss.important,) if part is not None]

    def _start_from(self, folder: Path) -> None:
        """Begin as another network. Raises RecipeError where the weights do not fit, or were trained to mean something
        else.

        Where the two read different things, the other's unconditional half is begun with, and so is a label that the
        other does not have; where only one has learned a variance, its output does without, or begins afresh.
        """
        try:
            other = load_config(folder, DenoiserConfig)
            weights = read_weights(folder / WEIGHTS)
        except CheckpointError as error:
            raise RecipeError(f"--from: {error}") from error
        if isinstance(other.network, AdapterConfig):
            raise RecipeError(f"--from: {folder.name} has a network of another library, which is not trained further")
        try:
            self.network.load_state_dict(_adapted(weights, self.network.state_dict(), other, self.config))
        except RuntimeError as error:
            raise RecipeError(
                f"--from: {folder.name}: {WEIGHTS} does not fit the recipe's network: {str(error).splitlines()[-1]}"
            ) from error
        for name, theirs, ours in (
            ("schedule", other.schedule, self.config.schedule),
            ("target", other.prediction.target, self.config.prediction.target),
        ):
            if theirs != ours:
                raise RecipeError(
                    f"--from: {folder.name} was trained with another {name} ({theirs}) than the recipe asks for "
                    f"({ours}); give the recipe that one"
                )

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """The batch has traits where the network reads text: a caption is made of each."""
        condition, device = batch.labels, batch.rows.device
        if self.text is not None and self._captioned is not None:
            vocabulary = self.text.config.vocabulary
            captions = self._captioned.captions_of(batch.labels.cpu(), context.generator)
            prompts = [vocabulary.read(caption.text) for caption in captions]
            with torch.autocast("cpu", enabled=False):
                condition = self.text.embed(prompts).to(device)
        elif not self.config.classes:
            condition = torch.full_like(batch.labels, NO_LABEL)
        return self._loss(context.network, self.config.data.standardise(batch.rows), condition, context.generator)

    def picture(self, network: nn.Module, path: Path) -> None:
        checkpoint = DenoiserCheckpoint(self.config, self.schedule, network, self.text)
        save_sample_picture(path, checkpoint, next(network.parameters()).device)

    def save(self, network: nn.Module, folder: Path) -> None:
        """With a card that has no figures and no pictures: those of earlier weights would be lies."""
        for picture in PICTURES:
            (folder / picture).unlink(missing_ok=True)
        reference = reference_of(self.data) if keeps_reference_by_default(folder, self.data) else None
        save_checkpoint(folder, self.config, network, self.text, reference)
        write_denoiser_card(folder, self.config)


def _clustered(data: TrainingSet, recipe: DenoiserRecipe, count: int, features_from: Path | None) -> FiniteSet:
    """The set in so many clusters. Raises RecipeError where it has labels or cannot be clustered."""
    if not isinstance(data, FiniteSet) or data.config.labels:
        raise RecipeError(f"{recipe.name}: clusters are for own data without labels")
    if features_from is None:
        if data.config.kind == "images":
            raise RecipeError(
                f"{recipe.name}: clusters of images need features_from, the name of a denoiser of such images"
            )
        return in_clusters(data, count, row_features(data), recipe.seed)
    try:
        features = network_features(data, load_checkpoint(features_from))
    except (CheckpointError, ValueError) as error:
        raise RecipeError(f"{recipe.name}: features_from: {error}") from error
    return in_clusters(data, count, features, recipe.seed)


def _adapted(
    theirs: dict[str, Tensor], ours: dict[str, Tensor], they: DenoiserConfig, we: DenoiserConfig
) -> dict[str, Tensor]:
    """Weights of one network for another, which may have another condition and another number of outputs."""
    weights = dict(theirs)
    if they.conditioning == we.conditioning == "label":
        rows = {label: index for index, label in enumerate(they.data.labels, start=1)}  # the first is that of no label
        kept = [0, *(rows.get(label, 0) for label in we.data.labels)]
        weights[NAMES.label_table] = theirs[NAMES.label_table][kept]
    elif (they.conditioning, they.cluster_shares) != (we.conditioning, we.cluster_shares):
        # Clusters of the same shares are taken for the same clusters.
        if they.classes or they.conditioning:  # what no label, or no text, adds to the embedding becomes a part of it
            nothing = theirs[NAMES.label_table][0] if they.classes else theirs[NAMES.text_bias]
            weights[NAMES.time_bias] = theirs[NAMES.time_bias] + nothing
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(NAMES.condition)}
        weights |= {name: tensor for name, tensor in ours.items() if name.startswith(NAMES.condition)}
    for name, tensor in weights.items():
        if name.startswith(NAMES.output) and name in ours and tensor.shape[1:] == ours[name].shape[1:]:
            both = min(len(tensor), len(ours[name]))
            weights[name] = torch.cat([tensor[:both], ours[name][both:]])
    return weights


def _text_encoder(folder: Path, dataset: str) -> TextEncoder:
    """Raises RecipeError where the folder has none, or one of other data's captions."""
    try:
        if read_role(folder) != "clip":
            raise RecipeError(f"text_from: {folder.name} is no checkpoint of CLIP; train one, or name another")
        clip = load_clip(folder)
        if clip.data.dataset != dataset:
            raise RecipeError(f"text_from: {folder.name} knows captions of {clip.data.dataset}, not of {dataset}")
        return clip.text
    except CheckpointError as error:
        raise RecipeError(f"text_from: {error}") from error
