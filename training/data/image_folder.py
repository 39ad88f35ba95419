"""A folder of images → its files with their classes and captions. No pixel is read here."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.class_folders import class_folders, count_of
from training.data.image_metadata import METADATA, read_metadata
from training.data.names import natural, printable
from training.data.pixels import pages_of
from training.data.training_set import DataError, LeftOut

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
STACKS = {".tif", ".tiff"}  # files that may have several pages
PASSED_OVER = {"Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found", *METADATA}
"""Files and folders that file managers, archives and disk stations write beside images."""


@dataclass(frozen=True)
class ImageFile:
    """An image file in a folder.

    name   its path in the folder, printable; with its page if there are several
    label  the number of its class; −1 if there are no classes
    group  what it belongs to, such as a patient; "" if that is not known
    page   of a TIFF, from 0 on
    """

    path: Path
    name: str
    label: int
    caption: str = ""
    group: str = ""
    page: int = 0


@dataclass(frozen=True)
class Folder:
    """A folder's files and classes, both in the natural order of their names (9 before 10).

    notes  what a user should know of how it was understood
    """

    root: Path
    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    captioned: bool
    notes: tuple[str, ...] = ()


def read_folder(root: Path, *, labels: bool = True, group: str | None = None, needs_groups: bool = True) -> Folder:
    """Read a folder with images at the top, or with one folder for each class.

    labels        False: the folders inside are no classes
    group         a regular expression for the group in a file's path below the root: what its first parenthesis
                  matches, or all that it matches. None: metadata tell the groups, if any
    needs_groups  whether one image at least must have a group, where `group` is given

    Folders may be nested, and hidden ones are ignored. Raises DataError if there are no images, or the classes or
    groups are unclear.
    """
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder: give one of images, or a .csv")
    root = root.resolve()
    left_out: list[LeftOut] = []
    found = sorted(_images(root, left_out), key=lambda path: natural(os.fspath(path.relative_to(root))))
    if not found:
        beside = f" (of its {len(left_out)} files none is: {_some(left_out)})" if left_out else ""
        raise DataError(f"{printable(root)}: no images in it{beside}; images are {', '.join(sorted(SUFFIXES))}")
    metadata = read_metadata(root, found, left_out)
    groups = metadata.groups if group is None else _matched(group, root, found)
    if group is not None and not groups and needs_groups:
        raise DataError(f"group: '{group}' is found in no file's path, such as {printable(found[0].relative_to(root))}")
    base, classes = class_folders(root, found) if labels else (root, ())
    number = {name: index for index, name in enumerate(classes)}
    notes = list(metadata.notes)
    if base != root and classes:
        notes.append(f"all images lie in {printable(base.relative_to(root))}: its folders are the classes")
    files: list[ImageFile] = []
    for path in found:
        label = number[path.relative_to(base).parts[0]] if classes else -1
        name, caption = printable(path.relative_to(root)), metadata.captions.get(path, "")
        pages = pages_of(path) if path.suffix.lower() in STACKS else [0]
        many = len(pages) > 1
        files += [
            ImageFile(path, f"{name}, page {page + 1}" if many else name, label, caption, groups.get(path, ""), page)
            for page in pages
        ]
    if len(files) > len(found):
        notes.append(f"{count_of(len(files) - len(found), 'more image')} are the further pages of TIFF stacks")
    if groups:
        alone = len(found) - len(groups)
        own = "is one by itself" if alone == 1 else "are groups by themselves"
        beside = f"; {count_of(alone, 'image')} of no group {own}"
        notes.append(
            f"{count_of(len(set(groups.values())), 'group')}: each is trained on whole, or held out whole"
            + (beside if alone else "")
        )
    return Folder(root, tuple(files), classes, tuple(left_out), bool(metadata.captions), tuple(notes))


def _matched(pattern: str, root: Path, found: Sequence[Path]) -> dict[Path, str]:
    """The group of each image whose path matches. Raises DataError for what is no pattern."""
    groups = {}
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise DataError(f"group: '{pattern}' is no regular expression: {error}") from error
    for path in found:
        match = wanted.search(path.relative_to(root).as_posix())
        if match is not None:
            groups[path] = match[1] if wanted.groups and match[1] is not None else match[0]
    return groups


def _images(root: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Every image below the root; other files, and links that lead out of the root, go to `left_out`."""
    waiting = [root]
    seen = set()
    while waiting:
        folder = waiting.pop()
        real = folder.resolve()
        if real in seen:  # a link to a folder above
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            left_out.append(LeftOut(printable(folder.relative_to(root)), error.strerror or str(error)))
            continue
        for entry in entries:
            path = Path(entry.path)
            name = printable(path.relative_to(root))
            if entry.name.startswith(".") or entry.name in PASSED_OVER:
                continue
            if entry.is_symlink() and not path.resolve().is_relative_to(root):
                left_out.append(LeftOut(name, "a link that leads out of the folder: put a copy there"))
            elif entry.is_dir():
                waiting.append(path)
            elif path.suffix.lower() not in SUFFIXES:
                left_out.append(LeftOut(name, f"{path.suffix or 'no suffix'}: no kind of image that is read"))
            elif not entry.is_file():
                left_out.append(LeftOut(name, "not a file" if not entry.is_symlink() else "a link that leads nowhere"))
            else:
                yield path


def _some(left_out: list[LeftOut]) -> str:
    return "; ".join(f"{file.name}: {file.reason}" for file in left_out[:3]) + (" …" if len(left_out) > 3 else "")
