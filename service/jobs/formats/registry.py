"""The formats by the name that a request gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.jobs.formats import arrays, csv_rows, tar_samples, zipped_classes
from service.jobs.formats.shard import Shard


@dataclass(frozen=True)
class Format:
    """How a shard becomes files.

    kinds  of data that it can hold
    ending         of a file's name
    write          shard → the content of each file, by the ending of its name
    loads          how its files are read
    labels_ending  of a second file for labels, written after the first; None where they are in the first
    """

    kinds: tuple[str, ...]
    ending: str
    write: Callable[[Shard], Mapping[str, bytes]]
    loads: str
    labels_ending: str | None = None


def _parquet(shard: Shard) -> Mapping[str, bytes]:
    from service.jobs.formats import parquet  # PyArrow takes a fifth of a second to import

    return parquet.write(shard)


FORMATS: Mapping[str, Format] = {
    "parquet": Format(
        ("images", "points"), ".parquet", _parquet,
        'Hugging Face: `datasets.load_dataset("parquet", data_files="*.parquet")`',
    ),
    "webdataset": Format(
        ("images",), ".tar", tar_samples.write,
        '`webdataset.WebDataset(files).decode("pil").to_tuple("png", "cls")`',
    ),
    "imagefolder": Format(
        ("images",), ".zip", zipped_classes.write,
        "unzipped, `torchvision.datasets.ImageFolder(folder)`; one folder a class",
    ),
    "npy": Format(
        ("images", "points"), ".npy", arrays.write, "`numpy.load`; the classes' numbers in a file beside it",
        labels_ending=".labels.npy",
    ),
    "csv": Format(("points",), ".csv", csv_rows.write, "`pandas.read_csv`, or any spreadsheet"),
}  # fmt: skip


def formats_of(kind: str) -> list[str]:
    """The names of the formats that hold data of this kind: "images" or "points"."""
    return [name for name, one in FORMATS.items() if kind in one.kinds]
