"""Where what took long to make of data is kept: XDG_CACHE_HOME, by default ~/.cache. It may be deleted at any time."""

import os
from pathlib import Path


def cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spirale"
