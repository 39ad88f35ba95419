"""A folder of images → which files are in it, of which class, and what is said of them. No pixel is read here."""

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
    """name: its path in the folder, as it may be printed; label: of its class, −1 where there are none."""

    path: Path
    name: str
    label: int
    caption: str = ""


@dataclass(frozen=True)
class Folder:
    """files in the order of their names; classes in the natural order of theirs (9 before 10)."""

    root: Path
    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    captioned: bool


def read_folder(root: Path, *, labels: bool = True) -> Folder:
    """Images at the top, or one folder a class; a class's folders may have folders, hidden ones are passed over.

    labels  False: folders mean nothing, all images are of one kind

    Raises DataError where it is not such a folder.
    """
    if not root.is_dir():
        raise DataError(f"{shown(root)}: no such folder: give one of images, or a .csv")
    root = root.resolve()
    left_out: list[LeftOut] = []
    found = sorted(_images(root, left_out), key=lambda path: natural(os.fspath(path.relative_to(root))))
    if not found:
        beside = f" (of its {len(left_out)} files none is: {_some(left_out)})" if left_out else ""
        raise DataError(f"{shown(root)}: no images in it{beside}; images are {', '.join(sorted(SUFFIXES))}")
    captions = _captions(root, found, left_out)
    classes = _classes(root, found) if labels else ()
    number = {name: index for index, name in enumerate(classes)}
    files = tuple(
        ImageFile(
            path,
            shown(path.relative_to(root)),
            number[path.relative_to(root).parts[0]] if classes else -1,
            captions.get(path, ""),
        )
        for path in found
    )
    return Folder(root, files, classes, tuple(left_out), captioned=bool(captions))


def shown(path: Path | str) -> str:
    """A path as it may be printed and written down: what in it is not UTF-8 is escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key under which 9 comes before 10, and both before words."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _images(root: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Every image below; what is none, and links that lead out of the root, go to `left_out`."""
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
            left_out.append(LeftOut(shown(folder.relative_to(root)), error.strerror or str(error)))
            continue
        for entry in entries:
            path = Path(entry.path)
            name = shown(path.relative_to(root))
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
    """The folders' names; none where all images lie at the top, or in a single folder."""
    at_top = [path for path in found if path.parent == root]
    names = sorted({path.relative_to(root).parts[0] for path in found if path.parent != root}, key=natural)
    if at_top and names:
        raise DataError(
            f"{shown(root)}: {len(at_top)} images ({shown(at_top[0].name)} …) lie beside the folders of classes: move "
            f"them into one, or let folders mean nothing: --no-labels (labels = false in the recipe)"
        )
    if names and {name.lower() for name in names} <= SPLITS:
        raise DataError(
            f"{shown(root)}: its folders are {' and '.join(names)}, which are no classes: give one of them "
            f"({shown(root / names[0])}); a share of it is held out by itself"
        )
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_LABEL or name != name.strip():
            raise DataError(
                f"{shown(root / name)}: its name would be a label: rename it to plain UTF-8 without spaces around it, "
                f"of at most {LONGEST_LABEL} letters"
            )
    return tuple(names) if len(names) > 1 else ()


def _captions(root: Path, found: list[Path], left_out: list[LeftOut]) -> dict[Path, str]:
    """What metadata.jsonl (at the top or in any folder) says, as Hugging Face's ImageFolder has it: a JSON object a
    line, with the `file_name` as seen from there and its `text`."""
    captions: dict[Path, str] = {}
    images = set(found)
    for file in sorted({folder / CAPTIONS for path in found for folder in (root, path.parent)}):
        if not file.is_file():
            continue
        name = shown(file.relative_to(root))
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{shown(file)}: cannot be read as UTF-8: {error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                of, text = file.parent / entry["file_name"], entry["text"]
            except (ValueError, KeyError, TypeError) as error:
                wanted_settings = '{"file_name": …, "text": …}'
                raise DataError(
                    f"{shown(file)}, line {number}: wants {wanted_settings} ({type(error).__name__}: {error})"
                ) from error
            if not isinstance(text, str):
                raise DataError(f"{shown(file)}, line {number}: text is {text!r}, not a string")
            if of in images:
                captions[of] = " ".join(text.split())
            else:
                left_out.append(LeftOut(f"{name}, line {number}", f"there is no image {shown(entry['file_name'])}"))
    return captions


def _some(left_out: list[LeftOut]) -> str:
    return "; ".join(f"{one.name}: {one.reason}" for one in left_out[:3]) + (" …" if len(left_out) > 3 else "")
