"""The classifier two-sample test: can generated rows be told from real ones?"""

import torch
from torch import Tensor, nn

FOLDS = 5
WIDTH, STEPS, LEARNING_RATE, DECAY = 32, 200, 1e-2, 1e-2
MOST = 2_000  # rows of each kind


def two_sample_accuracy(generated: Tensor, real: Tensor) -> float:
    """Share of held-out rows of which a small network says rightly whether they are generated (Lopez-Paz & Oquab 2017).

    As many of each [n, d], so 0.5 is by chance. Each row is held out once, in one of FOLDS trainings.
    """
    n = min(len(generated), len(real), MOST)
    generator = torch.Generator().manual_seed(0)
    parts = [rows[torch.randperm(len(rows), generator=generator)[:n]] for rows in (generated, real)]
    rows, kind = torch.cat(parts).float(), torch.arange(2).repeat_interleave(n)
    fold = torch.arange(n).remainder(FOLDS).repeat(2)
    right = 0
    for held_out in range(FOLDS):
        test = fold == held_out
        says = _classifier(rows[~test], kind[~test].float())
        right += int(((says(rows[test]) > 0) == kind[test].bool()).sum())
    return right / (2 * n)


def _classifier(rows: Tensor, kind: Tensor):
    """rows [n, d] → a function that gives a positive number for rows of kind 1."""
    mean, std = rows.mean(0), rows.std(0).clamp(min=1e-12)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(rows.shape[1], WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=DECAY)
    seen = (rows - mean) / std
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(STEPS):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(seen)[:, 0], kind).backward()
            optimizer.step()
    return lambda of: network((of - mean) / std)[:, 0].detach()
