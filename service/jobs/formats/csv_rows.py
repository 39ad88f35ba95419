"""Points as comma-separated values (RFC 4180)."""

from collections.abc import Mapping

from service.jobs.formats.shard import Shard
from service.media import encoding


def write(shard: Shard) -> Mapping[str, bytes]:
    """A header, then a line a row: the columns, then label and seed; of an encoded table its own columns, then seed.
    Numbers are as short as they can be read back."""
    seeds = shard.seeds.tolist()
    if shard.table:
        cells = shard.cells | {shard.own_column("seed"): seeds}
        return {".csv": encoding.csv_of(cells, zip(*cells.values(), strict=True))}
    labels = [()] * len(shard) if shard.labels is None else [(label,) for label in shard.labels]
    header = [*shard.columns, *([] if shard.labels is None else [shard.own_column("label")]), shard.own_column("seed")]
    rows = ([*map(str, point), *label, seed] for point, label, seed in zip(shard.data, labels, seeds, strict=True))
    return {".csv": encoding.csv_of(header, rows)}
