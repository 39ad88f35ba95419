"""What many rows say of x0 given x_t, and where x_t may come from."""

from dataclasses import replace

import pytest
import torch

from model.checkpoints.denoiser import PredictionConfig
from model.conditions import NO_LABEL
from model.data import DataConfig
from model.noise_schedule import make_schedule
from model.prediction import diffused, per_row
from training.data import training_set
from training.data.data_section import BuiltInSection
from training.data.training_set import Examples, FiniteSet
from training.recipe import ObjectiveSection
from training.tasks.objectives import DenoisingLoss
from training.tasks.stable_targets import WIDE_SHARE, KnownRows, all_rows, noise_width, posterior_mean, stable_x0

ANYTHING = DataConfig(dataset="points", kind="points", shape=(2,))
MEAN, STD = torch.tensor([1.0, -0.5]), 0.25
SCHEDULE = make_schedule("log-linear", 100)
SPIRAL = BuiltInSection(dataset="spiral")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(rows: int, seed: int) -> torch.Tensor:
    return MEAN + STD * torch.randn(rows, 2, generator=generator(seed))


def exact_mean(x_t: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """E[x0|x_t] of N(MEAN, STD²): the mean of two Gaussians by their precisions."""
    a = per_row(alpha_bar, x_t)
    of_data, of_x_t = 1 / STD**2, a / (1 - a)
    return (of_data * MEAN + of_x_t * x_t / a.sqrt()) / (of_data + of_x_t)


@pytest.mark.parametrize("width", [1.0, 2.0])
@pytest.mark.parametrize("alpha_bar", [0.05, 0.5, 0.8])
def test_the_mean_of_a_large_batch_is_that_of_the_distribution(alpha_bar, width):
    """Whatever the noise of x_t is: a posterior asks only where x_t is."""
    x0, level = normal(20_000, seed=1), torch.full((40,), alpha_bar)
    x_t = diffused(normal(40, seed=2), width * torch.randn(40, 2, generator=generator(3)), level)
    nobody = torch.full((40,), NO_LABEL)
    known = KnownRows.of(x0, torch.zeros(20_000, dtype=torch.int64))
    means = posterior_mean(x_t, level, nobody, known)
    torch.testing.assert_close(means, exact_mean(x_t, level), atol=0.06, rtol=0)


def test_without_noise_a_row_is_its_own_mean_and_in_noise_it_is_the_batch_s():
    x0, nobody = torch.tensor([[0.0, 0], [1, 0], [0, 2]]), torch.full((3,), NO_LABEL)
    known = KnownRows.of(x0, nobody)
    torch.testing.assert_close(posterior_mean(x0, torch.full((3,), 1 - 1e-4), nobody, known), x0)
    far = posterior_mean(torch.zeros(3, 2), torch.full((3,), 1e-8), nobody, known)
    torch.testing.assert_close(far, x0.mean(0).expand(3, 2))


def test_it_is_as_exact_in_training_in_bfloat16():
    x0, level = normal(200, seed=1), torch.full((200,), 0.9999)
    nobody = torch.full((200,), NO_LABEL)
    x_t = diffused(x0, torch.randn(200, 2, generator=generator(2)), level)
    known = KnownRows.of(x0, nobody)
    expected = posterior_mean(x_t, level, nobody, known)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(posterior_mean(x_t, level, nobody, known), expected)


def test_a_row_with_a_label_hears_of_its_label_alone():
    x0, labels = torch.tensor([[0.0, 0], [1, 0], [0, 2], [3, 3]]), torch.tensor([0, 1, 0, 1])
    condition = torch.tensor([0, 1, NO_LABEL, NO_LABEL])
    means = posterior_mean(torch.zeros(4, 2), torch.full((4,), 1e-8), condition, KnownRows.of(x0, labels))
    torch.testing.assert_close(means, torch.stack([x0[[0, 2]].mean(0), x0[[1, 3]].mean(0), x0.mean(0), x0.mean(0)]))


IMAGES = DataConfig(dataset="digits", kind="images", shape=(1, 8, 8), mean=(127.5,), std=(127.5,), clip=1.0)


def images(augment=None) -> FiniteSet:
    """100 pictures of noise, none near another."""
    rows = torch.randint(0, 256, (100, 1, 8, 8), generator=generator(10), dtype=torch.uint8)
    examples = Examples(rows, torch.arange(100) % 3)
    return FiniteSet(IMAGES, examples, examples, **({} if augment is None else {"augment": augment}))


def known_of(data) -> KnownRows:
    known = all_rows(data)
    assert known is not None
    return known


def test_of_finite_data_every_row_counts_as_the_network_sees_it():
    data = images()
    known = known_of(data)
    assert torch.equal(known.rows, IMAGES.standardise(data.examples.rows.float()).flatten(1))
    assert torch.equal(known.labels, data.examples.labels)
    # Of noise in [−1, 1]: √(64 · 2/3) from one picture to the next, a little less to the nearest. All of that is σ · 6.
    assert 0.7 < known.least_noise * 6 / (64 * 2 / 3) ** 0.5 < 1


def test_clusters_are_the_labels_where_a_network_reads_them():
    clusters = torch.arange(100) % 7
    assert torch.equal(known_of(replace(images(), clusters=clusters)).labels, clusters)


TABLE = Examples(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(
    "data",
    [
        images(augment=lambda rows, generator: rows.flip(3)),
        training_set(SPIRAL),
        FiniteSet(ANYTHING, TABLE, TABLE),
    ],
)
def test_of_augmented_images_and_of_points_the_batch_has_to_do(data):
    assert all_rows(data) is None


def test_in_little_noise_an_image_is_certain_to_be_its_own_and_is_not_looked_up():
    """Below the least noise little is lost: nearly always the posterior mean would be the row's own x0."""
    known = known_of(images())
    x0 = known.rows.view(-1, 1, 8, 8)
    sigma = torch.where(torch.arange(100) < 50, 0.9, 1.1) * known.least_noise
    alpha_bar, nobody = 1 / (1 + sigma**2), torch.full((100,), NO_LABEL)
    x_t = diffused(x0, torch.randn(x0.shape, generator=generator(11)), alpha_bar)
    found = stable_x0(x_t, x0, alpha_bar, nobody, known)
    every = posterior_mean(x_t, alpha_bar, nobody, known)
    assert torch.equal(found[:50], x0[:50])
    assert ((every[:50] - x0[:50]).abs().amax((1, 2, 3)) < 0.01).double().mean() > 0.9
    torch.testing.assert_close(found[50:], every[50:])


def test_a_network_of_images_learns_the_mean_of_all_rows_and_not_of_the_batch():
    """In pure noise every row is as likely, whatever the batch holds."""
    known = known_of(images())
    prediction = PredictionConfig(target="x0")
    schedule = make_schedule("cosine", 1)  # t = 1 is noise, all but a thousandth
    loss = DenoisingLoss(schedule, prediction, ObjectiveSection(stable_targets=True), IMAGES, known)
    mean = known.rows.mean(0).view(1, 1, 8, 8)
    x0, nobody = known.rows[:5].view(-1, 1, 8, 8), torch.full((5,), NO_LABEL)
    assert loss(lambda x_t, t, label: mean.expand_as(x_t), x0, nobody, generator(12)).item() < 1e-3
    own = DenoisingLoss(schedule, prediction, ObjectiveSection(stable_targets=True), IMAGES)
    assert own(lambda x_t, t, label: mean.expand_as(x_t), x0, nobody, generator(12)).item() > 0.03  # the batch's


def test_some_rows_have_wider_noise():
    width = noise_width(20_000, 5.0, generator())
    wide = width[width != 1]
    assert len(wide) / len(width) == pytest.approx(WIDE_SHARE, abs=0.02)
    assert wide.min() > 1 and wide.max() < 5 and wide.mean().item() == pytest.approx(3, abs=0.1)


def loss_of(target: str = "v", learned: bool = False, **objective) -> DenoisingLoss:
    prediction = PredictionConfig(target=target, learned_variance=learned)
    return DenoisingLoss(SCHEDULE, prediction, ObjectiveSection(**objective), ANYTHING)


def exact(target: str, learned: bool = False):
    """A network that knows the distribution."""
    alpha_bar = torch.from_numpy(SCHEDULE.alpha_bar).float()

    def network(x_t, t, label):
        a = per_row(alpha_bar[t], x_t)
        x0 = exact_mean(x_t, alpha_bar[t])
        epsilon = (x_t - a.sqrt() * x0) / (1 - a).sqrt()
        output = {"x0": x0, "epsilon": epsilon, "v": a.sqrt() * epsilon - (1 - a).sqrt() * x0}[target]
        return torch.cat([output, torch.zeros_like(output)], dim=1) if learned else output

    return network


@pytest.mark.parametrize("target", ["v", "epsilon", "x0"])
def test_the_exact_network_has_far_less_loss_on_stable_targets_than_on_the_rows_own(target):
    x0, labels = normal(2_000, seed=4), torch.zeros(2_000, dtype=torch.int64)
    losses = [loss_of(target, **fields)(exact(target), x0, labels, generator(5)).item() for fields in
              ({}, {"stable_targets": True}, {"stable_targets": True, "wide_noise": 3.0})]  # fmt: skip
    assert losses[1] < 0.1 * losses[0] and losses[2] < 0.1 * losses[0]


def test_the_bound_is_of_rows_that_diffusion_makes():
    """Rows with wider noise teach no variance: without them the gradient of the second output is the same."""
    x0, labels = normal(64, seed=6), torch.zeros(64, dtype=torch.int64)
    seen = {}

    def network(x_t, t, label):
        seen["output"] = exact("v", learned=True)(x_t, t, label).requires_grad_()
        return seen["output"]

    loss_of(learned=True, loss="hybrid", stable_targets=True, wide_noise=5.0)(
        network, x0, labels, generator(7)
    ).backward()
    moved = seen["output"].grad[:, 2:].abs().sum(1) > 0
    assert 0.5 < moved.float().mean() < 0.9


def test_without_these_options_the_draws_are_those_of_before():
    """A recipe that has neither trains to the same bits as it did."""
    x0, labels = normal(32, seed=8), torch.zeros(32, dtype=torch.int64)
    seen = []
    for fields in ({}, {"stable_targets": True}):
        loss_of(**fields)(lambda x_t, t, label: seen.append(x_t) or torch.zeros_like(x_t), x0, labels, generator(9))
    assert torch.equal(*seen)
