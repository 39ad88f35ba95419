"""A folder of images → its files with their classes and captions. No pixel is read here."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.data.training_set import DataError, LeftOut

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
CAPTIONS = "metadata.jsonl"
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
LONGEST_LABEL = 64


@dataclass(frozen=True)
class ImageFile:
    """An image file in a folder.

    name   its path in the folder, printable
    label  the number of its class; −1 if there are no classes
    """

    path: Path
    name: str
    label: int
    caption: str = ""


@dataclass(frozen=True)
class Folder:
    """A folder's files and classes, both in the natural order of their names (9 before 10)."""

    root: Path
    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    captioned: bool


def read_folder(root: Path, *, labels: bool = True) -> Folder:
    """Read a folder with images at the top, or with one folder for each class.

    labels  False: the folders inside are no classes

    Folders may be nested, and hidden ones are ignored. Raises DataError if there are no images, or the classes are
    unclear.
    """
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder: give one of images, or a .csv")
    root = root.resolve()
    left_out: list[LeftOut] = []
    found = sorted(_images(root, left_out), key=lambda path: natural(os.fspath(path.relative_to(root))))
    if not found:
        beside = f" (of its {len(left_out)} files none is: {_some(left_out)})" if left_out else ""
        raise DataError(f"{printable(root)}: no images in it{beside}; images are {', '.join(sorted(SUFFIXES))}")
    captions = _captions(root, found, left_out)
    classes = _classes(root, found) if labels else ()
    number = {name: index for index, name in enumerate(classes)}
    files = tuple(
        ImageFile(
            path,
            printable(path.relative_to(root)),
            number[path.relative_to(root).parts[0]] if classes else -1,
            captions.get(path, ""),
        )
        for path in found
    )
    return Folder(root, files, classes, tuple(left_out), captioned=bool(captions))


def printable(path: Path | str) -> str:
    """A path as printable text: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key: 9 comes before 10, and numbers before words."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


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
            if entry.name.startswith(".") or entry.name in (CAPTIONS, "Thumbs.db"):
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


def _classes(root: Path, found: list[Path]) -> tuple[str, ...]:
    """The folders' names; empty if all images lie at the top, or in a single folder. Raises DataError."""
    at_top = [path for path in found if path.parent == root]
    names = sorted({path.relative_to(root).parts[0] for path in found if path.parent != root}, key=natural)
    if at_top and names:
        raise DataError(
            f"{printable(root)}: {len(at_top)} images ({printable(at_top[0].name)} …) lie beside the folders of "
            f"classes: move them into one, or let folders mean nothing: --no-labels (labels = false in the recipe)"
        )
    if names and {name.lower() for name in names} <= SPLITS:
        raise DataError(
            f"{printable(root)}: its folders are {' and '.join(names)}, which are no classes: give one of them "
            f"({printable(root / names[0])}); a share of it is held out by itself"
        )
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_LABEL or name != name.strip():
            raise DataError(
                f"{printable(root / name)}: its name would be a label: rename it to plain UTF-8 without spaces around "
                f"it, of at most {LONGEST_LABEL} letters"
            )
    return tuple(names) if len(names) > 1 else ()


def _captions(root: Path, found: list[Path], left_out: list[LeftOut]) -> dict[Path, str]:
    """The captions in metadata.jsonl, at the top or in any folder, in the format of Hugging Face's ImageFolder.

    Each line is a JSON object with a `file_name`, relative to metadata.jsonl, and a `text`. Raises DataError.
    """
    captions: dict[Path, str] = {}
    images = set(found)
    for file in sorted({folder / CAPTIONS for path in found for folder in (root, path.parent)}):
        if not file.is_file():
            continue
        name = printable(file.relative_to(root))
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{printable(file)}: cannot be read as UTF-8: {error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                image, text = file.parent / entry["file_name"], entry["text"]
            except (ValueError, KeyError, TypeError) as error:
                expected = '{"file_name": …, "text": …}'
                raise DataError(
                    f"{printable(file)}, line {number}: wants {expected} ({type(error).__name__}: {error})"
                ) from error
            if not isinstance(text, str):
                raise DataError(f"{printable(file)}, line {number}: text is {text!r}, not a string")
            if image in images:
                captions[image] = " ".join(text.split())
            else:
                left_out.append(LeftOut(f"{name}, line {number}", f"there is no image {printable(entry['file_name'])}"))
    return captions


def _some(left_out: list[LeftOut]) -> str:
    return "; ".join(f"{file.name}: {file.reason}" for file in left_out[:3]) + (" …" if len(left_out) > 3 else "")
