"""WebDataset: a tar of `00000007.png`, `00000007.cls` and `00000007.json` for each row."""

import io
import json
import tarfile
from collections.abc import Mapping

from service.jobs.formats.shard import Shard


def write(shard: Shard) -> Mapping[str, bytes]:
    """`cls` is the number of the class; `json` has its name, the prompt and the seed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        rows = zip(shard.stems(), shard.pngs(), shard.records(), strict=True)
        for index, (stem, png, record) in enumerate(rows):
            _add(tar, f"{stem}.png", png)
            if shard.classes is not None:
                _add(tar, f"{stem}.cls", str(shard.classes[index]).encode())
            _add(tar, f"{stem}.json", json.dumps(record, ensure_ascii=False).encode())
    return {".tar": buffer.getvalue()}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # of time 0, and nobody's
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
