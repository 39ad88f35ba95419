"""Files of weights, and configs that are larger than any network: refused before they take memory."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from model.checkpoints.base import WEIGHTS, save_checkpoint
from model.checkpoints.clip import load_clip
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.folder import read_checkpoint_folder
from model.checkpoints.judge import JudgeConfig, JudgeNetwork, load_judge
from model.checkpoints.safetensors_file import opened_tensors
from model.checkpoints.weights import CheckpointError, read_weights
from model.networks.mlp import MLP
from model.networks.without_memory import without_memory
from tests.tiny import (
    IMAGES,
    POINTS,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_student,
    tiny_text_checkpoint,
)

ABSURD = 10**9
TENSORS = {
    "wide": torch.arange(12, dtype=torch.float64).view(3, 4),
    "half": torch.linspace(-1, 1, 5, dtype=torch.float16),
    "brain": torch.linspace(-1, 1, 7, dtype=torch.bfloat16).view(7, 1),
    "labels": torch.tensor([-1, 2**40]),
    "scalar": torch.tensor(3.5),
    "none": torch.zeros(0, 4),
    "pixels": torch.tensor([0, 255], dtype=torch.uint8),
    "counts": torch.tensor([1, -2], dtype=torch.int32),
}


def saved(checkpoint, folder):
    save_checkpoint(folder, checkpoint.config, checkpoint.network, getattr(checkpoint, "text", None))
    return folder


def changed(folder, **fields):
    """config.json with some fields changed, in the sections that have them."""
    document = json.loads((folder / "config.json").read_text())
    for name, value in fields.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(document))


def test_tensors_are_those_that_safetensors_reads(tmp_path):
    save_file(TENSORS, tmp_path / "x", metadata={"format": "pt"})
    found, expected = read_weights(tmp_path / "x"), load_file(tmp_path / "x")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_a_tensor_s_bytes_stand_where_its_span_says(tmp_path):
    save_file(TENSORS, tmp_path / "x", metadata={"format": "pt"})
    content = (tmp_path / "x").read_bytes()
    with opened_tensors(tmp_path / "x") as file:
        spans = file.spans
    for name, tensor in TENSORS.items():
        offset, length = spans[name]
        assert content[offset : offset + length] == tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def header(**entries):
    content = json.dumps(entries).encode()
    return len(content).to_bytes(8, "little") + content


def entry(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it should have 8 bytes|no safetensors"),
        (b"<!DOCTYPE html><html>", "no safetensors file, or it is cut short"),
        ((2**40).to_bytes(8, "little"), "no safetensors file, or it is cut short"),
        ((2**25).to_bytes(8, "little") + bytes(2**25), "its header takes 33,554,432 bytes; at most"),
        (header(a=entry()) + bytes(4), "should have .* bytes, and has"),
        (header(a=entry()) + bytes(12), "should have .* bytes, and has"),
        (header(a=entry((10**12,), (0, 4 * 10**12))) + bytes(8), "should have 4,000,000,"),
        (header(a=entry(offsets=(0, 4))) + bytes(8), "a is not where its shape"),
        (header(a=entry(), b=entry(offsets=(4, 12))) + bytes(12), "b is not where its shape"),
        (header(a=entry(dtype="F8_E4M3", shape=(8,))) + bytes(8), "header is none.*: a "),
        (header(a=entry(shape=(-2,))) + bytes(8), "header is none.*: a "),
        (header(a={"b": "c"}), "header is none"),
        ((2**20).to_bytes(8, "little") + b"[" * 2**20, "header is none"),
        (header(a=entry()) + b"\x00\x00\xc0\x7f" * 2, "x holds values that are not finite"),
    ],
)
def test_what_is_no_whole_file_of_numbers(content, says, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        read_weights(tmp_path / "x")


@pytest.mark.parametrize(
    ("data", "fields", "says"),
    [
        (IMAGES, {"network": {"channels": [65536] * 2}}, r" is \[8.*\], and should be \[65536"),
        (IMAGES, {"network": {"channels": [ABSURD] * 2}}, "channels.0: .* less than or equal to 65536"),
        (IMAGES, {"network": {"channels": [8] * 10_000}}, "channels: .* at most 12 items"),
        (IMAGES, {"network": {"blocks": ABSURD}}, "blocks: .* less than or equal to 64"),
        (IMAGES, {"network": {"blocks": 3}}, "is missing"),
        (IMAGES, {"network": {"patch": ABSURD}}, "patch: "),
        (IMAGES, {"data": {"shape": [1, ABSURD, ABSURD]}}, "sides of at most 512 pixels, not 1000000000"),
        (
            IMAGES,
            {"data": {"labels": [str(label) for label in range(100_000)]}},
            r"label.weight is \[11, 32\], .* \[100001, 32\]",
        ),
        (IMAGES, {"schedule": {"T": ABSURD}}, "T: .* less than or equal to 10000"),
        (IMAGES, {"sampling": {"steps": ABSURD}}, "at most T = 50"),
        (POINTS, {"network": {"width": 65536}}, r" is \[16.*\], and should be \[65536"),
        (POINTS, {"network": {"width": ABSURD}}, "width: .* less than or equal to 65536"),
        (POINTS, {"network": {"blocks": ABSURD}}, "blocks: .* less than or equal to 256"),
        (POINTS, {"network": {"embedding": ABSURD}}, "embedding: "),
        (POINTS, {"data": {"shape": [ABSURD]}}, "at most 64 dimensions"),
    ],
)
def test_a_config_of_absurd_size_takes_no_memory(data, fields, says, tmp_path):
    changed(saved(tiny_checkpoint(data), tmp_path / "x"), **fields)
    with pytest.raises(CheckpointError, match=rf"^x: .*{says}"):
        load_checkpoint(tmp_path / "x")


GUIDED = {"kind": "guided-unet", "width": 32, "multiples": [1], "blocks": 1}


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (GUIDED | {"width": 65536}, "does not fit the network"),
        (GUIDED | {"width": ABSURD}, "width: .* less than or equal to 65536"),
        (GUIDED | {"blocks": ABSURD}, "blocks: .* less than or equal to 64"),
        (GUIDED | {"multiples": [1] * 10_000}, "multiples: .* at most 12 items"),
        (GUIDED | {"multiples": [65536]}, "does not fit the network"),
    ],
)
def test_openais_network_of_absurd_size_takes_no_memory(network, says, tmp_path):
    without_labels = tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}), guidance_scale=1.0)
    changed(saved(without_labels, tmp_path / "x"))
    document = json.loads((tmp_path / "x" / "config.json").read_text())
    (tmp_path / "x" / "config.json").write_text(json.dumps(document | {"network": network}))
    with pytest.raises(CheckpointError, match=rf"^x: .*({says})"):
        load_checkpoint(tmp_path / "x")


def test_a_text_encoder_and_a_judge_of_absurd_size(tmp_path):
    clip = saved(tiny_clip(), tmp_path / "clip")
    text = json.loads((clip / "config.json").read_text())["text"]
    for size, says in (({"width": 65536}, "text.safetensors does not fit"), ({"layers": ABSURD}, "layers: ")):
        changed(clip, text=text | size)
        with pytest.raises(CheckpointError, match=says):
            load_clip(clip)
    judge = JudgeConfig(name="judge", data=IMAGES, width=8, features=8)
    save_checkpoint(tmp_path / "judge", judge, JudgeNetwork(judge))
    for size, says in (({"width": 65536}, "does not fit"), ({"features": ABSURD}, "features: ")):
        changed(tmp_path / "judge", **{"width": 8, "features": 8, **size})
        with pytest.raises(CheckpointError, match=says):
            load_judge(tmp_path / "judge")


def test_files_of_absurd_size_are_not_read_and_others_are_served(tmp_path):
    """Sparse files: they take no room on the disk, and would take all memory."""
    names = ["config", "labels", "nested", "weights", "graph", "reference"]
    for name in (*names, "good"):
        saved(tiny_checkpoint(POINTS, name=name), tmp_path / name)
    for file in ("config/config.json", f"weights/{WEIGHTS}", "graph/graph.onnx", "reference/reference.safetensors"):
        with (tmp_path / file).open("ab") as sparse:
            sparse.truncate(1 << 42)
    with (tmp_path / "reference/reference.safetensors").open("r+b") as file:
        file.write(header(points=entry((2**40 - 64,), (0, 2**42 - 256))))
    changed(tmp_path / "labels", data={"labels": [f"{number:0>99}" for number in range(170_000)]})
    (tmp_path / "nested" / "config.json").write_text("[" * 10**5)
    folder = read_checkpoint_folder(tmp_path, strict=False)
    assert list(folder.loaded) == ["good"]
    assert sorted(folder.refused) == sorted(names)
    assert "more than 16,777,216 bytes" in folder.refused["config"] and "graph.onnx has" in folder.refused["graph"]


def test_a_fresh_network_without_memory_has_its_shapes_and_draws_no_number():
    for checkpoint in (tiny_checkpoint(), tiny_checkpoint(POINTS), tiny_clip(), tiny_classifier()):
        state = torch.get_rng_state()
        with without_memory():
            network = checkpoint.config.build_network()
        assert torch.equal(torch.get_rng_state(), state)
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        assert shapes == {name: tensor.shape for name, tensor in checkpoint.network.state_dict().items()}


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_network_without_memory_needs_no_decompositions():
    """PyTorch imports them for the first operation on the meta device that has none of its own: seconds of a start."""
    with Operations() as operations, without_memory():
        for checkpoint in (tiny_checkpoint, tiny_text_checkpoint, tiny_clip, tiny_classifier, tiny_student):
            checkpoint().config.build_network()
        MLP(shape=(2,), labels=2, T=9, learned_variance=False, width=8, blocks=1, frequencies=4)
    assert operations.names <= {"empty", "fill_", "zero_", "select", "lift_fresh", "unsqueeze"}
