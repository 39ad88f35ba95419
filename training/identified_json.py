"""JSON files of results that are forgotten as soon as what they depend on changes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_identified(path: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The file's document; {} if there is none that can be read, or one of another identity."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if document.get("identity") == identity else {}


def write_identified(path: Path, identity: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Write the file with its folder, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"identity": identity, **fields}, indent=1) + "\n")
    partial.replace(path)
