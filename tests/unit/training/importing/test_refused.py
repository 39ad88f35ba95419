"""What cannot be imported is refused by name with what to do, and leaves nothing behind."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from model.backends.onnx_runtime import onnx_row_function
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from tests.foreign import RESIDUAL, save_pipeline, scheduler_of, unet
from tests.tiny import IMAGES, save_tiny
from training.__main__ import app
from training.card.hub_header import header
from training.data import section_trained_on
from training.data.training_set import DataError
from training.importing import import_command
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions, ImportRefused
from training.recipe import RecipeError

WEIGHTS = "unet/diffusion_pytorch_model"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("good") / "pipeline", unet(), scheduler_of("ddpm"))


@pytest.fixture
def pipeline(good, tmp_path):
    return shutil.copytree(good, tmp_path / "pipeline")


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(source, tmp_path, says, **options):
    with pytest.raises(ImportRefused, match=says):
        import_model(source, tmp_path / "checkpoints", ImportOptions("own", **options))
    left = tmp_path / "checkpoints"
    assert not left.exists() or list(left.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "fields", "says"),
    [
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, r"vae \(AutoencoderKL\).*not supported; DDPM"),
        ("model_index.json", {"text_encoder": ["transformers", "CLIPTextModel"]}, r"text_encoder \(CLIP.*UNet2DModel"),
        ("model_index.json", {"_class_name": "ScoreSdeVePipeline"}, "ScoreSdeVePipeline is not supported.*--scheduler"),
        ("model_index.json", {"unet": ["diffusers", "UNet2DConditionModel"]}, "a UNet2DConditionModel, which is not"),
        ("unet/config.json", {"_class_name": "UNet1DModel"}, "UNet1DModel, which is not supported"),
        ("unet/config.json", {"in_channels": 4, "out_channels": 4}, "in_channels is 4: only grey and RGB"),
        ("unet/config.json", {"out_channels": 6}, "3 and 6, and should be 3 and 3"),
        ("unet/config.json", {"sample_size": None}, "size, as sample_size: give it by --size"),
        ("unet/config.json", {"sample_size": 9}, "9×9 cannot be halved 1 times"),
        ("unet/config.json", {"sample_size": 4096}, "sides are 4 … 512"),
        ("unet/config.json", {"time_embedding_type": "fourier"}, "fourier: it reads noise levels"),
        ("unet/config.json", {"class_embed_type": "identity"}, "class_embed_type is identity"),
        ("unet/config.json", {"down_block_types": ["Strange", "DownBlock2D"]}, "Strange"),
        ("unet/config.json", {"no_such_option": 1}, "no_such_option"),
        ("unet/config.json", {"block_out_channels": [8, 24]}, "of another shape than the config says"),
        ("unet/config.json", {"layers_per_block": 2}, r"tensors are missing: unet\..*not whole"),
        ("scheduler/scheduler_config.json", {"_class_name": "EulerDiscreteScheduler"}, "EulerDiscrete.*from_config"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "laplace"}, "beta_schedule is laplace; supported"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "prediction_type is flow; supported"),
        ("scheduler/scheduler_config.json", {"variance_type": "learned"}, "variance_type is learned; supported"),
        ("scheduler/scheduler_config.json", {"variance_type": "learned_range"}, "3 and 3, and should be 3 and 6"),
        (
            "scheduler/scheduler_config.json",
            {"timestep_spacing": "log"},
            "timestep_spacing is log; supported",
        ),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, "ε and has zero terminal SNR"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1, 0.2]}, "trained_betas has 2 for 1000 timesteps"),
        ("scheduler/scheduler_config.json", {"beta_end": 1.5}, "beta_range"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "many"}, "num_train_timesteps"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "at most|less than or equal to 10000"),
        ("scheduler/scheduler_config.json", {"beta_end": float("nan")}, "beta_end"),
        ("model_index.json", {"unet": ["my_unet", "UNet2DModel"]}, "its unet comes with code of its own, my_unet"),
        ("model_index.json", {"_class_name": "ConsistencyModelPipeline"}, "goes with CMStochasticIterativeScheduler"),
        # Of other types, and of absurd sizes
        ("unet/config.json", {"block_out_channels": 8}, "block_out_channels is 8: it is a list"),
        ("unet/config.json", {"block_out_channels": []}, "block_out_channels"),
        ("unet/config.json", {"block_out_channels": [10**9, 10**9]}, "another shape|cannot build"),
        ("unet/config.json", {"block_out_channels": [2**17, 2**17]}, "tensors are not of this network"),
        ("unet/config.json", {"block_out_channels": ["8", "16"]}, "cannot build this UNet2DModel: TypeError"),
        ("unet/config.json", {"layers_per_block": 10**9}, r"layers_per_block is 1000000000: it is a number, 1 … 64"),
        ("unet/config.json", {"num_class_embeds": 10**9}, "reads 1000000000 classes: supported are at most 100,000"),
        ("unet/config.json", {"num_class_embeds": "many"}, "reads many classes"),
        ("unet/config.json", {"norm_num_groups": 0}, "cannot build this UNet2DModel"),
        ("unet/config.json", {"attention_head_dim": 0}, "cannot build this UNet2DModel|network fails"),
        ("unet/config.json", {"downsample_padding": 3}, "its network fails at timestep 1"),
        ("unet/config.json", {"sample_size": [8, 8, 8]}, "sides are 4 … 512"),
        ("unet/config.json", {"in_channels": [3]}, r"in_channels is \[3\]"),
        ("unet/config.json", {"norm_eps": float("nan")}, "values that are not finite"),
    ],
)
def test_a_config_of_something_else(file, fields, says, pipeline, tmp_path):
    change(pipeline / file, **fields)
    refused(pipeline, tmp_path, says)


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
def test_a_config_that_is_no_json(file, pipeline, tmp_path):
    for broken in ("{", "[" * 100_000, "[1]"):
        (pipeline / file).write_text(broken)
        refused(pipeline, tmp_path, "is no JSON")
    (pipeline / file).write_bytes(b"\xff\xfe{")
    refused(pipeline, tmp_path, "is no JSON")


def test_a_networks_own_config_that_was_cut_off(pipeline, tmp_path):
    config = pipeline / "unet" / "config.json"
    config.write_text(config.read_text()[:-20])
    refused(pipeline / "unet", tmp_path, "is no JSON .*fetch it again")


def test_missing_extra_and_infinite_tensors(pipeline, tmp_path):
    path = pipeline / f"{WEIGHTS}.safetensors"
    whole = load_file(path)
    save_file({name: one for name, one in whole.items() if name != "conv_in.bias"}, path)
    refused(pipeline, tmp_path, r"1 tensors are missing: unet.conv_in.bias")
    save_file(whole | {"conv_in.scale": torch.ones(1)}, path)
    refused(pipeline, tmp_path, r"1 tensors are not of this network: unet.conv_in.scale")
    save_file(whole | {"conv_in.bias": torch.full_like(whole["conv_in.bias"], torch.nan)}, path)
    refused(pipeline, tmp_path, "1 tensors are not finite numbers: unet.conv_in.bias")
    save_file(whole | {"conv_in.bias": whole["conv_in.bias"].double() * 1e300}, path)  # float32 has no such number
    refused(pipeline, tmp_path, "not finite numbers: unet.conv_in.bias")
    save_file(whole | {"conv_in.bias": whole["conv_in.bias"].to(torch.int8)}, path)  # quantised, for example
    refused(pipeline, tmp_path, "not finite numbers: unet.conv_in.bias")
    path.write_bytes(path.read_bytes()[:-10])
    refused(pipeline, tmp_path, "is no whole file of safetensors .*: fetch it again")
    path.unlink()
    refused(pipeline, tmp_path, "has no diffusion_pytorch_model.safetensors")


class Code:
    def __reduce__(self):
        return os.mkdir, ("run-by-a-pickle",)


def test_a_pickle_that_needs_code_is_not_run(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (pipeline / f"{WEIGHTS}.safetensors").unlink()
    torch.save({"conv_in.bias": Code()}, pipeline / f"{WEIGHTS}.bin")
    refused(pipeline, tmp_path, "would run code.*safetensors.torch.save_file")
    assert not (tmp_path / "run-by-a-pickle").exists()
    for document in ({"state_dict": {}}, [torch.ones(1)], {1: torch.ones(1)}):
        torch.save(document, pipeline / f"{WEIGHTS}.bin")
        refused(pipeline, tmp_path, "something else than a network's tensors")


def test_a_pickle_that_is_broken(pipeline, tmp_path):
    path = pipeline / f"{WEIGHTS}.safetensors"
    whole, pickled = load_file(path), pipeline / f"{WEIGHTS}.bin"
    path.unlink()
    torch.save(whole, pickled)
    content = pickled.read_bytes()
    for broken in (b"", content[:-10], content[:1000], b"\x80\x02.", b"<html>", bytes(1000)):
        pickled.write_bytes(broken)
        refused(pipeline, tmp_path, "cannot be read|no pickle at all|is empty; .*fetch it again|is a web page")


def test_a_pickle_of_tensors_gives_the_same_as_safetensors(pipeline, tmp_path):
    whole = load_file(pipeline / f"{WEIGHTS}.safetensors")
    (pipeline / f"{WEIGHTS}.safetensors").unlink()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}  # as diffusers once wrote them

    def old_name(name):
        for new, former in old.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{former}.")
        return name

    renamed = {old_name(name): tensor for name, tensor in whole.items()}
    assert renamed.keys() != whole.keys()
    torch.save(renamed, pipeline / f"{WEIGHTS}.bin")
    folder, _ = import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own"))
    weights = load_checkpoint(folder).network.unet.state_dict()
    assert weights.keys() == whole.keys() and all(torch.equal(weights[name], whole[name]) for name in whole)


def test_shards_are_joined_and_stay_in_their_folder(pipeline, tmp_path):
    path = pipeline / f"{WEIGHTS}.safetensors"
    whole, index = load_file(path), pipeline / f"{WEIGHTS}.safetensors.index.json"
    path.unlink()
    names = sorted(whole)
    shards = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for shard, own in shards.items():
        save_file({name: whole[name] for name in own}, pipeline / "unet" / shard)
    weight_map = {name: shard for shard, own in shards.items() for name in own}
    index.write_text(json.dumps({"weight_map": weight_map | {names[0]: "../one.safetensors"}}))
    refused(pipeline, tmp_path, "outside its folder")
    for wrong in ({names[0]: "two.safetensors"}, {"more": "one.safetensors"}):
        index.write_text(json.dumps({"weight_map": weight_map | wrong}))
        refused(pipeline, tmp_path, "disagree about")
    index.write_text(json.dumps({"weight_map": weight_map | {"more": "three.safetensors"}}))
    refused(pipeline, tmp_path, "three.safetensors: is missing; .*: fetch it again")
    index.write_text(json.dumps({"weight_map": weight_map}))
    import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own"))
    index.rename(pipeline / f"{WEIGHTS}.safetensors.index.fp16.json")  # as diffusers names it of a variant
    import_model(pipeline, tmp_path / "checkpoints", ImportOptions("variant"))


def test_weights_in_half_precision_and_links_as_in_the_hubs_cache(pipeline, tmp_path):
    path = pipeline / f"{WEIGHTS}.safetensors"
    halves = {name: one.half() for name, one in load_file(path).items()}
    path.unlink()
    save_file(halves, tmp_path / "blob")
    link = pipeline / f"{WEIGHTS}.fp16.safetensors"
    link.symlink_to(tmp_path / "blob")
    folder, _ = import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own"))
    weights = load_checkpoint(folder).network.unet.state_dict()
    assert all(weights[name].dtype == torch.float32 and torch.equal(weights[name], halves[name]) for name in halves)
    save_file(halves, pipeline / f"{WEIGHTS}.ema.safetensors")
    refused(pipeline, tmp_path / "other", r"several variants of its weights: keep one of .*ema.*fp16")
    (pipeline / f"{WEIGHTS}.ema.safetensors").unlink()
    (tmp_path / "blob").unlink()
    refused(pipeline, tmp_path / "other", r"is missing; .*fetch it again|has no diffusion_pytorch_model")


def test_what_is_no_model(tmp_path):
    refused(tmp_path / "nowhere", tmp_path, "no such file or folder$")
    refused(Path("google/ddpm-cifar10-32"), tmp_path, "fetched by: hf download google/ddpm-cifar10-32 --local-dir")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "no model that can be imported: DDPMPipeline")


@pytest.mark.parametrize("taken_by", ["a checkpoint", "a file", "a link to nothing"])
def test_a_name_that_is_taken(taken_by, pipeline, tmp_path):
    place = tmp_path / "checkpoints" / "own"
    place.parent.mkdir()
    if taken_by == "a checkpoint":
        import_model(pipeline, place.parent, ImportOptions("own"))
    elif taken_by == "a file":
        place.touch()
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ImportRefused, match="already: give another --name"):
        import_model(pipeline, place.parent, ImportOptions("own"))
    assert [path.name for path in place.parent.iterdir()] == ["own"]


def test_a_name_of_the_data_that_others_have(pipeline, tmp_path):
    save_tiny(tmp_path / "checkpoints", IMAGES)  # mnist, 1 × 8 × 8
    with pytest.raises(ImportRefused, match=r"--dataset mnist: mnist-tiny has images of the shape \[1, 8, 8\] by that"):
        import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own", dataset="mnist"))
    import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own", dataset="cifar"))
    import_model(pipeline, tmp_path / "checkpoints", ImportOptions("other", dataset="cifar"))


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; the download is not whole, perhaps: fetch it again"),
        (b"\n<!DOCTYPE html><html><title>Sign in", "is a web page: fetch the file itself, by `hf download`"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "pointer of Git LFS: `git lfs pull` there",
        ),
    ],
)
def test_what_a_download_left_in_the_place_of_weights(content, says, suffix, pipeline, tmp_path):
    (pipeline / f"{WEIGHTS}.safetensors").unlink()
    (pipeline / f"{WEIGHTS}{suffix}").write_bytes(content)
    refused(pipeline, tmp_path, f"{suffix}: .*{says}")


def test_a_download_that_is_not_whole(pipeline, tmp_path):
    (pipeline / f"{WEIGHTS}.safetensors").rename(pipeline / f"{WEIGHTS}-00001-of-00002.safetensors")
    refused(pipeline, tmp_path, r"unet: has shards, and no .*index\.json that lists them; .*fetch it again")
    shutil.rmtree(pipeline / "unet")
    refused(pipeline, tmp_path, r"unet.config\.json: is missing; .*fetch it again")


def test_a_place_where_nothing_can_be_written(pipeline, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"file: nothing can be written there .*: give another folder by --checkpo"):
        import_model(pipeline, tmp_path / "file", ImportOptions("own"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(RecipeError, match=r"MB are needed there and 0 MB are free: make room, or .* by --checkpoints"):
        import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own"))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_full_disk_leaves_nothing_and_is_told(pipeline, tmp_path, monkeypatch):
    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: No space left on device")

    monkeypatch.setattr("model.checkpoints.weights.save_file", full)
    with pytest.raises(CheckpointError, match=r"cannot be written: .*No space left"):
        import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own"))
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"null_class": 4}, "--null-class 4: there are 4, from 0"),
        ({"labels": ("cat", "dog")}, "2 names for 4 classes"),
        ({"labels": ("cat", "dog", "cat"), "null_class": 3}, "all different"),
        ({"labels": ("cat", "", "dog", "cow")}, "one of the names is empty"),
        ({"dataset": "d" * 65}, "dataset: .*at most 64"),
        ({"size": (9, 8)}, "cannot be halved"),
        ({"flags": "--image_size 64"}, "--flags: says nothing of"),
    ],
)
def test_options_that_do_not_fit(options, says, tmp_path):
    source = save_pipeline(tmp_path / "source", unet("classes"), scheduler_of("ddim"))
    refused(source, tmp_path, says, **options)


def test_an_interrupted_import_leaves_nothing(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(import_command, "write_denoiser_card", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        import_model(pipeline, tmp_path / "checkpoints", ImportOptions("own"))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_without_diffusers_the_extra_is_named(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr("model.networks.adapters.find_spec", lambda name: None)
    refused(pipeline, tmp_path, r"spirale\[diffusers\]")


def test_a_network_alone_and_the_folder_of_a_pipelines_network(pipeline, tmp_path):
    change(pipeline / "scheduler/scheduler_config.json", beta_schedule="squaredcos_cap_v2")
    _, inside = import_model(pipeline / "unet", tmp_path / "checkpoints", ImportOptions("inside"))
    assert inside.config.schedule.name == "beta-cosine" and not inside.notes
    alone = shutil.copytree(pipeline / "unet", tmp_path / "elsewhere" / "unet")
    _, assumed = import_model(alone, tmp_path / "checkpoints", ImportOptions("alone"))
    assert assumed.config.schedule.name == "beta-linear" and "DDPMScheduler's defaults" in assumed.notes[0]
    refused(alone, tmp_path / "other", "nowhere.*is missing: give the scheduler's", scheduler=tmp_path / "nowhere")
    given = ImportOptions("given", scheduler=pipeline / "scheduler")
    _, given = import_model(alone, tmp_path / "checkpoints", given)
    assert given.config.schedule == inside.config.schedule and not given.notes


def test_a_pipeline_of_the_first_versions_has_all_in_one_folder(pipeline, tmp_path):
    change(pipeline / "scheduler/scheduler_config.json", beta_schedule="squaredcos_cap_v2")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in [*pipeline.glob("*.json"), *pipeline.glob("*/*")]:
        shutil.copy(path, flat)
    _, found = import_model(flat, tmp_path / "checkpoints", ImportOptions("own"))
    assert found.config.schedule.name == "beta-cosine" and not found.notes


@pytest.mark.parametrize(("name", "told"), [("", "not 0"), ("a" * 65, "not 65")])
def test_data_have_a_name_that_requests_can_say(name, told, tmp_path):
    done = CliRunner().invoke(app, ["import", str(tmp_path), "--name", "grey", "--dataset", name])
    assert done.exit_code == 2 and "--dataset" in done.output and f"1 to 64 characters, {told}" in done.output


@pytest.mark.parametrize("graph", ["--no-graph", pytest.param("--graph", marks=pytest.mark.slow)])
def test_the_command_writes_a_checkpoint_and_says_what_it_did(graph, tmp_path):
    source = save_pipeline(tmp_path / "source", unet(**RESIDUAL), scheduler_of("ddim", clip_sample_range=2.0))
    options = [graph, "--name", "grey", "--dataset", "fog", "--checkpoints", str(tmp_path / "checkpoints")]
    done = CliRunner().invoke(app, ["import", str(source), *options])
    assert done.exit_code == 0, done.output
    assert "grey: diffusers' DDIMPipeline, DDIMScheduler: written to" in done.output
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "grey")
    data = checkpoint.config.data
    assert (data.dataset, data.shape, data.clip, data.mean, data.std) == ("fog", (1, 8, 16), 2.0, (127.5,), (127.5,))
    assert (checkpoint.graph is None) == (graph == "--no-graph")
    if checkpoint.graph is not None:
        onnx_row_function(checkpoint)  # compares it with PyTorch
    with pytest.raises(DataError, match="does not say what data"):
        section_trained_on(checkpoint.config)
    card = (tmp_path / "checkpoints" / "grey" / "README.md").read_text()
    assert "| imported from | diffusers' DDIMPipeline, DDIMScheduler |" in card and "trained on" not in card
    named_mnist = checkpoint.config.model_copy(update={"data": data.model_copy(update={"dataset": "mnist"})})
    for text in (card, "\n".join(header(named_mnist))):  # what somebody calls the data tells no licence, and no source
        read = ModelCard(text).data
        assert (read.library_name, read.license, read.datasets) == ("spirale", None, None)
        assert read.pipeline_tag == "unconditional-image-generation" and read.eval_results is None
