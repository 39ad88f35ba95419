"""Online: HTTP to samples. Imports `model`, never `training`."""

__version__ = "0.1.0"
"""Of all of Spirale: pyproject.toml takes it from here, and a container has no other."""
