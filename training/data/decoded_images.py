"""A folder of images → a training set. Every file is decoded once, checked, and kept, mapped from the cache."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from model.data import DataConfig
from training.data.augment import of_images
from training.data.cache import alone_in, cache_dir
from training.data.data_section import ImageSection
from training.data.image_folder import Folder, ImageFile, read_folder, shown
from training.data.pixels import Unusable, quiet_pillow, read_pixels
from training.data.split import digests, held_out
from training.data.training_set import DataError, Examples, FiniteSet, LeftOut

VERSION = 1  # of how pixels are made: a change makes what is kept be made again
FEWEST = 8  # images to train on
CHUNK = 256  # files that are decoded before the next are looked at
NAMED = 5  # of the unusable ones, in a message


def image_set(section: ImageSection) -> FiniteSet:
    """The folder's images, but for those that are held out; `left_out` names what cannot be used.

    Raises DataError where it cannot be trained on at all.
    """
    folder = read_folder(Path(section.images), labels=section.labels)
    kept = _kept(section, folder)
    about = json.loads((kept / "about.json").read_text())
    pixels = np.load(kept / "pixels.npy", mmap_mode="c")  # private: a tensor may not be read-only
    rows, labels = torch.from_numpy(pixels), torch.tensor(about["labels"])
    trained = about["trained"]
    names, captions = tuple(about["names"]), tuple(about["captions"])
    left_out = tuple(LeftOut(**one) for one in about["left_out"])
    mean, std = about["mean"], about["std"]
    if section.standardise == "range":
        mean, std = [127.5], [127.5]
    config = DataConfig(
        dataset=section.dataset,
        kind="images",
        shape=tuple(pixels.shape[1:]),
        labels=folder.classes,
        mean=mean,
        std=std,
        clip=max(max(m, 255 - m) / s for m, s in zip(mean, std, strict=True)),
    )
    examples, held = (
        Examples(rows[part], labels[part], names[part], captions[part])
        for part in (slice(None, trained), slice(trained, None))
    )
    return FiniteSet(config, examples, held, of_images(section), folder.left_out + left_out, identity=kept.name)


def _kept(section: ImageSection, folder: Folder) -> Path:
    """The folder in the cache that holds what this section makes of these files, as they are now."""
    options = section.model_dump(mode="json", include={"size", "channels", "fit", "labels", "held_out"})
    of = hashlib.sha256(json.dumps([VERSION, shown(folder.root), options]).encode()).hexdigest()[:16]
    place = cache_dir() / f"{section.dataset}-{of}"
    place.mkdir(parents=True, exist_ok=True)
    state = place / _fingerprint(folder.files)
    with alone_in(place):
        if not state.is_dir():
            for old in place.glob("*/"):  # of other files, or half-made
                shutil.rmtree(old)
            partial = place / "partial"
            partial.mkdir()
            try:
                _make(partial, section, folder)
            except BaseException:
                shutil.rmtree(partial)
                raise
            partial.rename(state)
    return state


def _fingerprint(files: Sequence[ImageFile]) -> str:
    """Of the files' names, sizes and times, and of what is said of them: it changes when any of them does."""
    found = hashlib.sha256()
    for file in files:
        try:
            stat = file.path.stat()
        except OSError as error:
            raise DataError(f"{file.name}: {error.strerror} while the folder was looked at: start again") from error
        found.update(repr((file.name, stat.st_size, stat.st_mtime_ns, file.label, file.caption)).encode())
    return found.hexdigest()[:16]


def _make(place: Path, section: ImageSection, folder: Folder) -> None:
    """pixels.npy, uint8 [n, C, H, W], those to train on first, and about.json."""
    shape = (section.channels, *section.size)
    needed = 2 * len(folder.files) * int(np.prod(shape))
    if needed > shutil.disk_usage(place).free:
        raise DataError(
            f"{shown(folder.root)}: {len(folder.files):,} images of {section.size[0]}×{section.size[1]} take "
            f"{needed / 2**30:.1f} GB in {cache_dir()}, which is full: set XDG_CACHE_HOME to another disk"
        )
    decoded = np.lib.format.open_memmap(place / "decoded.npy", "w+", np.uint8, (len(folder.files), *shape))
    files: list[ImageFile] = []
    left_out: list[LeftOut] = []
    for file, pixels in _decode(section, folder.files):
        if isinstance(pixels, Unusable):
            left_out.append(LeftOut(file.name, str(pixels)))
        else:
            decoded[len(files)] = pixels
            files.append(file)
    labels = np.array([file.label for file in files], dtype=np.int64)
    _check_enough(folder, labels, left_out)
    held = held_out(digests(decoded[: len(files)]), labels, section.held_out)
    order = np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
    pixels = np.lib.format.open_memmap(place / "pixels.npy", "w+", np.uint8, (len(files), *shape))
    for start in range(0, len(files), CHUNK):
        pixels[start : start + CHUNK] = decoded[order[start : start + CHUNK]]
    pixels.flush()
    (place / "decoded.npy").unlink()
    trained = int((~held).sum())
    mean, std = _moments(pixels[:trained])
    about = {
        "trained": trained,
        "mean": mean,
        "std": std,
        "labels": labels[order].tolist(),
        "names": [files[index].name for index in order],
        "captions": [files[index].caption for index in order] if folder.captioned else [],
        "left_out": [asdict(one) for one in left_out],
    }
    (place / "about.json").write_text(json.dumps(about))


def _decode(section: ImageSection, files: Sequence[ImageFile]) -> Iterator[tuple[ImageFile, np.ndarray | Unusable]]:
    """Each file with its pixels, in order, on all cores."""

    def read(file: ImageFile) -> np.ndarray | Unusable:
        try:
            return read_pixels(file.path, section.size, section.channels, section.fit)
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


def _check_enough(folder: Folder, labels: np.ndarray, left_out: Sequence[LeftOut]) -> None:
    """Raises DataError where there is too little to learn from, or a class of which nothing is seen twice."""
    unusable = ", ".join(f"{one.name} ({one.reason})" for one in left_out[:NAMED])
    because = f"; {len(left_out)} more cannot be used: {unusable}" if left_out else ""
    if len(labels) < FEWEST:
        raise DataError(
            f"{shown(folder.root)}: too few usable images to learn from, {len(labels)}: give at least {FEWEST}, better "
            f"some hundreds{because}"
        )
    counts = np.bincount(labels, minlength=len(folder.classes)) if folder.classes else np.array([len(labels)])
    for name, count in zip(folder.classes, counts, strict=False):
        if count < 2:
            raise DataError(
                f"{shown(folder.root / name)}: a class wants at least 2 usable images (one is held out), and has "
                f"{count}: add some, or take the folder away{because}"
            )


def _moments(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """(mean, standard deviation) of each channel; of one that is the same everywhere the latter is 1."""
    count, sums, squares = 0, 0.0, 0.0
    for start in range(0, len(pixels), CHUNK):
        values = pixels[start : start + CHUNK].astype(np.float64)
        count += values[:, 0].size
        sums = sums + values.sum((0, 2, 3))
        squares = squares + np.square(values).sum((0, 2, 3))
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return np.round(mean, 4).tolist(), np.where(std > 0, np.round(std, 4), 1.0).tolist()
