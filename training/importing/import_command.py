"""`python -m training import`: a model's files → a checkpoint's folder, whole or not at all."""

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import CONFIG
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.networks.adapters import MissingExtra
from model.networks.without_memory import without_memory
from training.card.card import write_denoiser_card
from training.disk import need_space_of_checkpoint, need_writable
from training.importing.diffusers_folder import SUPPORTED, is_diffusers_folder, read_diffusers_folder
from training.importing.guided_diffusion_file import FIRST_TENSORS, read_guided_file
from training.importing.imported import ImportedModel, ImportOptions, ImportRefused
from training.importing.lucidrains_file import read_lucidrains_file
from training.importing.tensor_files import is_state, read_json, read_pickle, read_tensors
from training.temporary import written_whole

NAMED = 3  # tensors that an error lists


def import_model(
    source: Path,
    checkpoints: Path,
    options: ImportOptions,
    finish: Callable[[Path], None] = lambda folder: None,
) -> tuple[Path, ImportedModel]:
    """Make checkpoints/NAME of the model. It is written beside its place, read back, and then renamed.

    finish  adds to the folder before it is renamed

    Raises ImportRefused, CheckpointError, OSError, or RecipeError where nothing can be written, and leaves nothing
    behind then.
    """
    target = checkpoints / options.name
    if os.path.lexists(target):
        raise ImportRefused(f"{target} is there already: give another --name, or delete it")
    imported = read_model(source, options)
    _refuse_other_data(imported.config, checkpoints)
    network = _network(imported)
    _try(network, imported.config)
    need_writable(checkpoints, "give another folder by --checkpoints")
    need_space_of_checkpoint(checkpoints, network)
    with written_whole(target) as folder:
        save_checkpoint(folder, imported.config, network)
        write_denoiser_card(folder, imported.config)
        load_checkpoint(folder)
        finish(folder)
    return target, imported


def read_model(source: Path, options: ImportOptions) -> ImportedModel:
    """Raises ImportRefused where nothing here reads it."""
    if not source.exists():
        fetch = f"; of the Hub it is fetched by: hf download {source} --local-dir FOLDER"
        raise ImportRefused(f"{source}: there is no such file or folder{fetch if len(source.parts) == 2 else ''}")
    if source.is_dir() and is_diffusers_folder(source):
        options.refuse(source, "flags")
        return read_diffusers_folder(source, options)
    if source.is_file():
        options.refuse(source, "scheduler", "timesteps")
        document = read_tensors(source) if source.suffix == ".safetensors" else read_pickle(source)
        if is_state(document) and document.keys() >= FIRST_TENSORS:
            return read_guided_file(document, source, options)
        options.refuse(source, "flags")
        return read_lucidrains_file(document, source, options)
    if (source / CONFIG).is_file():
        read_json(source / CONFIG)  # one that was cut off says so
        raise ImportRefused(
            f"{source}: has a config.json that is not of diffusers; a checkpoint of Spirale is served as it is"
        )
    raise ImportRefused(f"{source}: is no model that can be imported: {SUPPORTED} supported")


def _refuse_other_data(config: DenoiserConfig, checkpoints: Path) -> None:
    """Raises ImportRefused where a checkpoint there has other rows by the same name of the data: requests name it."""
    own = config.data
    for path in sorted(checkpoints.glob(f"*/{CONFIG}")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))["data"]
            same_name, kind, shape = data["dataset"] == own.dataset, data["kind"], tuple(data["shape"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the service names it
        if same_name and (kind, shape) != (own.kind, own.shape):
            raise ImportRefused(
                f"--dataset {own.dataset}: {path.parent.name} has {kind} of the shape {list(shape)} by that name, and "
                f"{config.name} has {own.kind} of {list(own.shape)}: give another"
            )


def _network(imported: ImportedModel) -> nn.Module:
    """The network with its weights, strictly. It takes memory only once the weights fit what the config says. Raises
    ImportRefused."""
    config: DenoiserConfig = imported.config
    try:
        with without_memory():
            expected = config.build_network().state_dict()
    except MissingExtra as error:
        raise ImportRefused(str(error)) from error
    except ValueError as error:
        raise ImportRefused(f"{config.name}: its network is not supported: {error}") from error
    _refuse_tensors("missing", expected.keys() - imported.weights.keys())
    _refuse_tensors("not of this network", imported.weights.keys() - expected.keys())
    wrong = {name for name, tensor in imported.weights.items() if tensor.shape != expected[name].shape}
    _refuse_tensors("of another shape than the config says", wrong)
    _refuse_tensors("not finite numbers", {name for name, tensor in imported.weights.items() if not _is_finite(tensor)})
    network = config.build_network()
    network.load_state_dict(dict(imported.weights))
    return network.eval()


def _is_finite(tensor: Tensor) -> bool:
    """Does it hold floating-point numbers that float32 has?"""
    plain = tensor.dtype.is_floating_point and tensor.layout is torch.strided and not tensor.is_meta
    return plain and bool(tensor.float().isfinite().all())


@torch.inference_mode()
def _try(network: nn.Module, config: DenoiserConfig) -> None:
    """One row at the first timestep and at the last. Raises ImportRefused where the network fails with it."""
    outputs = config.data.shape[0] * (2 if config.prediction.learned_variance else 1)
    for t, label in ((1, 0), (config.schedule.T, len(config.data.labels) - 1)):
        try:
            output = network(torch.zeros(1, *config.data.shape), torch.tensor([t]), torch.tensor([label]))
        except Exception as error:  # a network of options that do not go together raises anything
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ImportRefused(f"{config.name}: its network fails at timestep {t}: {reason}") from error
        if output.shape != (1, outputs, *config.data.shape[1:]) or not output.isfinite().all():
            raise ImportRefused(
                f"{config.name}: its network answers {list(config.data.shape)} with {list(output.shape[1:])}, or with "
                "values that are not finite: it is no denoiser of these images"
            )


def _refuse_tensors(what: str, names: Collection[str]) -> None:
    """Raises ImportRefused where there are any."""
    if names:
        some = ", ".join(sorted(names)[:NAMED]) + (" …" if len(names) > NAMED else "")
        raise ImportRefused(
            f"{len(names)} tensors are {what}: {some}. The weights are of another network than the config or the flags "
            "say, or the file is not whole"
        )
