import pytest
import torch
from torch.nn import functional as F

from model.checkpoints.denoiser import load_checkpoint
from model.conditions import NO_LABEL
from model.networks import (
    ImageEncoderConfig,
    MLPConfig,
    PointEncoderConfig,
    UNetConfig,
    build_encoder,
    build_network,
)
from model.networks.attention import attend
from model.networks.controlnet import ControlNet
from model.networks.embedding import timestep_features
from model.networks.mlp import Block, FourierFeatures
from model.networks.norm import GroupNorm
from model.networks.parameter_names import NAMES
from model.networks.trunk import Attention, ResidualBlock
from model.networks.unet import UNet
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint, tiny_classifier

UNET = UNetConfig(channels=(8, 16), blocks=1, groups=4)


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_every_input_counts_and_rows_do_not_see_each_other(data):
    network = tiny_checkpoint(data).network
    x, t, label = torch.randn(4, *data.shape), torch.tensor([1, 10, 30, 50]), torch.tensor([NO_LABEL, 0, 1, 1])
    base = network(x, t, label)
    assert base.shape == x.shape and base.isfinite().all()
    for changed in ((x + 0.1, t, label), (x, t % 50 + 1, label), (x, t, torch.tensor([0, 1, 0, NO_LABEL]))):
        moved = (network(*changed) - base).flatten(1).abs().amax(1)
        assert (moved > 1e-4).all()
    x[3] = 100.0
    torch.testing.assert_close(network(x, t, label)[:3], base[:3])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_a_readers_rows_do_not_see_each_other_even_while_it_is_trained(data, training):
    """Which the statistics of a batch would make them."""
    network = tiny_classifier(data).network.train(training)
    x, t = torch.randn(4, *data.shape), torch.tensor([1, 10, 30, 50])
    base = network(x, t)
    assert (network(x + 0.1, t) - base).abs().amax(1).min() > 1e-4 < (network(x, t % 50 + 1) - base).abs().max()
    x[3] = 100.0
    torch.testing.assert_close(network(x, t)[:3], base[:3])


def test_groups_are_normalised_in_float32_whatever_comes_in():
    """Around 100 bfloat16's own sums would be off by a tenth of the deviation."""
    norm = GroupNorm(2, 8).to(torch.bfloat16)
    x = (100 + torch.randn(4, 8, 5, 5)).bfloat16()
    exact = F.group_norm(x.double(), 2, eps=norm.eps)
    assert ((norm(x) - exact).abs() <= 2**-8 * exact.abs() + 1e-4).all()


def test_blocks_start_as_the_identity():
    x, embedding = torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    assert torch.equal(ResidualBlock(8, 8, 16, 4)(x, embedding), x)
    assert torch.equal(Attention(8, 4)(x), x)
    h = torch.randn(2, 8)
    block = Block(8)
    assert torch.equal(block(h, *block.modulations(torch.randn(2, 8))), h)


def test_a_learned_variance_doubles_the_output():
    network = build_network(UNET, shape=(1, 8, 8), labels=0, T=10, learned_variance=True)
    assert network(torch.randn(2, 1, 8, 8), torch.tensor([1, 2]), torch.full((2,), NO_LABEL)).shape == (2, 2, 8, 8)
    network = build_network(MLPConfig(width=16, blocks=1), shape=(3,), labels=0, T=10, learned_variance=True)
    assert network(torch.randn(2, 3), torch.tensor([1, 2]), torch.full((2,), NO_LABEL)).shape == (2, 6)


def test_fourier_features_are_the_point_and_its_waves():
    features = FourierFeatures(3, 7).requires_grad_(False)
    x = torch.randn(5, 3)
    expected = [[*point, *(f(b @ point) for f in (torch.cos, torch.sin) for b in features.frequencies)] for point in x]
    torch.testing.assert_close(features(x), torch.tensor(expected))
    torch.manual_seed(0)
    spread = FourierFeatures(2, 5000).frequencies.view(len(FourierFeatures.SCALES), -1).std(dim=1)
    torch.testing.assert_close(spread, torch.tensor(FourierFeatures.SCALES), rtol=0.05, atol=0)


def test_a_network_of_points_is_exported_for_any_number_of_rows():
    config = MLPConfig(width=16, blocks=1, frequencies=8, embedding=12)
    network = build_network(config, shape=(2,), labels=3, T=10, learned_variance=True).eval()
    rows = torch.export.Dim("rows", min=1, max=1024)

    def inputs(n: int) -> tuple[torch.Tensor, ...]:
        return torch.randn(n, 2), torch.arange(n) % 10 + 1, torch.arange(n) % 3

    exported = torch.export.export(network, inputs(4), dynamic_shapes=({0: rows}, {0: rows}, {0: rows})).module()
    for n in (1, 7):
        asked = inputs(n)
        torch.testing.assert_close(exported(*asked), network(*asked))


def test_timestep_features_do_not_depend_on_the_resolution_of_time():
    coarse = timestep_features(torch.tensor([5]), 10, 32)
    fine = timestep_features(torch.tensor([500]), 1000, 32)
    torch.testing.assert_close(coarse, fine)


@pytest.mark.parametrize("data", [IMAGES, POINTS])
def test_bfloat16_is_close_to_float32(tmp_path, data):
    checkpoint = load_checkpoint(save_tiny(tmp_path, data))
    x, t = torch.randn(8, *data.shape), torch.randint(1, 51, (8,))
    label = torch.full((8,), NO_LABEL)
    exact = checkpoint.denoiser().network(x, t, label)
    half = checkpoint.denoiser(precision="bfloat16").network(x, t, label)
    assert half.dtype == torch.float32
    # bfloat16 keeps 8 bits; a few layers of roundings stay within some percent of the output's scale.
    assert (half - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize(
    ("shape", "change", "says"),
    [
        ((1, 28, 30), {}, "multiples of 4"),
        ((1, 28, 28), {"channels": (8, 16, 16, 16)}, "multiples of 16"),
        ((1, 8, 8), {"groups": 5}, "multiples of groups"),
        ((1, 8, 8), {"attention": (2,)}, "levels 0 … 1"),
    ],
)
def test_a_network_that_cannot_take_the_data_says_what_to_change(shape, change, says):
    with pytest.raises(ValueError, match=says):
        build_network(UNET.model_copy(update=change), shape=shape, labels=0, T=10, learned_variance=False)


@pytest.mark.parametrize(
    ("network", "shape", "says"),
    [(MLPConfig(), (1, 8, 8), "images need a unet"), (UNET, (3,), "points need an mlp")],
)
def test_a_network_of_the_other_kind_is_refused(network, shape, says):
    with pytest.raises(ValueError, match=says):
        build_network(network, shape=shape, labels=0, T=10, learned_variance=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_written_out_is_the_fused_kernel_s(dtype):
    q, k, v = (torch.randn(3, 2, 9, 8, dtype=dtype) for _ in range(3))
    expected = attend(q, k, v, training=False)
    torch.testing.assert_close(attend(q, k, v, training=True), expected, atol=3e-2 if dtype == torch.bfloat16 else 1e-6,
                               rtol=1e-2)  # fmt: skip
    assert not torch.equal(attend(q, k, v.roll(1, 2), training=True), expected)


# What somebody's own data may be: images of these sizes, grey or in colour; points of 1 to 64 dimensions.

SHAPES = [(1, 8, 8), (3, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32), (1, 48, 48), (3, 64, 64), (3, 16, 48)]
LEVELS = {8: (8, 16), 16: (8, 16), 28: (8, 16), 32: (8, 16, 16), 48: (8, 16, 16), 64: (8, 8, 16, 16)}
DIMENSIONS = (1, 2, 3, 13, 64)


def of_image(shape: tuple[int, int, int]) -> UNetConfig:
    channels = LEVELS[min(shape[1:])]
    return UNetConfig(channels=channels, blocks=1, attention=(len(channels) - 1,), groups=4)


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """With random weights in every layer: none is the identity, or zero."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def given(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(3, *shape), torch.tensor([1, 5, 10])


@pytest.mark.parametrize("shape", [*SHAPES, *((d,) for d in DIMENSIONS)], ids=str)
@torch.inference_mode()
def test_a_network_of_any_shape_sees_every_value_and_puts_out_as_many(shape):
    config = of_image(shape) if len(shape) == 3 else MLPConfig(width=16, blocks=1)
    network = shaken(build_network(config, shape=shape, labels=3, T=10, learned_variance=True))
    (x, t), label = given(shape), torch.tensor([NO_LABEL, 0, 2])
    base = network(x, t, label)
    assert base.shape == (3, 2 * shape[0], *shape[1:]) and base.isfinite().all()
    # The corners of the last channel, or the last dimension: nothing is cut off or left out.
    corners = [(-1, 0, 0), (-1, -1, -1)] if len(shape) == 3 else [(-1,)]
    for corner in corners:
        moved = x.clone()
        moved[(slice(None), *corner)] += 1
        change = (network(moved, t, label) - base).abs()
        assert (change[:, : shape[0]][(slice(None), *corner)] > 1e-5).all()
        assert (change.flatten(1).amax(1) > 1e-4).all()
    torch.testing.assert_close(network(x[1:2], t[1:2], label[1:2]), base[1:2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [*SHAPES, *((d,) for d in DIMENSIONS)], ids=str)
@torch.inference_mode()
def test_an_encoder_of_any_shape_reads_every_corner(shape):
    unet = of_image(shape) if len(shape) == 3 else None
    config = (
        PointEncoderConfig(width=16, blocks=1)
        if unet is None
        else ImageEncoderConfig(**unet.model_dump(exclude={"kind"}))
    )
    network = shaken(build_encoder(config, shape=shape, outputs=5, T=10))
    x, t = given(shape)
    base = network(x, t)
    assert base.shape == (3, 5)
    for corner in [(-1, 0, 0), (-1, -1, -1)] if len(shape) == 3 else [(0,), (-1,)]:
        moved = x.clone()
        moved[(slice(None), *corner)] += 5
        assert ((network(moved, t) - base).abs().amax(1) > 1e-5).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_a_controlnet_of_any_shape_begins_by_adding_nothing_and_reads_its_hint(shape):
    options = of_image(shape).model_dump(exclude={"kind"})
    unet = shaken(UNet(shape=shape, labels=3, T=10, learned_variance=False, **options))
    control = ControlNet(shape=shape, labels=3, T=10, **options).eval()
    control.begin_as(unet)
    (x, t), label, hint = given(shape), torch.tensor([NO_LABEL, 0, 2]), torch.rand(3, 1, *shape[1:])
    plain = unet(x, t, label)
    assert torch.equal(unet(x, t, label, *control(x, t, label, hint)), plain)
    shaken(control)
    followed = unet(x, t, label, *control(x, t, label, hint))
    assert ((followed - plain).flatten(1).abs().amax(1) > 1e-3).all()
    moved = hint.clone()
    moved[:, :, -1, -1] += 1
    assert ((unet(x, t, label, *control(x, t, label, moved)) - followed).flatten(1).abs().amax(1) > 1e-5).all()


def test_a_controlnet_is_half_a_unet_with_layers_of_its_own():
    options = {"shape": (1, 8, 8), "labels": 3, "T": 10, **UNET.model_dump(exclude={"kind"})}
    whole, control = UNet(learned_variance=False, **options), ControlNet(**options)
    own = {name for name in control.state_dict() if name not in whole.state_dict()}
    assert {name.split(".")[0] for name in own} == {"read", "give"}
    missing = {name for name in whole.state_dict() if name not in control.state_dict()}
    assert {name.split(".")[0] for name in missing} == {"up", "leave"}


def test_a_seed_gives_a_controlnet_what_it_gives_a_unet_and_goes_on_from_there():
    options = {"shape": (1, 8, 8), "labels": 3, "T": 10, **UNET.model_dump(exclude={"kind"})}
    torch.manual_seed(7)
    whole = UNet(learned_variance=False, **options).state_dict()
    first = torch.nn.Conv2d(UNET.patch**2, UNET.channels[0], 3, padding=1)
    torch.manual_seed(7)
    control = ControlNet(**options)
    assert torch.equal(control.read[0].weight, first.weight)
    assert all(torch.equal(weights, whole[name]) for name, weights in control.state_dict().items() if name in whole)


@pytest.mark.parametrize(("config", "shape"), [(UNET, (1, 8, 8)), (MLPConfig(width=16, blocks=1), (2,))])
@pytest.mark.parametrize(("labels", "text"), [(3, 0), (0, 5), (0, 0)])
@torch.inference_mode()
def test_every_denoising_network_has_the_parameters_that_another_may_start_from(config, shape, labels, text):
    network = shaken(build_network(config, shape=shape, labels=labels, text=text, T=10, learned_variance=True))
    weights = network.state_dict()
    (x, t), nothing = given(shape), torch.zeros(3, text) if text else torch.full((3,), NO_LABEL)
    before = network(x, t, nothing)
    assert (NAMES.label_table in weights) == bool(labels) and (NAMES.text_bias in weights) == bool(text)
    assert {name for name in weights if name.startswith(NAMES.condition)} == (
        {NAMES.label_table}
        if labels
        else {NAMES.text_bias, NAMES.text_bias.replace("bias", "weight")}
        if text
        else set()
    )
    # The time's bias and what no label, or no text, adds are one sum.
    added = weights[NAMES.label_table][0] if labels else weights[NAMES.text_bias] if text else torch.zeros(())
    weights[NAMES.time_bias] += added
    added.zero_()
    torch.testing.assert_close(network(x, t, nothing), before, rtol=1e-4, atol=1e-5)
    # The second half of the outputs is the variance.
    plain = build_network(config, shape=shape, labels=labels, text=text, T=10, learned_variance=False).state_dict()
    larger = [name for name, tensor in weights.items() if tensor.shape != plain[name].shape]
    assert len(larger) == 2 and all(name.startswith(NAMES.output) for name in larger)
    for name in larger:
        weights[name][len(plain[name]) :] = 0
    after = network(x, t, nothing)
    torch.testing.assert_close(after[:, : shape[0]], before[:, : shape[0]], rtol=1e-4, atol=1e-5)
    assert after[:, shape[0] :].abs().max() == 0 < before[:, shape[0] :].abs().max()
