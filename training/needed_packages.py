"""The packages that training imports and serving does not. This module imports none of them."""

from importlib.util import find_spec

NEEDED = ("accelerate", "clevercsv", "matplotlib", "onnxscript", "rich", "sklearn", "torchvision", "typer")
"""Those of pyproject.toml's extra `train`, as they are imported."""


def missing_packages() -> list[str]:
    """Those that are not installed: where only the service is, all of them."""
    return [name for name in NEEDED if find_spec(name) is None]
