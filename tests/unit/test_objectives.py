"""The losses against formulas of their own, and what randomness goes into them."""

import numpy as np
import pytest
import torch

from model.denoiser import NO_LABEL
from model.prediction import per_row
from model.schedule import make_schedule
from training.objectives import MIN_SNR_GAMMA, DenoisingLoss, draw_timesteps, loss_weights

SCHEDULES = [("cosine", 1000), ("cosine", 20), ("linear", 1000), ("linear", 100)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Recorder(torch.nn.Module):
    """A network that answers zero and remembers what it was asked."""

    def forward(self, x, t, label):
        self.x, self.t, self.label = x, t, label
        return torch.zeros_like(x)


@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large"])
@pytest.mark.parametrize(("name", "T"), SCHEDULES)
def test_vlb_weight_is_the_distance_of_means_over_twice_the_variance(name, T, variance):
    """HJA20 eq. 8: L_{t−1} = ‖μ̃(x_t, x_0) − μ_θ‖²/(2σ²), with μ̃ of eq. 7 and x_0 put in terms of ε."""
    schedule = make_schedule(name, T)
    weights = loss_weights("vlb", "epsilon", schedule, variance)
    x_t, epsilon, error = 0.7, -0.3, 0.01
    for t in range(2, T + 1):
        alpha_bar, before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
        alpha = alpha_bar / before
        beta = 1 - alpha

        def mean(noise, alpha_bar=alpha_bar, before=before, alpha=alpha, beta=beta):
            x_0 = (x_t - np.sqrt(1 - alpha_bar) * noise) / np.sqrt(alpha_bar)
            of_x_0 = np.sqrt(before) * beta / (1 - alpha_bar)
            of_x_t = np.sqrt(alpha) * (1 - before) / (1 - alpha_bar)
            return of_x_0 * x_0 + of_x_t * x_t

        sigma2 = beta if variance == "fixed-large" else (1 - before) / (1 - alpha_bar) * beta
        expected = (mean(epsilon) - mean(epsilon + error)) ** 2 / (2 * sigma2)
        assert weights[t] * error**2 == pytest.approx(expected, rel=1e-6)


def test_vlb_weight_at_t_1_is_finite_though_the_posterior_variance_is_zero():
    schedule = make_schedule("cosine", 1000)
    beta, alpha_bar = schedule.beta, schedule.alpha_bar
    beta_tilde_2 = (1 - alpha_bar[1]) / (1 - alpha_bar[2]) * beta[1]
    expected = beta[0] ** 2 / (2 * beta_tilde_2 * (1 - beta[0]) * (1 - alpha_bar[1]))
    assert loss_weights("vlb", "epsilon", schedule)[1] == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(loss_weights("vlb", "epsilon", make_schedule("cosine", 1))).all()


def test_simple_weighs_every_timestep_alike():
    assert (loss_weights("simple", "v", make_schedule("cosine", 50))[1:] == 1).all()


def test_min_snr_weights_are_those_of_the_paper():
    """Hang 2023: min(SNR, γ)/SNR for ε, min(SNR, γ)/(SNR + 1) for v, min(SNR, γ) for x0."""
    schedule = make_schedule("cosine", 1000)
    snr = np.exp(schedule.log_snr[1:])
    clipped = np.minimum(snr, MIN_SNR_GAMMA)
    for target, expected in {"epsilon": clipped / snr, "v": clipped / (snr + 1), "x0": clipped}.items():
        np.testing.assert_allclose(loss_weights("min-snr", target, schedule)[1:], expected, rtol=1e-9)


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ValueError, match="simple, vlb or min-snr"):
        loss_weights("heavy", "v", make_schedule("cosine", 10))


@pytest.mark.parametrize("weighting", ["vlb", "min-snr"])
def test_one_belief_has_one_loss_however_it_is_put(weighting):
    """A network that believes x̂0 = x_t/3, said as ε, as v and as x0: the same weighted loss."""
    schedule = make_schedule("cosine", 100)
    alpha_bar = torch.from_numpy(schedule.alpha_bar)
    x0 = torch.randn(64, 2, generator=generator(1), dtype=torch.float64)

    def belief(target):
        def network(x_t, t, label):
            a = per_row(alpha_bar[t], x_t)
            x0_hat = x_t / 3
            epsilon = (x_t - a.sqrt() * x0_hat) / (1 - a).sqrt()
            return {"x0": x0_hat, "epsilon": epsilon, "v": a.sqrt() * epsilon - (1 - a).sqrt() * x0_hat}[target]

        return network

    losses = []
    for target in ("epsilon", "v", "x0"):
        loss = DenoisingLoss(schedule, target, loss_weights(weighting, target, schedule), label_drop=0.1)
        losses.append(loss(belief(target), x0, torch.zeros(64, dtype=torch.long), generator()).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_the_exact_network_has_no_loss_and_a_silent_one_has_the_variance_of_its_target():
    schedule = make_schedule("cosine", 100)
    x0 = torch.full((512, 2), 0.5)
    labels = torch.zeros(512, dtype=torch.long)
    alpha_bar = torch.from_numpy(schedule.alpha_bar).float()

    def exact(x_t, t, label):
        a = per_row(alpha_bar[t], x_t)
        return (x_t - a.sqrt() * 0.5) / (1 - a).sqrt()

    loss = DenoisingLoss(schedule, "epsilon", loss_weights("simple", "epsilon", schedule), label_drop=0)
    assert loss(exact, x0, labels, generator()).item() == pytest.approx(0, abs=1e-6)
    assert loss(Recorder(), x0, labels, generator()).item() == pytest.approx(1, abs=0.15)


def test_labels_are_dropped_for_single_samples():
    network, labels = Recorder(), torch.arange(2000) % 10
    loss = DenoisingLoss(make_schedule("cosine", 10), "v", np.ones(11), label_drop=0.25)
    for seed in range(5):
        loss(network, torch.zeros(2000, 2), labels, generator(seed))
        dropped = network.label == NO_LABEL
        assert 0.2 < dropped.float().mean() < 0.3  # of every batch, never a whole one
        assert torch.equal(network.label[~dropped], labels[~dropped])


@pytest.mark.parametrize(("label_drop", "share"), [(0.0, 0), (1.0, 1)])
def test_labels_are_never_or_always_dropped(label_drop, share):
    network = Recorder()
    loss = DenoisingLoss(make_schedule("cosine", 10), "v", np.ones(11), label_drop)
    loss(network, torch.zeros(500, 2), torch.ones(500, dtype=torch.long), generator())
    assert (network.label == NO_LABEL).float().mean() == share


def test_a_batch_depends_on_its_generator_alone():
    networks = Recorder(), Recorder()
    loss = DenoisingLoss(make_schedule("cosine", 10), "v", np.ones(11), label_drop=0.5)
    for network in networks:
        torch.randn(3)  # the global generator moves on, and does not matter
        loss(network, torch.zeros(100, 2), torch.ones(100, dtype=torch.long), generator(7))
    first, second = networks
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.t, second.t)
    assert torch.equal(first.label, second.label)


def test_timesteps_are_uniform_from_1_to_T():
    T, batches, rows = 20, 500, 32
    drawn = torch.stack([draw_timesteps(rows, T, generator(seed)) for seed in range(batches)])
    counts = torch.bincount(drawn.flatten(), minlength=T + 1)
    assert counts[0] == 0  # t = 0 is the data: nothing to denoise
    assert len(counts) == T + 1
    expected = batches * rows / T
    assert (counts[1:] - expected).abs().max() < 0.05 * expected
    # … and each row's own: its timestep says nothing of its place in the batch.
    first_row = torch.bincount(drawn[:, 0], minlength=T + 1)[1:].double()
    chi2 = ((first_row - batches / T) ** 2 / (batches / T)).sum()
    assert chi2 < 43.8  # 99.9th percentile of χ² with 19 degrees of freedom


def test_timesteps_of_one_batch_are_evenly_spread():
    t = draw_timesteps(1000, 1000, generator())
    assert torch.bincount(t, minlength=1001)[1:].max() <= 2
    assert {1, 1000} <= set(draw_timesteps(4000, 1000, generator()).tolist())
