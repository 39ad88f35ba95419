"""A folder of images → a training set. Every file is decoded and checked once, and kept in the cache."""

import hashlib
import json
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from model.data import DataConfig
from training.data.augment import image_augmentation
from training.data.cache import alone_in, cache_dir, cache_folder
from training.data.data_section import ImageSection
from training.data.image_folder import Folder, ImageFile, read_folder
from training.data.image_split import check_enough, held_out_images
from training.data.names import printable
from training.data.pixels import SIXTEEN_BITS, Unusable, largest_value, quiet_pillow, read_pixels
from training.data.split import digests
from training.data.training_set import DataError, Examples, FiniteSet, LeftOut
from training.data.unlabelled_images import known_from_held_out, read_unlabelled

VERSION = 5  # of the processing: a new number makes cached pixels be processed again
CHUNK = 256  # files that are decoded at a time


def image_set(section: ImageSection) -> FiniteSet:
    """The folder's images; `left_out` names the files that cannot be used.

    Raises DataError if the folder cannot be trained on.
    """
    folder = read_folder(Path(section.images), labels=section.labels, group=section.group)
    unlabelled = (
        None if section.unlabelled is None else read_unlabelled(Path(section.unlabelled), folder, section.group)
    )
    about, pixels = _decoded(section, folder, () if unlabelled is None else unlabelled.files)
    rows, labels = torch.from_numpy(pixels), torch.tensor(about["labels"])
    trained, labelled = about["trained"], len(labels)
    names, captions = tuple(about["names"]), tuple(about["captions"])
    left_out = tuple(LeftOut(one["name"], one["reason"]) for one in about["left_out"])
    mean, std = about["mean"], about["std"]
    if section.standardise == "range":
        mean, std = [127.5], [127.5]
    config = DataConfig(
        dataset=section.dataset,
        kind="images",
        shape=tuple(pixels.shape[1:]),
        labels=folder.classes,
        mean=tuple(mean),
        std=tuple(std),
        clip=max(max(m, 255 - m) / s for m, s in zip(mean, std, strict=True)),
    )
    examples, held = (
        Examples(rows[part], labels[part], names[part], captions[part])
        for part in (slice(None, trained), slice(trained, labelled))
    )
    return FiniteSet(
        config,
        examples,
        held,
        image_augmentation(section),
        folder.left_out + (() if unlabelled is None else unlabelled.left_out) + left_out,
        identity=about["identity"],
        notes=(*folder.notes, *about["notes"]),
        unlabelled=None if unlabelled is None else rows[labelled:],
    )


class _About(TypedDict):
    """about.json, beside pixels.npy: labels, names and captions of its labelled rows, and the moments of the channels.

    identity  see `_identity`
    trained   how many rows are trained on: the first ones; those that are held out follow, then those without a label
    notes     how the pixels were understood
    """

    identity: str
    trained: int
    mean: list[float]
    std: list[float]
    labels: list[int]
    names: list[str]
    captions: list[str]
    notes: list[str]
    left_out: list[dict[str, str]]


def _decoded(
    section: ImageSection, folder: Folder, unlabelled: Sequence[ImageFile]
) -> tuple[_About, NDArray[np.uint8]]:
    """(about.json, pixels.npy) of these files, from the cache; they are made if they are missing."""
    which = {"size", "channels", "fit", "labels", "group", "unlabelled", "held_out"}
    options = section.model_dump(mode="json", include=which)
    digest = hashlib.sha256(json.dumps([VERSION, printable(folder.root), options]).encode()).hexdigest()[:16]
    home = cache_folder(f"{section.dataset}-{digest}", "decoded pixels")
    state = home / _fingerprint([*folder.files, *unlabelled])
    with alone_in(home):
        if not state.is_dir():
            for old in home.glob("*/"):  # from other files, or from an interrupted process
                shutil.rmtree(old)
            partial = home / "partial"
            partial.mkdir()
            try:
                _make(partial, section, folder, unlabelled)
            except BaseException:
                shutil.rmtree(partial)
                raise
            partial.rename(state)
        # Under the lock: who finds other files in the folder deletes these. What is mapped by then stays.
        about: _About = json.loads((state / "about.json").read_text())
        return about, np.load(state / "pixels.npy", mmap_mode="c")  # private: a tensor may not be read-only


def _fingerprint(files: Sequence[ImageFile]) -> str:
    """A digest of the files' names, sizes, times, labels and captions."""
    found = hashlib.sha256()
    for file in files:
        try:
            stat = file.path.stat()
        except OSError as error:
            raise DataError(f"{file.name}: {error.strerror} while the folder was looked at: start again") from error
        about = (VERSION, file.name, stat.st_size, stat.st_mtime_ns, file.label, file.caption, file.group)
        found.update(repr(about).encode())
    return found.hexdigest()[:16]


def _make(target: Path, section: ImageSection, folder: Folder, unlabelled: Sequence[ImageFile]) -> None:
    """Write pixels.npy, uint8 [n, C, H, W] with the training rows first, and about.json. Raises DataError."""
    shape, all_files = (section.channels, *section.size), [*folder.files, *unlabelled]
    needed = 2 * len(all_files) * int(np.prod(shape))
    if needed > shutil.disk_usage(target).free:
        raise DataError(
            f"{printable(folder.root)}: {len(all_files):,} images of {section.size[0]}×{section.size[1]} take "
            f"{needed / 2**30:.1f} GB in {cache_dir()}, which is full: set XDG_CACHE_HOME to another disk"
        )
    decoded = np.lib.format.open_memmap(target / "decoded.npy", "w+", np.uint8, (len(all_files), *shape))
    usable: list[int] = []
    left_out: list[LeftOut] = []
    white = _white(all_files)
    for number, (file, pixels) in enumerate(_decode(section, all_files, white)):
        if isinstance(pixels, Unusable):
            left_out.append(LeftOut(file.name, str(pixels)))
        else:
            decoded[len(usable)] = pixels
            usable.append(number)
    n = bisect_left(usable, len(folder.files))  # those with a label, if there are labels, come first
    files, others = ([all_files[number] for number in part] for part in (usable[:n], usable[n:]))
    labels = np.array([file.label for file in files], dtype=np.int64)
    content = digests(decoded[: len(usable)])
    check_enough(folder, labels, content[:n], left_out)
    held = held_out_images(folder, files, content[:n], labels, section.held_out)
    known = known_from_held_out(
        others, content[n:], [files[index] for index in np.flatnonzero(held)], content[:n][held]
    )
    left_out += [LeftOut(others[index].name, why) for index, why in known.items()]
    further = [n + index for index in range(len(others)) if index not in known]
    labelled = np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
    order = np.concatenate([labelled, np.array(further, dtype=np.int64)])
    pixels = np.lib.format.open_memmap(target / "pixels.npy", "w+", np.uint8, (len(order), *shape))
    for start in range(0, len(order), CHUNK):
        pixels[start : start + CHUNK] = decoded[order[start : start + CHUNK]]
    pixels.flush()
    (target / "decoded.npy").unlink()
    trained = int((~held).sum())
    mean, std = _moments(pixels[:trained])
    captions = [files[index].caption for index in labelled] if folder.captioned else []
    about: _About = {
        "identity": _identity(content[order], labels[labelled], captions, trained),
        "trained": trained,
        "mean": mean,
        "std": std,
        "labels": labels[labelled].tolist(),
        "names": [files[index].name for index in labelled],
        "captions": captions,
        "notes": []
        if white == SIXTEEN_BITS
        else [f"pixels of 16 bits hold values up to {white:,} only: that is white"],
        "left_out": [{"name": one.name, "reason": one.reason} for one in left_out],
    }
    (target / "about.json").write_text(json.dumps(about))


def _identity(content: NDArray[np.bytes_], labels: NDArray[np.int64], captions: list[str], trained: int) -> str:
    """Of what is learned and measured, wherever the files lie: digests of pixels, as they are stored."""
    digest = hashlib.sha256(content.tobytes() + labels.tobytes())
    digest.update(json.dumps([captions, trained]).encode())
    return digest.hexdigest()[:16]


def _white(files: Sequence[ImageFile]) -> int:
    """The value of white in grey images of 16 bits: all their bits, or as many as the brightest of them needs.

    Cameras and scanners of 10, 12 or 14 bits write such files, which would be nearly black.
    """
    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        brightest = max(pool.map(lambda file: largest_value(file.path, file.page), files), default=0)
    return SIXTEEN_BITS if brightest == 0 else (1 << brightest.bit_length()) - 1


def _decode(
    section: ImageSection, files: Sequence[ImageFile], white: int
) -> Iterator[tuple[ImageFile, NDArray[np.uint8] | Unusable]]:
    """Each file with its pixels [C, H, W], in order, on all cores."""

    def read(file: ImageFile) -> NDArray[np.uint8] | Unusable:
        try:
            return read_pixels(file.path, section.size, section.channels, section.fit, file.page, white)
        except Unusable as unusable:
            return unusable

    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool, _progress() as progress:
        task = progress.add_task("decoding", total=len(files))
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            yield from zip(chunk, pool.map(read, chunk), strict=True)
            progress.advance(task, len(chunk))


def _progress() -> Progress:
    return Progress(transient=True, disable=not Console().is_terminal)


def _moments(pixels: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) of each channel of [n, C, H, W]; a constant channel gets the standard deviation 1."""
    count, sums, squares = 0, np.zeros(pixels.shape[1]), np.zeros(pixels.shape[1])
    for start in range(0, len(pixels), CHUNK):
        values = pixels[start : start + CHUNK].astype(np.float64)
        count += values[:, 0].size
        sums = sums + values.sum((0, 2, 3))
        squares = squares + np.square(values).sum((0, 2, 3))
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return np.round(mean, 4).tolist(), np.where(std > 0, np.round(std, 4), 1.0).tolist()
