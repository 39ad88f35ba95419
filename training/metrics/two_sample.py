"""The classifier two-sample test: can a small network separate generated rows from real ones?"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.seeded import seeded

FOLDS = 5
WIDTH, STEPS, LEARNING_RATE, DECAY = 32, 200, 1e-2, 1e-2
MOST = 2_000  # rows of either kind that are compared


def two_sample_accuracy(generated: Tensor, real: Tensor) -> float:
    """The accuracy of a small network that classifies held-out rows as generated or real (Lopez-Paz & Oquab 2017).

    generated  [n, d]
    real       [m, d]; as many rows of either kind are compared, so 0.5 is chance

    Each row is held out once, in one of FOLDS trainings.
    """
    n = min(len(generated), len(real), MOST)
    generator = torch.Generator().manual_seed(0)
    parts = [rows[torch.randperm(len(rows), generator=generator)[:n]] for rows in (generated, real)]
    rows, kind = torch.cat(parts).float(), torch.arange(2).repeat_interleave(n)
    fold = torch.arange(n).remainder(FOLDS).repeat(2)
    correct = 0
    for held_out in range(FOLDS):
        test = fold == held_out
        logit = _classifier(rows[~test], kind[~test].float())
        correct += int(((logit(rows[test]) > 0) == kind[test].bool()).sum())
    return correct / (2 * n)


def _classifier(rows: Tensor, kind: Tensor) -> Callable[[Tensor], Tensor]:
    """Train on rows [n, d] of kinds [n] (0 or 1); the function returned maps [m, d] to logits [m] of kind 1."""
    mean, std = rows.mean(0), rows.std(0).clamp(min=1e-12)
    with seeded(0):
        network = nn.Sequential(nn.Linear(rows.shape[1], WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=DECAY)
    standardised = (rows - mean) / std
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(network(standardised)[:, 0], kind)
            torch.autograd.backward(loss)
            optimizer.step()

    def logit(rows: Tensor) -> Tensor:
        output: Tensor = network((rows - mean) / std)
        return output[:, 0].detach()

    return logit
