"""Muon against PyTorch's own, the singular value decomposition, and its formula."""

import pytest
import torch
from torch import nn

from tests.tiny import IMAGES, tiny_checkpoint
from training.muon import Muon, optimisers_of, orthogonalised
from training.recipe import OptimisationSection

SHAPES = [(8, 8), (6, 40), (40, 6), (12, 3, 3, 3)]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def after(weights: torch.Tensor, gradients: list[torch.Tensor], make) -> torch.Tensor:
    parameter = nn.Parameter(weights.clone())
    optimiser = make([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(8, 8), (6, 40), (40, 6)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrix = random(*shape)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ orthogonalised(matrix) @ vh.T
    values = inside.diagonal()
    assert ((values > 0.65) & (values < 1.25)).all()
    torch.testing.assert_close(inside, torch.diag(values), atol=1e-4, rtol=0)
    torch.testing.assert_close(orthogonalised(1e-4 * matrix), orthogonalised(matrix), atol=1e-4, rtol=0)
    assert not orthogonalised(torch.zeros(shape)).any()


@pytest.mark.parametrize("shape", [(8, 8), (6, 40), (40, 6)])
def test_steps_are_those_of_pytorchs_muon_up_to_its_bfloat16(shape):
    weights, gradients = random(*shape), [random(*shape, seed=seed) for seed in (1, 2, 3)]
    own = after(weights, gradients, lambda of: Muon(of, lr=0.1, weight_decay=0.3))
    pytorch = after(
        weights,
        gradients,
        lambda of: torch.optim.Muon(of, lr=0.1, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
    )
    moved = (pytorch - weights).norm()
    assert (own - pytorch).norm() < 0.02 * moved


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_is_a_matrix_of_its_outputs(layout):
    weights, gradients = random(12, 3, 3, 3), [random(12, 3, 3, 3, seed=seed) for seed in (1, 2)]
    flat = after(weights.flatten(1), [gradient.flatten(1) for gradient in gradients], lambda of: Muon(of, lr=0.1))
    laid_out = [gradient.to(memory_format=layout) for gradient in gradients]
    found = after(weights.to(memory_format=layout), laid_out, lambda of: Muon(of, lr=0.1))
    torch.testing.assert_close(found.flatten(1), flat)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_is_as_large_as_adamws(shape):
    """All entries together, as their root mean square: 0.2 of the learning rate."""
    weights = torch.zeros(shape)
    moved = after(weights, [random(*shape)], lambda of: Muon(of, lr=0.1))
    assert moved.square().mean().sqrt() == pytest.approx(0.02, rel=0.2)


def test_a_closure_is_evaluated_with_gradients():
    parameter = nn.Parameter(torch.ones(2, 2))
    optimiser = Muon([parameter], lr=0.1)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        found = parameter.square().sum()
        found.backward()
        return found

    assert optimiser.step(loss).item() == 4 and parameter.sum() < 4


def test_matrices_are_muons_and_everything_else_is_adamws():
    network = tiny_checkpoint(IMAGES).network
    options = OptimisationSection(steps=10, warmup_steps=1, optimiser="muon", weight_decay=0.1, learning_rate=0.01)
    muon, adamw = optimisers_of(network, options)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    of_muon, of_adamw = (
        {names[id(one)] for group in optimiser.param_groups for one in group["params"]} for optimiser in (muon, adamw)
    )
    assert isinstance(muon, Muon) and of_muon | of_adamw == set(names.values()) and not of_muon & of_adamw
    tables = {f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, nn.Embedding)}
    assert tables and tables <= of_adamw
    assert {name for name, one in network.named_parameters() if one.ndim >= 2} == of_muon | tables
    groups = [group for optimiser in (muon, adamw) for group in optimiser.param_groups]
    assert all(group["lr"] == 0.01 and group["weight_decay"] == 0.1 for group in groups)
    (only,) = optimisers_of(network, options.model_copy(update={"optimiser": "adamw"}))
    assert isinstance(only, torch.optim.AdamW) and len(only.param_groups[0]["params"]) == len(names)
