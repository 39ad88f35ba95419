"""Files of tensors: safetensors, and PyTorch's pickles as far as they hold tensors only."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from training.importing.imported import ImportRefused


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a PyTorch file that has nothing else. Raises ImportRefused."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ImportRefused(f"{path}: cannot be read: {error}") from error
    document = read_pickle(path)
    if not isinstance(document, Mapping) or not all(isinstance(one, Tensor) for one in document.values()):
        raise ImportRefused(f"{path}: holds more than a network's tensors")
    return dict(document)


def read_pickle(path: Path) -> Any:
    """A PyTorch file's tensors, numbers, texts, lists and dictionaries; nothing in it is run. Raises ImportRefused."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ImportRefused(
            f"{path}: a pickle that would run code to be loaded, or no pickle at all, and neither is opened. Where you "
            "trust it, load it yourself and save its tensors: safetensors.torch.save_file(state_dict, ...)"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ImportRefused(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error


def read_folder_tensors(folder: Path, stem: str) -> dict[str, Tensor]:
    """A network's tensors in a folder, whole or in shards: `stem`.safetensors, or else `stem`.bin.

    A variant, such as stem.fp16.safetensors, is taken where it is the only one. Raises ImportRefused.
    """
    for suffix in (".safetensors", ".bin"):
        if (folder / f"{stem}{suffix}").is_file():
            return read_tensors(folder / f"{stem}{suffix}")
        if (index := folder / f"{stem}{suffix}.index.json").is_file():
            return _read_shards(index)
        variants = [path for path in sorted(folder.glob(f"{stem}.*{suffix}")) if "-of-" not in path.name]
        if len(variants) == 1:
            return read_tensors(variants[0])
        if variants:
            raise ImportRefused(f"{folder}: several variants of its weights: keep one of {_names(variants)}")
    raise ImportRefused(f"{folder}: has no {stem}.safetensors and no {stem}.bin")


def _read_shards(index: Path) -> dict[str, Tensor]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ImportRefused(f"{index}: lists no shards")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name:
            raise ImportRefused(f"{index}: the shard {name} is outside its folder")
        tensors |= read_tensors(index.parent / name)
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ImportRefused."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise ImportRefused(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ImportRefused(f"{path}: is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ImportRefused(f"{path}: is no JSON object")
    return document


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)
