"""NumPy's own files: the samples, and beside them the classes' numbers."""

from collections.abc import Mapping

from service.jobs.formats.shard import Shard
from service.media import encoding


def write(shard: Shard) -> Mapping[str, bytes]:
    """Images uint8 [n, H, W] or [n, H, W, 3], points float [n, d]; labels int64 [n]."""
    labels = {} if shard.classes is None else {".labels.npy": encoding.npy(shard.classes)}
    return {".npy": encoding.npy(shard.data), **labels}
