"""metadata.jsonl and metadata.csv beside images, in the format of Hugging Face's ImageFolder → captions and groups."""

import csv
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.vocabulary import CONTROL
from training.data.names import printable
from training.data.training_set import DataError, LeftOut

METADATA = ("metadata.jsonl", "metadata.csv")
FILE, TEXT, GROUP = "file_name", "text", "group"


@dataclass(frozen=True)
class Metadata:
    """What is said of images.

    captions  of those that have one
    groups    what each belongs to, such as a photograph, a patient or a slide, of those that name it
    notes     files that say neither, or nothing of these images
    """

    captions: dict[Path, str]
    groups: dict[Path, str]
    notes: tuple[str, ...]


def read_metadata(root: Path, found: Sequence[Path], left_out: list[LeftOut]) -> Metadata:
    """What is said of the images `found` below the root; lines about other files go to `left_out`.

    Metadata may lie in any folder between the root and an image. Each line has a `file_name`, relative to the metadata,
    and may have a `text`, which is a caption, and a `group`, a string or a whole number. Raises DataError if a line
    cannot be read.
    """
    captions: dict[Path, str] = {}
    groups: dict[Path, str] = {}
    notes: list[str] = []
    images = set(found)
    folders = {folder for path in found for folder in path.parents if folder.is_relative_to(root)}
    for file in sorted(folder / name for folder in folders for name in METADATA):
        if not file.is_file():
            continue
        name, fields = printable(file.relative_to(root)), dict[str, None]()
        told = known = False
        for number, entry in _entries(file):
            where = f"{printable(file)}, line {number}"
            image, text = entry.get(FILE), entry.get(TEXT)
            if not isinstance(image, str) or "\0" in image:
                raise DataError(f'{where}: wants {{"{FILE}": …}}, and there is none in {", ".join(entry) or "it"}')
            if text is not None and not isinstance(text, str):
                raise DataError(f"{where}: {TEXT} is {text!r}, not a string")
            group = entry.get(GROUP)
            if group is not None and (isinstance(group, bool) or not isinstance(group, str | int)):
                raise DataError(f"{where}: {GROUP} is {group!r}, neither a string nor a whole number")
            fields |= dict.fromkeys(entry)
            path = file.parent / image
            if path not in images:
                left_out.append(LeftOut(f"{name}, line {number}", f"there is no image {printable(image)}"))
                continue
            known = True
            if text and (caption := _without_control(text)):
                captions[path] = caption
                told = True
            if group is not None and (belongs_to := _without_control(str(group))):
                groups[path] = belongs_to
                told = True
        if fields and not known:
            notes.append(f"{name} names no image that is here: {FILE!r} is relative to the folder that it lies in")
        elif not told:
            others = ", ".join(field for field in fields if field != FILE) or "nothing else"
            notes.append(
                f"{name} has neither captions nor groups: these are its {TEXT!r} and {GROUP!r}, and it has {others}"
            )
    return Metadata(captions, groups, tuple(notes))


def _without_control(text: str) -> str:
    """One blank for each run of white space and of control characters, which no prompt may have."""
    return " ".join("".join(" " if unicodedata.category(c) in CONTROL else c for c in text).split())


def _entries(file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """(line number, entry) of each line of a metadata file. Raises DataError."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            if file.suffix == ".csv":
                reader = csv.DictReader(lines)
                for row in reader:
                    yield reader.line_num, {key: value for key, value in row.items() if key is not None}
                return
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                entry = json.loads(line)
                if not isinstance(entry, dict):
                    raise DataError(f'{printable(file)}, line {number}: wants {{"{FILE}": …, "{TEXT}": …}}')
                yield number, entry
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{printable(file)}: cannot be read as UTF-8: {error}") from error
    except csv.Error as error:
        raise DataError(f"{printable(file)}: no CSV that can be read: {error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{printable(file)}, line {number}: no JSON: {error}") from error
