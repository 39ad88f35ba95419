"""What a file is that was given as a table: text in some encoding, or something else that its first bytes tell."""

from pathlib import Path

from training.data.names import printable
from training.data.training_set import DataError

KINDS = {
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"(\xb5/\xfd": "compressed by zstd: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a rar archive: unpack it",
    b"\x93NUMPY": "an array of NumPy: save it by numpy.savetxt",
    b"\x89HDF": "an HDF5 file: save its table as CSV",
    b"ARROW1": "an Arrow file: save it as CSV",
    b"SQLite format 3": "a database: save its table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save its sheet as CSV",
    b"%PDF": "a PDF: give a CSV",
    b"\x89PNG": "an image: give the folder that it lies in",
    b"\xff\xd8\xff": "an image: give the folder that it lies in",
    b"GIF8": "an image: give the folder that it lies in",
    b"BM": "an image: give the folder that it lies in",
    b"II*\x00": "an image: give the folder that it lies in",
    b"MM\x00*": "an image: give the folder that it lies in",
    b"RIFF": "an image or a sound: give the folder of images that it lies in",
}
"""The first bytes of files that are often given in place of a CSV → what they are, and what to do."""


def encoding_of(path: Path, start: bytes) -> str:
    """The encoding, by the first bytes of the file. Raises DataError if it is no text."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    kind = next((what for magic, what in KINDS.items() if start.startswith(magic)), None)
    if start.startswith(b"PK\x03\x04"):
        kind = "an archive of NumPy: save it by numpy.savetxt" if b".npy" in start else "a zip archive: unpack it"
        if b"[Content_Types].xml" in start or b"xl/" in start or b"mimetype" in start:
            kind = "a spreadsheet: save its sheet as CSV"
    if kind is None and b"\x00" in start:
        kind = "no text: give a CSV"
    if kind is not None and (b"\x00" in start or not start.startswith(b"BM")):
        raise DataError(f"{printable(path)}: this is {kind}")
    return "utf-8-sig"
