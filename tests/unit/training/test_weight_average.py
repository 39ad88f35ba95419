import pytest
import torch

from training.weight_average import _ema


def test_the_average_warms_up():
    update = _ema(decay=0.9)
    average, expected = [torch.zeros(1)], 0.0
    for n in range(1, 200):
        value = float(n % 7)
        update(average, [torch.full((1,), value)], torch.tensor(n))
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
        assert average[0].item() == pytest.approx(expected, rel=1e-4)
