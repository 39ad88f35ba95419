"""Points as comma-separated values (RFC 4180)."""

from collections.abc import Mapping

from service.jobs.formats.shard import Shard
from service.media import encoding


def write(shard: Shard) -> Mapping[str, bytes]:
    """A header, then a line a row: the columns, then label and seed; of an encoded table its own columns, then seed."""
    seeds = shard.seeds.tolist()
    if not shard.table:
        return {".csv": encoding.table(shard.data, shard.columns, shard.labels, seeds)}
    cells = shard.cells | {shard.own_column("seed"): seeds}
    return {".csv": encoding.csv_of(cells, zip(*cells.values(), strict=True))}
