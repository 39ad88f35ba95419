"""Files of tensors: safetensors, and PyTorch's pickles as far as they hold tensors only."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from training.importing.imported import ImportRefused

BEGINNING = 64  # bytes of a file, which tell a web page
FETCH_AGAIN = "the download is not whole, perhaps: fetch it again"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a PyTorch file that has nothing else. Raises ImportRefused."""
    _refuse_no_tensors(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ImportRefused(f"{path}: is no whole file of safetensors ({error}): fetch it again") from error
    document = read_pickle(path)
    if not is_state(document):
        raise ImportRefused(f"{path}: holds something else than a network's tensors by name")
    return dict(document)


def is_state(document: Any) -> TypeGuard[Mapping[str, Tensor]]:
    """Is it a network's state, tensors by name?"""
    return isinstance(document, Mapping) and all(
        isinstance(name, str) and isinstance(one, Tensor) for name, one in document.items()
    )


def read_pickle(path: Path) -> Any:
    """A PyTorch file's tensors, numbers, texts, lists and dictionaries; nothing in it is run. Raises ImportRefused."""
    _refuse_no_tensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ImportRefused(
            f"{path}: a pickle that would run code to be loaded, or no pickle at all, and neither is opened. Where you "
            "trust it, load it yourself and save its tensors: safetensors.torch.save_file(state_dict, ...)"
        ) from error
    except Exception as error:  # a broken file makes the unpickler raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ImportRefused(f"{path}: cannot be read: {reason}") from error


def _refuse_no_tensors(path: Path) -> None:
    """Raises ImportRefused where the file is what a download has left in the place of tensors."""
    try:
        with path.open("rb") as file:
            beginning = file.read(BEGINNING).lstrip().lower()
    except FileNotFoundError as error:
        raise ImportRefused(f"{path}: is missing; {FETCH_AGAIN}") from error
    except OSError as error:
        raise ImportRefused(f"{path}: cannot be read: {error.strerror}; make it readable for you") from error
    if not beginning:
        raise ImportRefused(f"{path}: is empty; {FETCH_AGAIN}")
    if beginning.startswith(b"version https://git-lfs"):
        raise ImportRefused(f"{path}: is a pointer of Git LFS: `git lfs pull` there fetches the file itself")
    if beginning.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ImportRefused(
            f"{path}: is a web page: fetch the file itself, by `hf download` or by an address with /resolve/ in it"
        )


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
        variants += sorted(folder.glob(f"{stem}{suffix}.index.*.json"))
        if len(variants) == 1:
            return _read_shards(variants[0]) if variants[0].suffix == ".json" else read_tensors(variants[0])
        if variants:
            raise ImportRefused(f"{folder}: several variants of its weights: keep one of {_names(variants)}")
    if any(folder.glob(f"{stem}-*-of-*")):
        raise ImportRefused(
            f"{folder}: has shards, and no {stem}.safetensors.index.json that lists them; {FETCH_AGAIN}"
        )
    raise ImportRefused(f"{folder}: has no {stem}.safetensors and no {stem}.bin; {FETCH_AGAIN}")


def _read_shards(index: Path) -> dict[str, Tensor]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ImportRefused(f"{index}: lists no shards")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise ImportRefused(f"{index}: the shard {shard} is outside its folder")
        found = read_tensors(index.parent / shard)
        listed = {name for name, its_shard in weight_map.items() if its_shard == shard}
        if wrong := sorted(found.keys() ^ listed):
            raise ImportRefused(
                f"{index}: the shard {shard} and this list disagree about {wrong[0]}: one of them is older"
            )
        tensors |= found
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ImportRefused."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ImportRefused(f"{path}: is missing; {FETCH_AGAIN}") from error
    except OSError as error:
        raise ImportRefused(f"{path}: cannot be read: {error.strerror}; make it readable for you") from error
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{path}: is no JSON ({error}); {FETCH_AGAIN}") from error
    if not isinstance(document, dict):
        raise ImportRefused(f"{path}: is no JSON object")
    return document


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)
