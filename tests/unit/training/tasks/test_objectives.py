"""The losses against formulas of their own, and what randomness goes into them."""

import numpy as np
import pytest
import torch

from model.checkpoints.denoiser import PredictionConfig
from model.conditions import NO_LABEL
from model.data import DataConfig
from model.noise_schedule import NoiseSchedule, make_schedule
from model.prediction import per_row
from training.recipe import ObjectiveSection
from training.tasks.objectives import (
    MIN_SNR_GAMMA,
    DenoisingLoss,
    ImportantTimesteps,
    draw_timesteps,
    loss_weights,
    shifted_probabilities,
)
from training.tasks.variational_bound import VariationalBound

SCHEDULES = [("cosine", 1000), ("cosine", 20), ("linear", 1000), ("linear", 100)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


POINTS = DataConfig(dataset="test", kind="points", shape=(2,))


def loss_of(schedule: NoiseSchedule, target: str, learned_variance: bool = False, **objective) -> DenoisingLoss:
    prediction = PredictionConfig(target=target, learned_variance=learned_variance)
    return DenoisingLoss(schedule, prediction, ObjectiveSection(**objective), POINTS)


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
    snr = schedule.alpha_bar[1:] / (1 - schedule.alpha_bar[1:])
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
        loss = loss_of(schedule, target, weighting=weighting)
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

    loss = loss_of(schedule, "epsilon")
    assert loss(exact, x0, labels, generator()).item() == pytest.approx(0, abs=1e-6)
    assert loss(Recorder(), x0, labels, generator()).item() == pytest.approx(1, abs=0.15)


def test_labels_are_dropped_for_single_samples():
    network, labels = Recorder(), torch.arange(2000) % 10
    loss = loss_of(make_schedule("cosine", 10), "v", label_drop=0.25)
    for seed in range(5):
        loss(network, torch.zeros(2000, 2), labels, generator(seed))
        dropped = network.label == NO_LABEL
        assert 0.2 < dropped.float().mean() < 0.3  # of every batch, never a whole one
        assert torch.equal(network.label[~dropped], labels[~dropped])


@pytest.mark.parametrize(("label_drop", "share"), [(0.0, 0), (1.0, 1)])
def test_labels_are_never_or_always_dropped(label_drop, share):
    network = Recorder()
    loss = loss_of(make_schedule("cosine", 10), "v", label_drop=label_drop)
    loss(network, torch.zeros(500, 2), torch.ones(500, dtype=torch.long), generator())
    assert (network.label == NO_LABEL).float().mean() == share


def test_a_batch_depends_on_its_generator_alone():
    networks = Recorder(), Recorder()
    loss = loss_of(make_schedule("cosine", 10), "v", label_drop=0.5)
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


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_a_shift_draws_timesteps_as_often_as_it_says(shift):
    """Esser 2024: the chance of t/T above v is that of u above v/(shift − (shift − 1)v)."""
    T = 10
    drawn = draw_timesteps(100_000, T, generator(), shift)
    shares = torch.bincount(drawn, minlength=T + 1)[1:].double() / len(drawn)
    torch.testing.assert_close(shares, shifted_probabilities(T, shift), atol=1e-4, rtol=0)
    assert shifted_probabilities(T, shift).sum().item() == pytest.approx(1)
    half = 0.5 / (shift - (shift - 1) * 0.5)
    assert (drawn > T / 2).double().mean().item() == pytest.approx(1 - half, abs=1e-4)


def test_with_a_shift_the_bound_is_estimated_as_without():
    """A timestep that is drawn more often counts less, in L_vlb alone: the regression is meant to change."""
    prediction = PredictionConfig(target="x0", learned_variance=True)
    schedule = make_schedule("cosine", 20)
    x0, labels = torch.randn(200_000, 2, generator=generator(1)), torch.zeros(200_000, dtype=torch.long)

    def bound(shift: float) -> float:
        terms = [
            DenoisingLoss(schedule, prediction, ObjectiveSection(loss=loss, timestep_shift=shift), POINTS)(
                lambda x_t, t, label: torch.zeros(len(x_t), 4), x0, labels, generator(2)
            ).item()
            for loss in ("hybrid", "regression")
        ]
        return terms[0] - terms[1]

    assert bound(3.0) == pytest.approx(bound(1.0), rel=0.01)


def test_the_hybrid_loss_is_the_regression_and_a_little_of_the_bound():
    """ND21 eq. 16, λ = 0.001 on the sum of T terms, of which each row has measured one; t and ε are the same draws."""
    schedule = make_schedule("cosine", 100)
    x0, labels = torch.randn(256, 2), torch.zeros(256, dtype=torch.long)
    asked = []

    def network(x_t, t, label):
        asked.append((x_t, t))
        return torch.cat([0.5 * x_t, 0.3 * x_t], dim=1)

    hybrid = loss_of(schedule, "epsilon", True, loss="hybrid")(network, x0, labels, generator())
    regression = loss_of(schedule, "epsilon")(lambda x_t, t, label: 0.5 * x_t, x0, labels, generator())
    x_t, t = asked[0]
    alpha_bar = per_row(torch.from_numpy(schedule.alpha_bar).float()[t], x_t)
    x0_hat = (x_t - (1 - alpha_bar).sqrt() * 0.5 * x_t) / alpha_bar.sqrt()
    bound = VariationalBound(schedule, 100, POINTS).term(x0, 100 - t, x0_hat, (0.3 * x_t + 1) / 2)
    assert hybrid.item() == pytest.approx((regression + 0.001 * 100 * bound.mean()).item(), rel=1e-5)


def test_the_bound_teaches_the_hybrids_variance_and_never_its_mean():
    schedule = make_schedule("cosine", 100)
    x0, labels = torch.randn(64, 2), torch.zeros(64, dtype=torch.long)

    def gradients(learned_variance, **objective):
        """Of the mean's weight and of the variance's."""
        mean, variance = torch.tensor(0.5, requires_grad=True), torch.tensor(0.3, requires_grad=True)

        def network(x_t, t, label):
            return torch.cat([mean * x_t, variance * x_t], dim=1) if learned_variance else mean * x_t

        loss_of(schedule, "epsilon", learned_variance, **objective)(network, x0, labels, generator()).backward()
        return mean.grad, variance.grad

    of_regression, _ = gradients(False)
    of_hybrid, teaches_variance = gradients(True, loss="hybrid")
    assert torch.equal(of_hybrid, of_regression)
    assert teaches_variance != 0
    of_vlb, _ = gradients(True, loss="vlb")
    assert of_vlb.abs() > 1e-3  # L_vlb alone teaches both


def test_the_bound_sees_the_networks_own_mean_not_a_clipped_one():
    data = DataConfig(dataset="test", kind="points", shape=(2,), clip=1.0)
    prediction = PredictionConfig(target="x0", learned_variance=True)
    loss = DenoisingLoss(make_schedule("cosine", 100), prediction, ObjectiveSection(loss="vlb"), data)

    def of_belief(value):
        x0, labels = torch.zeros(64, 2), torch.zeros(64, dtype=torch.long)
        return loss(lambda x_t, t, label: torch.cat([x_t * 0 + value, x_t * 0], dim=1), x0, labels, generator()).item()

    assert of_belief(3.0) > 1.5 * of_belief(2.0) > 1.5 * of_belief(1.0)


def test_important_timesteps_are_uniform_until_all_have_a_history_then_follow_the_losses():
    """ND21 eq. 18: p_t ∝ √E[L_t²] over the last 10."""
    T = 5
    important = ImportantTimesteps(T)
    every_t = torch.arange(1, T + 1)
    for _ in range(9):
        important.observe(every_t, torch.tensor([100.0, 1.0, 1.0, 1.0, 1.0]))
    assert torch.allclose(important.probabilities, torch.full((T,), 0.2, dtype=torch.float64))
    for loss in (3.0, 4.0) * 5:  # … and these ten push the earlier ones out
        important.observe(every_t, torch.tensor([2 * loss, loss, loss, loss, 0.0]))
    root = 12.5**0.5
    expected = 0.999 * torch.tensor([2 * root, root, root, root, 0.0]).double() / (5 * root) + 0.001 / T
    torch.testing.assert_close(important.probabilities, expected, rtol=1e-6, atol=1e-9)


def test_weights_make_importance_sampling_unbiased():
    """The mean over rows of weight·f(t) is the plain mean of f over all t, whatever t is drawn with."""
    T, rows = 4, 200_000
    important = ImportantTimesteps(T)
    for _ in range(10):
        important.observe(torch.arange(1, T + 1), torch.tensor([8.0, 4.0, 2.0, 1.0]))
    t, weight = important.draw(rows, generator())
    assert t.min() == 1
    assert t.max() == T
    assert (t == 1).float().mean().item() == pytest.approx(8 / 15, abs=0.01)
    assert (weight * t.double() ** 2).mean().item() == pytest.approx((1 + 4 + 9 + 16) / 4, rel=0.02)
    _, uniform = ImportantTimesteps(T).draw(100, generator())
    assert (uniform == 1).all()


def test_importance_is_fed_the_bound_of_each_row_at_its_own_timestep():
    T, schedule = 20, make_schedule("cosine", 20)
    loss = loss_of(schedule, "epsilon", True, loss="vlb", timesteps="importance")
    seen = []
    loss.important.observe = lambda t, bits: seen.append((t, bits))
    asked = []

    def network(x_t, t, label):
        asked.append((x_t, t))
        return torch.cat([x_t, x_t], dim=1)

    x0 = torch.randn(128, 2)
    loss(network, x0, torch.zeros(128, dtype=torch.long), generator())
    ((x_t, asked_t),), ((t, bits),) = asked, seen
    assert torch.equal(t, asked_t)
    alpha_bar = per_row(torch.from_numpy(schedule.alpha_bar).float()[t], x_t)
    x0_hat = (x_t - (1 - alpha_bar).sqrt() * x_t) / alpha_bar.sqrt()
    torch.testing.assert_close(bits, VariationalBound(schedule, T, POINTS).term(x0, T - t, x0_hat, (x_t + 1) / 2))


@pytest.mark.parametrize("timesteps", ["uniform", "importance"])
def test_the_bound_alone_is_estimated_by_its_term_at_the_drawn_timesteps(timesteps):
    """E over t of T·weight·L_t is Σ_t L_t, in bits per dimension (ND21 eq. 18)."""
    T, schedule, x0 = 20, make_schedule("cosine", 20), torch.randn(128, 2)
    loss = loss_of(schedule, "epsilon", True, loss="vlb", timesteps=timesteps)
    weight = torch.ones(128)
    if loss.important is not None:
        for k in range(ImportantTimesteps.HISTORY):
            loss.important.observe(
                torch.arange(1, T + 1), torch.rand(T, generator=generator(k)) / torch.arange(1, T + 1)
            )
        probabilities = loss.important.probabilities
        _, weight = loss.important.draw(128, generator())
        assert weight.std() > 0.1
    asked = []

    def network(x_t, t, label):
        asked.append((x_t, t))
        return torch.cat([0.5 * x_t, x_t], dim=1)

    found = loss(network, x0, torch.zeros(128, dtype=torch.long), generator())
    ((x_t, t),) = asked
    if loss.important is not None:
        torch.testing.assert_close(weight.double(), 1 / (T * probabilities[t - 1]), rtol=1e-5, atol=0)
    alpha_bar = per_row(torch.from_numpy(schedule.alpha_bar).float()[t], x_t)
    x0_hat = (x_t - (1 - alpha_bar).sqrt() * 0.5 * x_t) / alpha_bar.sqrt()
    bits = VariationalBound(schedule, T, POINTS).term(x0, T - t, x0_hat, (x_t + 1) / 2)
    torch.testing.assert_close(found, (T * weight * bits).mean())


def test_a_saved_history_goes_on_as_if_it_had_not_stopped():
    first, second = ImportantTimesteps(3), ImportantTimesteps(3)
    for k in range(25):
        first.observe(torch.tensor([k % 3 + 1, 1, 2]), torch.rand(3))
    second.load_state_dict({name: values.clone() for name, values in first.state_dict().items()})
    for important in (first, second):
        for k in range(10):
            important.observe(torch.tensor([1, 2, 3]), torch.tensor([k + 1.0, 2.0, 3.0]))
    assert torch.equal(first.probabilities, second.probabilities)


def test_the_variance_learned_on_a_standard_normal_is_beta():
    """Of x_s given x_t it is β exactly where the data is N(0, 1): v = 1 at every t."""
    torch.manual_seed(0)
    T, schedule = 10, make_schedule("cosine", 10)
    alpha_bar = torch.from_numpy(schedule.alpha_bar).float()
    data = DataConfig(dataset="test", kind="points", shape=(1,))
    raw = torch.zeros(T + 1, requires_grad=True)  # the network's second output, one number for every t
    mean = torch.zeros(T + 1, requires_grad=True)

    def network(x_t, t, label):
        return torch.cat([mean[t].unsqueeze(1) * x_t, raw[t].unsqueeze(1).expand_as(x_t)], dim=1)

    prediction = PredictionConfig(target="epsilon", learned_variance=True)
    loss = DenoisingLoss(schedule, prediction, ObjectiveSection(loss="hybrid"), data)
    optimizer = torch.optim.Adam([mean, raw], lr=0.05)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    for step in range(600):
        x0 = torch.randn(2000, 1, generator=generator(2 * step))
        optimizer.zero_grad()
        loss(network, x0, torch.zeros(2000, dtype=torch.long), generator(2 * step + 1)).backward()
        optimizer.step()
        decay.step()
    v = (raw.detach()[1:] + 1) / 2
    assert (v - 1).abs().max() < 0.05
    torch.testing.assert_close(mean.detach()[1:], (1 - alpha_bar[1:]).sqrt(), rtol=0, atol=0.05)
