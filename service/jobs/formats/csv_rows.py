"""Points as comma-separated values (RFC 4180)."""

import csv
import io
from collections.abc import Mapping

from service.jobs.formats.shard import Shard
from service.media import encoding


def write(shard: Shard) -> Mapping[str, bytes]:
    """A header, then a line a row: the columns, then label and seed; of a table with
    categories its own columns, then seed. Numbers are as short as they can be read back."""
    if shard.table:
        return {".csv": encoding.csv_of(shard.cells | {shard.own_column("seed"): shard.seeds.tolist()})}
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    labelled = shard.labels is not None
    lines.writerow([*shard.columns, *([shard.own_column("label")] if labelled else []), shard.own_column("seed")])
    for index, (point, seed) in enumerate(zip(shard.data, shard.seeds.tolist(), strict=True)):
        label = [] if shard.labels is None else [shard.labels[index]]
        lines.writerow([*(str(value) for value in point), *label, seed])
    return {".csv": text.getvalue().encode()}
