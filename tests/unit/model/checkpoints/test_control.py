"""ControlNet: what it adds, to which rows, and that it begins by adding nothing."""

import copy
from dataclasses import replace

import pytest
import torch

from model.checkpoints.base import save_checkpoint
from model.checkpoints.control import ControlConfig, load_control
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.conditions import CONTROL_KINDS, NO_HINT, NO_LABEL, Conditions, Hints
from model.plan import make_plan
from model.samplers import SAMPLERS
from model.sampling_loop import sample
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_control

BASE = tiny_checkpoint(IMAGES)
CANNY, SKETCH = (tiny_control(BASE, kind) for kind in CONTROL_KINDS)
CONTROLS = {of.hint: of.control() for of in (CANNY, SKETCH)}
DENOISE = BASE.denoiser(controls=CONTROLS)

# Of every sort: no hint, one of each kind, off; guided or not, with a label or without.
N = 12
LABEL = torch.tensor([3, NO_LABEL, 7] * 4)
SCALE = torch.tensor([1.5, 1.0, 0.0, 4.0] * 3)
KIND = torch.tensor([NO_HINT, 0, 1, 0, 1, NO_HINT, 0, 0, 1, 1, 0, 0])
CONTROL_SCALE = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.5, 0.0, 2.0, 1.0, 0.0, 1.0, 1.0, 0.3])
FREE = (KIND == NO_HINT) | (CONTROL_SCALE == 0) | ((LABEL == NO_LABEL) & (SCALE == 0))  # of any hint


def rows(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, *IMAGES.shape, generator=generator)
    return x, torch.randint(1, 51, (N,), generator=generator), torch.rand(N, *IMAGES.shape, generator=generator)


def mixed(image: torch.Tensor) -> Conditions:
    return Conditions(LABEL, SCALE, hints=Hints(image, KIND, CONTROL_SCALE))


def test_one_that_was_not_trained_changes_no_bit():
    fresh = CANNY.config.build_network()
    fresh.begin_as(BASE.network)
    x, t, image = rows()
    denoise = BASE.denoiser(controls={"canny": fresh.eval()})
    hints = Hints(image, torch.zeros(N, dtype=torch.int64), torch.ones(N))
    found = denoise(x, t, Conditions(LABEL, SCALE, hints=hints))
    assert torch.equal(found.x0, BASE.denoiser()(x, t, Conditions(LABEL, SCALE)).x0)
    for name, weights in BASE.network.state_dict().items():  # and it begins as a copy of the half that it has
        if name in fresh.state_dict():
            assert torch.equal(fresh.state_dict()[name], weights)


def test_rows_of_every_sort_share_a_batch_and_are_what_they_are_alone():
    x, t, image = rows()
    together = DENOISE(x, t, mixed(image)).x0
    for row in range(N):
        one = slice(row, row + 1)
        torch.testing.assert_close(together[one], DENOISE(x[one], t[one], mixed(image)[one]).x0, rtol=1e-4, atol=1e-5)


def test_rows_without_a_hint_and_those_at_scale_0_do_not_change_by_a_bit():
    x, t, image = rows()
    plain, together = DENOISE(x, t, Conditions(LABEL, SCALE)).x0, DENOISE(x, t, mixed(image)).x0
    assert torch.equal(together[FREE], plain[FREE])
    assert ((together - plain).flatten(1).abs().amax(1)[~FREE] > 1e-3).all()


def test_the_hint_stays_in_both_halves_of_guidance():
    """u + s·(c − u) with the hint in u and in c, each evaluated by itself."""
    x, t, image = rows()
    hints = Hints(image, torch.zeros(N, dtype=torch.int64), torch.ones(N))
    label = torch.full((N,), 5)

    def output(scale: float) -> torch.Tensor:
        denoise = BASE.denoiser(controls=CONTROLS)
        return denoise._guided_output(x, t, Conditions(label, torch.full((N,), scale), hints=hints))

    torch.testing.assert_close(output(3.0), output(0.0) + 3 * (output(1.0) - output(0.0)), rtol=1e-4, atol=1e-4)


def test_a_hint_that_is_alone_is_what_guidance_is_of():
    """u + s·(c − u) with the hint in c alone; s = 0 is without it to the bit, and s = 1 is c."""
    x, t, image = rows()
    nothing, hints = torch.full((N,), NO_LABEL), Hints(image, torch.ones(N, dtype=torch.int64), torch.full((N,), 0.5))

    def output(scale: float) -> torch.Tensor:
        return DENOISE._guided_output(x, t, Conditions(nothing, torch.full((N,), scale), hints=hints))

    without = DENOISE._guided_output(x, t, Conditions(nothing, torch.ones(N)))
    assert torch.equal(output(0.0), without)
    added = CONTROLS["sketch"](x, t, nothing, image)
    followed = BASE.network(x, t, nothing, *(0.5 * one for one in added))
    torch.testing.assert_close(output(1.0), followed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output(3.0), without + 3 * (followed - without), rtol=1e-4, atol=1e-4)


def test_what_is_added_is_scaled_and_each_kind_is_its_own():
    x, t, image = rows()
    condition = torch.full((N,), NO_LABEL)
    given = CONTROLS["canny"](x, t, condition, image)
    expected = BASE.network(x, t, condition, *(0.25 * one for one in given))
    hints = Hints(image, torch.zeros(N, dtype=torch.int64), torch.full((N,), 0.25))
    found = DENOISE._guided_output(x, t, Conditions(condition, torch.ones(N), hints=hints))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    other = replace(hints, kind=torch.ones(N, dtype=torch.int64))
    assert not torch.equal(DENOISE._guided_output(x, t, Conditions(condition, torch.ones(N), hints=other)), found)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_follows(sampler):
    plan, seeds = make_plan(BASE.schedule, sampler, 5), torch.arange(N)
    _, _, image = rows()
    followed = sample(DENOISE, plan, mixed(image), seeds, IMAGES.shape)
    plain = sample(DENOISE, plan, Conditions(LABEL, SCALE), seeds, IMAGES.shape)
    assert torch.equal(followed[FREE], plain[FREE])
    assert ((followed - plain).flatten(1).abs().amax(1)[~FREE] > 0).all()


COSTS = {  # by whether there is a label, guidance scale, control scale
    (True, 0.0, 0.0): 1, (True, 1.0, 0.0): 1, (True, 2.0, 0.0): 2, (True, 0.0, 1.0): 2, (True, 1.0, 1.0): 2,
    (True, 2.0, 1.0): 4, (False, 0.0, 0.0): 1, (False, 1.0, 0.0): 1, (False, 2.0, 0.0): 1, (False, 0.0, 1.0): 1,
    (False, 1.0, 1.0): 2, (False, 2.0, 1.0): 3,
}  # fmt: skip


@pytest.mark.parametrize("label", [NO_LABEL, 7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("control_scale", [0.0, 1.0])
def test_a_row_costs_what_is_evaluated_for_it(label, scale, control_scale):
    seen = []
    control = CONTROLS["canny"]
    denoise = BASE.denoiser(controls={"canny": lambda x, *others: (seen.append(len(x)), control(x, *others))[1]})
    network = denoise.network
    denoise.network = lambda x, *others: (seen.append(len(x)), network(x, *others))[1]
    x, t, image = (of[:1] for of in rows())
    hints = Hints(image, torch.zeros(1, dtype=torch.int64), torch.tensor([control_scale]))
    conditions = Conditions(torch.tensor([label]), torch.tensor([scale]), hints=hints)
    denoise(x, t, conditions)
    assert [sum(seen)] == conditions.network_evaluations.tolist()
    assert sum(seen) == COSTS[label != NO_LABEL, scale, control_scale]
    with_gradient = replace(conditions, gradient_scale=torch.ones(1))
    assert with_gradient.network_evaluations.tolist() == [sum(seen) + (label != NO_LABEL)]


def test_a_learned_variance_and_bfloat16_follow_too():
    base = tiny_checkpoint(IMAGES, learned_variance=True)
    control = tiny_control(base)
    x, t, image = rows()
    hints = Hints(image, torch.zeros(N, dtype=torch.int64), torch.ones(N))
    exact, half = (
        base.denoiser(precision=precision, controls={"canny": control.control(precision=precision)})(
            x, t, Conditions(LABEL, SCALE, hints=hints)
        )
        for precision in ("float32", "bfloat16")
    )
    assert exact.variance_fraction is not None and half.x0.dtype == torch.float32
    assert (half.x0 - exact.x0).abs().mean() < 0.05 * exact.x0.abs().mean()


def test_it_fits_its_base_with_these_weights_only(tmp_path):
    save_checkpoint(tmp_path / "control", CANNY.config, CANNY.network)
    loaded = load_control(tmp_path / "control")
    again = load_checkpoint(save_tiny(tmp_path, IMAGES))
    assert loaded.fits(again)
    x, t, image = rows()
    given = zip(loaded.control()(x, t, LABEL, image), CANNY.control()(x, t, LABEL, image), strict=True)
    assert all(torch.equal(*both) for both in given)
    assert not loaded.fits(load_checkpoint(save_tiny(tmp_path, IMAGES, name="mnist-other")))
    other = replace(again, network=copy.deepcopy(again.network))
    with torch.no_grad():
        other.network.enter.bias[0] += 1e-3
    assert not loaded.fits(other)


def test_a_folder_that_is_broken_and_a_base_that_cannot_be_are_named(tmp_path):
    with pytest.raises(ValueError, match="is no UNet"):
        ControlConfig.beside(tiny_checkpoint(POINTS), name="x", hint="canny")
    save_checkpoint(tmp_path / "control", CANNY.config, BASE.network)
    with pytest.raises(CheckpointError, match="does not fit the network"):
        load_control(tmp_path / "control")
