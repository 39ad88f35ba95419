"""Images without a label, which a denoiser is trained on beside those that have one."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.image_folder import Folder, ImageFile, read_folder
from training.data.names import printable
from training.data.pixels import Unusable, quiet_pillow, read_header
from training.data.training_set import DataError

NAMED = 5  # images of another size that a message names


def read_unlabelled(root: Path, labelled: Folder, group: str | None = None) -> Folder:
    """The folder's images; folders inside it are no classes.

    group  see `read_folder`

    Raises DataError if the labelled images have no classes, if one folder is inside the other, or if the labelled
    images have one size and some of these another.
    """
    if not labelled.classes:
        raise DataError(f"unlabelled: {printable(labelled.root)} has no classes either: put all images into one folder")
    found = read_folder(root, labels=False, group=group, needs_groups=False)
    inside = found.root.is_relative_to(labelled.root)
    if inside or labelled.root.is_relative_to(found.root):
        raise DataError(
            f"unlabelled: {printable(found.root)} {'lies in' if inside else 'holds'} {printable(labelled.root)}, the "
            f"folder of labelled images: move it beside"
        )
    _check_sizes(found, labelled)
    return found


def known_from_held_out(
    files: Sequence[ImageFile],
    content: NDArray[np.bytes_],
    held: Sequence[ImageFile],
    held_content: NDArray[np.bytes_],
) -> dict[int, str]:
    """Which unlabelled images must not be trained on, by their index, and why: held-out images measure what is unseen.

    files, content      [n], the unlabelled images and their digests
    held, held_content  [m], the held-out images and theirs

    A group with an image that must not be trained on is left out whole, as groups of labelled images with one in common
    are held out together: a patient may have another name here.
    """
    held_groups, held_digests = {file.group for file in held if file.group}, set(held_content.tolist())
    groups, copied, dropped = set(held_groups), set(held_digests), set[int]()
    digests = content.tolist()
    while more := {
        index
        for index, file in enumerate(files)
        if index not in dropped and (file.group in groups or digests[index] in copied)
    }:
        dropped |= more
        groups |= {files[index].group for index in more if files[index].group}
        copied |= {digests[index] for index in more}

    def reason(index: int) -> str:
        group = files[index].group
        if digests[index] in held_digests:
            return "a copy of an image that is held out"
        if group in held_groups:
            return f"of {group}, which is held out"
        if group:
            return f"of {group}, which has an image in common with what is held out"
        return "a copy of an image that is left out"

    return {index: reason(index) for index in sorted(dropped)}


def _check_sizes(found: Folder, labelled: Folder) -> None:
    """Images are scaled, but those that were enlarged beforehand look otherwise: a denoiser would learn both looks."""
    sizes = Counter(size for size in _sizes(labelled) if size is not None)
    if len(sizes) != 1:
        return
    ((height, width),) = sizes
    others = [
        (file, size)
        for file, size in zip(found.files, _sizes(found), strict=True)
        if size is not None and size != (height, width)
    ]
    if others:
        named = ", ".join(f"{file.name} ({w}×{h})" for file, (h, w) in others[:NAMED])
        raise DataError(
            f"unlabelled: {len(others):,} of {len(found.files):,} images in {printable(found.root)} are not "
            f"{width}×{height}, as all labelled ones are: {named}{' …' if len(others) > NAMED else ''}: cut or scale "
            f"them in the same way, or take them away"
        )


def _sizes(folder: Folder) -> list[tuple[int, int] | None]:
    """(height, width) of each file; None of one that cannot be read."""

    def size(file: ImageFile) -> tuple[int, int] | None:
        try:
            header = read_header(file.path)
        except Unusable:
            return None
        return header.height, header.width

    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(size, folder.files))
