"""Which precision a checkpoint runs in: what it allows, and what the hardware has."""

import pytest
import torch

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.precision import choose_precision, has_bfloat16
from tests.tiny import IMAGES, tiny_checkpoint

CPU = torch.device("cpu")


def allowing(*precisions: str) -> DenoiserCheckpoint:
    checkpoint = tiny_checkpoint(IMAGES)
    config = checkpoint.config.model_copy(update={"precisions": precisions})
    return DenoiserCheckpoint(config, checkpoint.schedule, checkpoint.network)


@pytest.mark.parametrize(
    ("wanted", "allowed", "has", "expected"),
    [
        ("auto", ("float32", "bfloat16"), {"avx512_bf16": True}, "bfloat16"),
        ("auto", ("float32", "bfloat16"), {"amx_bf16": True}, "bfloat16"),
        ("auto", ("float32", "bfloat16"), {"bf16": True}, "bfloat16"),
        ("auto", ("float32", "bfloat16"), {"avx512_bf16": False, "avx2": True}, "float32"),
        ("auto", ("float32",), {"avx512_bf16": True}, "float32"),
        ("bfloat16", ("float32", "bfloat16"), {}, "bfloat16"),  # asked for by name: emulated, and slow
        ("bfloat16", ("float32",), {"avx512_bf16": True}, "float32"),
        ("float32", ("float32", "bfloat16"), {"avx512_bf16": True}, "float32"),
    ],
)
def test_a_precision_is_allowed_by_the_checkpoint_and_had_by_the_hardware(monkeypatch, wanted, allowed, has, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert choose_precision(wanted, allowing(*allowed), CPU) == expected


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
@pytest.mark.parametrize("multiplies", [True, False])
def test_of_a_gpu_the_emulation_does_not_count(monkeypatch, kind, multiplies):
    supported = getattr(torch, kind)
    monkeypatch.setattr(supported, "is_bf16_supported", lambda including_emulation: including_emulation or multiplies)
    assert has_bfloat16(torch.device(kind)) == multiplies


def test_bfloat16_weights_answer_in_float32_and_layouts_are_channels_last():
    denoiser = tiny_checkpoint(IMAGES).denoiser(precision="bfloat16")
    network = denoiser.network.network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(one.weight.is_contiguous(memory_format=torch.channels_last) for one in convolutions)
    with torch.inference_mode():
        answer = denoiser.network(torch.randn(2, 1, 8, 8), torch.tensor([1, 50]), torch.tensor([3, -1]))
    assert answer.dtype == torch.float32 and answer.isfinite().all()
