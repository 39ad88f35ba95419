"""`python -m training import`: a model's files → a checkpoint's folder, whole or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from model.checkpoints.base import save_checkpoint
from model.checkpoints.config import CONFIG
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.networks.adapters import MissingExtra
from training.card.card import write_denoiser_card
from training.importing.diffusers_folder import SUPPORTED, is_diffusers_folder, read_diffusers_folder
from training.importing.guided_diffusion_file import FIRST_TENSORS, read_guided_file
from training.importing.imported import ImportedModel, ImportOptions, ImportRefused
from training.importing.lucidrains_file import read_lucidrains_file
from training.importing.tensor_files import read_pickle
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

    Raises ImportRefused, CheckpointError or OSError, and leaves nothing behind then.
    """
    target = checkpoints / options.name
    if target.exists():
        raise ImportRefused(f"{target} is there already: give another --name, or delete it")
    imported = read_model(source, options)
    network = _network(imported)
    with written_whole(target) as folder:
        save_checkpoint(folder, imported.config, network)
        write_denoiser_card(folder, imported.config)
        load_checkpoint(folder)
        finish(folder)
    return target, imported


def read_model(source: Path, options: ImportOptions) -> ImportedModel:
    """Raises ImportRefused where nothing here reads it."""
    if not source.exists():
        raise ImportRefused(f"{source}: there is no such file or folder")
    if source.is_dir() and is_diffusers_folder(source):
        return read_diffusers_folder(source, options)
    if source.is_file():
        document = read_pickle(source)
        if isinstance(document, dict) and document.keys() >= FIRST_TENSORS:
            return read_guided_file(document, source, options)
        return read_lucidrains_file(document, source, options)
    if (source / CONFIG).is_file():
        raise ImportRefused(
            f"{source}: has a config.json that is not of diffusers; a checkpoint of Spirale is served as it is"
        )
    raise ImportRefused(f"{source}: is no model that can be imported: {SUPPORTED} supported")


def _network(imported: ImportedModel) -> nn.Module:
    """The network with its weights, strictly. Raises ImportRefused."""
    config: DenoiserConfig = imported.config
    try:
        network = config.build_network()
    except MissingExtra as error:
        raise ImportRefused(str(error)) from error
    except ValueError as error:
        raise ImportRefused(f"{config.name}: its network is not supported: {error}") from error
    expected = network.state_dict()
    _refuse_tensors("missing", expected.keys() - imported.weights.keys())
    _refuse_tensors("not of this network", imported.weights.keys() - expected.keys())
    wrong = {name for name, tensor in imported.weights.items() if tensor.shape != expected[name].shape}
    _refuse_tensors("of another shape than the config says", wrong)
    network.load_state_dict(dict(imported.weights))
    return network.eval()


def _refuse_tensors(what: str, names: Any) -> None:
    """Raises ImportRefused where there are any."""
    if names:
        some = ", ".join(sorted(names)[:NAMED]) + (" …" if len(names) > NAMED else "")
        raise ImportRefused(
            f"{len(names)} tensors are {what}: {some}. The weights and the config are of different networks, or the "
            "file is not whole"
        )
