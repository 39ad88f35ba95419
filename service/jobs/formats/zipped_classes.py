"""Images in a folder for each class, as torchvision's and Hugging Face's ImageFolder read them, with metadata.jsonl."""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from urllib.parse import quote

from service.jobs.formats.shard import Shard

UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$')  # in the name of a folder, on one system or another
EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier time


def write(shard: Shard) -> Mapping[str, bytes]:
    """A zip: `seven/00000007.png` …, and `metadata.jsonl`, a line a row. Without labels all are in `images`."""
    buffer = io.BytesIO()
    lines = []
    with zipfile.ZipFile(buffer, "w") as archive:
        rows = zip(shard.stems(), shard.pngs(), shard.records(), shard.labels or ["images"] * len(shard), strict=True)
        for stem, png, record, label in rows:
            name = f"{folder_name(label)}/{stem}.png"
            archive.writestr(zipfile.ZipInfo(name, EPOCH), png)
            lines.append(json.dumps({"file_name": name, **record}, ensure_ascii=False) + "\n")
        archive.writestr(zipfile.ZipInfo("metadata.jsonl", EPOCH), "".join(lines).encode())
    return {".zip": buffer.getvalue()}


def folder_name(label: str) -> str:
    """The class's name, with what a file system may not like percent-encoded: no two names become one."""
    return UNSAFE.sub(
        lambda found: quote(found[0], safe="") if found[0] not in ". " else f"%{ord(found[0]):02X}", label
    )
