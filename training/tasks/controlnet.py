"""What every training of a ControlNet shares: the base that it is beside, its config, pictures and checkpoint."""

from pathlib import Path

import torch
from torch import nn

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.control import ControlCheckpoint, ControlConfig
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, load_checkpoint
from model.checkpoints.weights import CheckpointError, load_weights
from model.conditions import NO_LABEL, HintKind
from model.networks.controlnet import ControlNet
from training.card.card import CONTROL_SHEET, write_control_card
from training.data import trained_on
from training.data.hinted_images import HintedImages
from training.data.ink import EXAMINED, frame_of, is_ink
from training.generate import generate, labelled
from training.pictures import save_picture
from training.recipe import ControlFlowMapRecipe, ControlRecipe, RecipeError, trained_by

PICTURED = 16  # hints that a picture shows, and what becomes of them


class ControlNetBeside:
    """A ControlNet beside its base, which is locked. Its subclasses are tasks: they have the data and the loss."""

    def __init__(self, recipe: ControlRecipe | ControlFlowMapRecipe, base: Path, hint: HintKind):
        """`base`: the folder of the checkpoint that the recipe's `base` names.

        Raises RecipeError where it can have no ControlNet.
        """
        try:
            self.base: DenoiserCheckpoint = load_checkpoint(base)
            if (refusal := self.refusal(self.base.config)) is not None:
                raise RecipeError(f"{recipe.name}: base: {base.name} {refusal}")
            T = self.base.schedule.T
            if (recipe.sampling.steps or 0) > T:
                raise RecipeError(f"{recipe.name}: sampling.steps is at most T = {T} of {base.name}")
            config = ControlConfig.beside(
                self.base,
                name=recipe.name,
                hint=hint,
                control_scale=recipe.control_scale,
                sampling=recipe.sampling,
                recipe=trained_by(recipe),
            )
            if self.base.config.conditioning == "text":
                raise RecipeError(
                    f"{recipe.name}: base: {base.name} reads prompts; use one that reads labels, or nothing"
                )
            real = trained_on(self.base.config).real
            if real is None:
                raise RecipeError(f"{recipe.name}: base: {base.name} was trained on no images")
            self.hinted = HintedImages(real, hint)
        except (CheckpointError, ValueError) as error:
            raise RecipeError(f"{recipe.name}: base: {error}") from error
        some = real.examples.some(EXAMINED).rows
        framing = {"frame": frame_of(some)} if is_ink(some) else {"framing": "whole"}
        self.config = config.model_copy(update=framing)
        self.stateful = ()
        self._seed = recipe.seed
        torch.manual_seed(recipe.seed)
        self.network = self.config.build_network().to(memory_format=torch.channels_last)
        self.network.begin_as(self.base.network)
        self.locked = self.base.network.to(memory_format=torch.channels_last).train().requires_grad_(False)

    def refusal(self, base: DenoiserConfig) -> str | None:
        """Why the task cannot have such a base; None where it can."""
        raise NotImplementedError

    def start_from(self, folder: Path | None) -> None:
        """Raises RecipeError where the folder holds no ControlNet of this shape."""
        if folder is None:
            return
        try:
            load_weights(folder / WEIGHTS, self.network)
        except CheckpointError as error:
            raise RecipeError(f"--from: {error}") from error

    def picture(self, network: nn.Module, path: Path) -> None:
        """A line of images, of their hints, of what is made of them with the label, and without."""
        generator = torch.Generator().manual_seed(self._seed)
        rows, labels = self.hinted.draw(PICTURED, generator)
        images, hints = rows[:, :-1], rows[:, -1:]
        advised = self.base.config.sampling
        if not isinstance(network, ControlNet):
            raise TypeError("a ControlNet's picture needs a ControlNet")
        control = ControlCheckpoint(self.config, self.base.schedule, network)
        lines = [images, 255 * hints.expand_as(images)]
        for shown, options in (
            (labels, advised),
            (torch.full_like(labels, NO_LABEL), self.config.sampling.applied_to(advised)),
        ):
            conditions = labelled(shown.numpy(), options).with_hints(hints, self.config.hint, self.config.control_scale)
            device = next(network.parameters()).device
            lines.append(generate(self.base, conditions, options, control=control, device=device))
        save_picture(path, self.config.data, torch.cat(lines), labels.numpy(), columns=PICTURED)

    def save(self, network: nn.Module, folder: Path) -> None:
        (folder / CONTROL_SHEET).unlink(missing_ok=True)  # of earlier weights
        save_checkpoint(folder, self.config, network)
        write_control_card(folder, self.config)
