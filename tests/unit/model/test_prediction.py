"""The score that a posterior mean tells."""

import torch

from model.prediction import score


def test_the_score_of_a_gaussian_is_known():
    """x_0 ~ N(0, s²): x_t ~ N(0, ᾱs² + 1 − ᾱ), and x̂0 = √ᾱ s²/(ᾱs² + 1 − ᾱ) x_t."""
    variance = 0.3
    alpha_bar = torch.tensor([0.0, 0.2, 0.7, 0.99], dtype=torch.float64)
    x_t = torch.tensor([[1.0, -2.0], [0.1, 3.0], [-0.4, 0.0], [2.0, 2.0]], dtype=torch.float64)
    total = (alpha_bar * variance + 1 - alpha_bar)[:, None]
    x0 = alpha_bar.sqrt()[:, None] * variance / total * x_t
    torch.testing.assert_close(score(x0, x_t, alpha_bar), -x_t / total)
