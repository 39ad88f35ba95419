"""A small transformer (Vaswani 2017) that reads prompts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.vocabulary import PADDING


class TextTransformer(nn.Module):
    """Tokens [rows, length] int64 (PADDING behind the words) → unit vectors [rows, outputs].

    Pre-norm blocks over all words, then their mean: a prompt is a handful of words, and each counts.
    """

    def __init__(self, *, tokens: int, length: int, outputs: int, width: int, layers: int, heads: int):
        super().__init__()
        self.word = nn.Embedding(tokens, width, padding_idx=PADDING)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(TextBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        there = tokens != PADDING
        h = self.word(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            h = block(h, there)
        counted = there.unsqueeze(2).to(h.dtype)
        mean = (self.norm(h) * counted).sum(1) / counted.sum(1).clamp(min=1)
        return F.normalize(self.leave(mean).float(), dim=1)


class TextBlock(nn.Module):
    """Self-attention over the words that are there, and two layers; each with a skip."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, there: Tensor) -> Tensor:
        rows, length, width = h.shape
        q, k, v = self.qkv(self.norm1(h)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mask = there[:, None, None, :]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(rows, length, width)
        h = h + self.out(attended)
        added: Tensor = h + self.layers(self.norm2(h))
        return added
