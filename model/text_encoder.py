"""A text encoder that goes with a checkpoint: its vocabulary and transformer, text.safetensors on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor

from model.checkpoints.weights import network_with_weights, save_weights
from model.networks import MAX_WIDTH
from model.networks.text_transformer import TextTransformer
from model.strict_config import StrictConfig
from model.vocabulary import PADDING, Vocabulary, Words

FILE = "text.safetensors"
MAX_LAYERS = 64


class TextConfig(StrictConfig):
    """What config.json says of a text encoder; `outputs` is the length of its vectors."""

    vocabulary: Vocabulary
    outputs: int = Field(64, ge=2, le=MAX_WIDTH)
    width: int = Field(64, ge=8, le=MAX_WIDTH)
    layers: int = Field(2, ge=1, le=MAX_LAYERS)
    heads: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> "TextConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of {self.heads} heads")
        return self

    def build_network(self) -> TextTransformer:
        return TextTransformer(
            tokens=self.vocabulary.tokens,
            length=self.vocabulary.length,
            **self.model_dump(include={"outputs", "width", "layers", "heads"}),
        )


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """Prompts → unit vectors, in float32 on the CPU."""

    config: TextConfig
    network: TextTransformer

    def embed(self, prompts: Sequence[Words]) -> Tensor:
        """[prompts, outputs] float32."""
        with torch.no_grad():
            vectors: Tensor = self.network(padded([words.tokens for words in prompts], self.config.vocabulary.length))
        return vectors

    def save(self, folder: Path) -> None:
        save_weights(folder / FILE, self.network)


def padded(tokens: Sequence[Sequence[int]], length: int) -> Tensor:
    """[rows, length] int64, with PADDING behind the words.

    Rows always have the full length, so a prompt's vector is the same, up to rounding, alone and beside others of any
    length.
    """
    rows = torch.full((len(tokens), length), PADDING)
    for row, words in zip(rows, tokens, strict=True):
        row[: len(words)] = torch.tensor(words, dtype=torch.int64)
    return rows


def load_text(folder: Path, config: TextConfig) -> TextEncoder:
    """Raises CheckpointError."""
    network = network_with_weights(folder / FILE, config.build_network)
    return TextEncoder(config, network.eval().requires_grad_(False))
