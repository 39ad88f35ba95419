"""Files and folders that are there whole, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path on the same disk to write a file or a folder to, which becomes `target` at the end.

    If the block raises, nothing is left. Raises OSError where the target is there already.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        partial = Path(temporary) / target.name
        yield partial
        partial.rename(target)
