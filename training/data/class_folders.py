"""Which folders of images are classes, and which only look like it: splits, wrappers, masks."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from training.data.names import natural, printable
from training.data.training_set import DataError

LONGEST_LABEL = 64
_AROUND = r"(?:[a-z]{1,8}[_\- .]+)?"  # seg_train, my-train
_AFTER = r"(?:[_\- .]*(?:set|sets|data|dataset|images?|imgs?|folder|dir|split|[0-9]{1,4})){0,2}"
TRAIN = re.compile(rf"{_AROUND}(?:train|training){_AFTER}")
OTHER = re.compile(
    rf"{_AROUND}(?:test|testing|val|valid|validation|validate|dev|eval|evaluation|pred|predict|prediction|holdout|"
    rf"hold[_\-]out|unlabell?ed){_AFTER}"
)
PART = re.compile(r"(?:[a-z0-9]+[_\- .]+)*(?:fold|part|batch|shard|chunk|subset|images?|imgs?)[_\- .]*[0-9]{1,4}")
"""Folders into which one set is cut, for cross-validation or because it is large, such as images_001."""
PLAIN = {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "input", "inputs", "x", "rgb"}
ANNOTATED = {
    *(
        "masks",
        "mask",
        "labels",
        "label",
        "annotations",
        "annotation",
        "gt",
        "groundtruth",
        "ground_truth",
        "ground-truth",
    ),
    *("segmentation", "segmentations", "segmentationclass", "segmentationobject", "depth", "target", "targets"),
}
"""Folders of images that belong to the images in a folder beside them, and are no class."""


def class_folders(root: Path, found: Sequence[Path]) -> tuple[Path, tuple[str, ...]]:
    """(the folder that holds the classes, their names); no names if all images lie at its top.

    found  the images below the root

    A folder that holds nothing but another folder is gone through. Raises DataError if the classes are unclear.
    """
    base = root
    while len({path.relative_to(base).parts[0] for path in found}) == 1 and found[0].parent != base:
        base = base / found[0].relative_to(base).parts[0]
    at_top = [path for path in found if path.parent == base]
    inside = Counter(path.relative_to(base).parts[0] for path in found if path.parent != base)
    names = sorted(inside, key=natural)
    if names:
        _check_meaning(base, inside)
    if at_top and names:
        raise DataError(
            f"{printable(base)}: {len(at_top)} images ({printable(at_top[0].name)} …) lie beside the folders of "
            f"classes: move them into one, or let folders mean nothing: --no-labels (labels = false in the recipe)"
        )
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_LABEL or name != name.strip():
            raise DataError(
                f"{printable(base / name)}: its name would be a label: rename it to plain UTF-8 without spaces around "
                f"it, of at most {LONGEST_LABEL} letters"
            )
    return base, tuple(names)


def _check_meaning(base: Path, inside: Counter[str]) -> None:
    """Raises DataError if the folders are splits, or images beside their masks, and offers the one to give instead.

    inside  the number of images in each folder
    """
    names = sorted(inside, key=natural)
    listed = " and ".join(", ".join(names).rsplit(", ", 1))
    if _are_splits([name.lower() for name in names]):
        splits = [name for name in names if TRAIN.fullmatch(name.lower())] or names
        best = max(splits, key=lambda name: inside[name])
        raise DataError(
            f"{printable(base)}: its folders are {listed}, which are no classes: give one of them "
            f"({printable(base / best)}, of {count_of(inside[best], 'image')}); a share of it is held out by itself"
        )
    lower = {name.lower(): name for name in names}
    if len(names) > 1 and all(PART.fullmatch(name) for name in lower):
        raise DataError(
            f"{printable(base)}: its folders are {listed}, which are parts and no classes: let folders mean nothing: "
            f"--no-labels (labels = false in the recipe), or rename them if they are classes"
        )
    plain = [lower[name] for name in lower if name in PLAIN]
    if plain and len(names) > 1 and all(name in PLAIN | ANNOTATED for name in lower):
        raise DataError(
            f"{printable(base)}: its folders are {listed}, which are no classes: give the one of the images "
            f"({printable(base / plain[0])})"
        )


def _are_splits(names: Collection[str]) -> bool:
    """Are folders of these names splits of one set? A class may be called train, beside bus and car."""
    train = [name for name in names if TRAIN.fullmatch(name)]
    other = [name for name in names if OTHER.fullmatch(name)]
    return bool(train and other) or (len(other) + len(train) == len(names) > 1)


def count_of(count: int, what: str) -> str:
    """`1 image`, `1,000 images`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
