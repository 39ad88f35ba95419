"""Which images of a folder are held out, and whether there are enough to train on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.group_split import GroupError, held_out_groups
from training.data.image_folder import Folder, ImageFile
from training.data.names import printable
from training.data.split import held_out
from training.data.training_set import DataError, LeftOut

FEWEST = 8  # images to train on
NAMED = 5  # unusable files that a message names


def check_enough(
    folder: Folder, labels: NDArray[np.int64], content: NDArray[np.bytes_], left_out: Sequence[LeftOut]
) -> None:
    """Raises DataError if there are too few different images, or a class has only one.

    labels, content  [n]: the class and the digest of each usable image
    """
    unusable = ", ".join(f"{one.name} ({one.reason})" for one in left_out[:NAMED])
    because = f"; {len(left_out)} more cannot be used: {unusable}" if left_out else ""
    different = len(np.unique(content))
    copies = f" (of {len(labels):,}, the others are copies)" if different < len(labels) else ""
    if different < FEWEST:
        raise DataError(
            f"{printable(folder.root)}: too few {'different' if copies else 'usable'} images to learn from, "
            f"{different}{copies}: give at least {FEWEST}, better some hundreds{because}"
        )
    for number, name in enumerate(folder.classes):
        own = content[labels == number]
        count = len(np.unique(own))
        if count < 2:
            copies = f" (its {len(own):,} images are copies)" if count < len(own) else ""
            raise DataError(
                f"{printable(folder.root / name)}: a class needs at least 2 different usable images (one is held "
                f"out), and has {count}{copies}: add some, or take the folder away{because}"
            )


def held_out_images(
    folder: Folder,
    files: Sequence[ImageFile],
    content: NDArray[np.bytes_],
    labels: NDArray[np.int64],
    share: float,
) -> NDArray[np.bool_]:
    """Which of the usable files are held out, by group where there are groups. Raises DataError where none can be."""
    if not any(file.group for file in files):
        held = held_out(content, labels, share)
        if not held.any():
            raise DataError(
                f"{printable(folder.root)}: nothing can be held out to measure with: its classes share all their "
                f"images; give each class images of its own"
            )
        return held
    alone: dict[Path, str] = {}  # a file of no group is one of its own, named by its first page, not by where it lies
    for file, digest in zip(files, content.tolist(), strict=True):
        alone.setdefault(file.path, digest.decode())
    groups = [file.group or alone[file.path] for file in files]
    try:
        return held_out_groups(groups, content, labels, folder.classes, share)
    except GroupError as error:
        raise DataError(f"{printable(folder.root)}: {error}") from error
