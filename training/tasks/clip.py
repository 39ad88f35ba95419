"""A recipe for CLIP → what the trainer trains, and the checkpoint it becomes."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.clip import Clip, ClipConfig, ImageTower
from model.checkpoints.config import load_config
from model.checkpoints.weights import CheckpointError, load_weights
from model.networks.text_transformer import TextTransformer
from model.noise_schedule import make_schedule
from model.prediction import diffused
from model.text_encoder import FILE, TextConfig, TextEncoder, padded
from model.vocabulary import UNKNOWN, Vocabulary
from training.card.card import ACCURACY, write_guidance_card
from training.data import captioned_set
from training.data.captions import Caption, tensor_of, true_of
from training.pictures import save_noisy_picture
from training.recipe import ClipRecipe, RecipeError, trained_by
from training.tasks.objectives import draw_timesteps
from training.tasks.task import Batch, LossContext

STRANGE_WORDS = 0.2  # share of captions that get words which mean nothing, so that such words do little


class Towers(nn.Module):
    """Both towers, for the trainer: noisy images and captions → how well each goes with each."""

    def __init__(self, image: ImageTower, text: TextTransformer):
        super().__init__()
        self.image = image
        self.text = text

    def forward(self, scaled: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """Logits [rows, captions]."""
        logits: Tensor = self.image.logit_scale * (self.image(scaled, t) @ self.text(tokens).T)
        return logits


class ClipTask:
    """See `training.tasks.task.Task`."""

    def __init__(self, recipe: ClipRecipe, start_from: Path | None = None):
        self.recipe = recipe
        try:
            self.data = captioned_set(recipe.data)
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: data: {error}") from error
        self.stateful = ()
        try:
            text = TextConfig(vocabulary=self.data.vocabulary, **recipe.text.model_dump())
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: text: {error}") from error
        self.config = ClipConfig(
            name=recipe.name,
            data=self.data.config,
            network=recipe.network,
            text=text,
            schedule=recipe.schedule,
            sampling=recipe.sampling,
            default_for_prompts=recipe.default_for_prompts,
            recipe=trained_by(recipe),
        )
        self.schedule = make_schedule(recipe.schedule.name, recipe.schedule.T)
        self._alpha_bar = torch.from_numpy(self.schedule.alpha_bar).float()
        torch.manual_seed(recipe.seed)
        try:
            self.network = Towers(self.config.build_network(), text.build_network())
        except ValueError as error:
            raise RecipeError(f"{recipe.name}: network: {error}") from error
        self.network.image.to(memory_format=torch.channels_last)
        if start_from is not None:
            self._start_from(start_from)

    def _start_from(self, folder: Path) -> None:
        """Raises RecipeError where the weights do not fit, or mean something else."""
        try:
            other = load_config(folder, ClipConfig)
            load_weights(folder / WEIGHTS, self.network.image)
            load_weights(folder / FILE, self.network.text)
        except CheckpointError as error:
            raise RecipeError(f"--from: {error}") from error
        if other.schedule != self.config.schedule or other.text.vocabulary.words != self.config.text.vocabulary.words:
            raise RecipeError(f"--from: {folder.name} was trained with another schedule or other words")

    def loss(self, batch: Batch, context: LossContext) -> Tensor:
        """Contrastive, of a caption for each image; a caption is a positive of every image that it is true of.

        Both ways, cross-entropy against an even share for each positive (Khosla 2020, eq. 2, over captions).
        """
        x0, traits, generator = self.config.data.standardise(batch.rows), batch.labels, context.generator
        t = draw_timesteps(len(x0), self.schedule.T, generator)
        noise = torch.randn(x0.shape, generator=generator).to(x0.device)
        captions = self.data.captions_of(traits.cpu(), generator)
        tokens = tokens_of(captions, self.config.text.vocabulary, generator).to(x0.device)
        x_t = diffused(x0, noise, self._alpha_bar[t].to(x0.device))
        t = t.to(x0.device)
        scaled = Clip(self.network.image, self.schedule, x0.device).scaled_input(x_t, t)
        logits = context.network(scaled, t, tokens).float()
        positive = true_of(tensor_of(captions).to(x0.device), traits).float()
        of_images = F.cross_entropy(logits, positive / positive.sum(1, keepdim=True))
        of_captions = F.cross_entropy(logits.T, positive.T / positive.T.sum(1, keepdim=True))
        return (of_images + of_captions) / 2

    def picture(self, network: nn.Module, path: Path) -> None:
        """The noisy rows that it is trained on."""
        save_noisy_picture(path, self.data, self.schedule)

    def save(self, network: Towers, folder: Path) -> None:
        (folder / ACCURACY).unlink(missing_ok=True)  # of earlier weights
        save_checkpoint(folder, self.config, network.image, TextEncoder(self.config.text, network.text))
        write_guidance_card(folder, self.config)


def tokens_of(captions: Sequence[Caption], words: Vocabulary, generator: torch.Generator) -> Tensor:
    """[captions, length] int64; into some of them an unknown word is put, anywhere."""
    rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
    rows = []
    for caption in captions:
        tokens = list(words.read(caption.text).tokens)
        while rng.random() < STRANGE_WORDS and len(tokens) < words.length:
            tokens.insert(rng.randint(0, len(tokens)), UNKNOWN)
        rows.append(tokens)
    return padded(rows, words.length)
