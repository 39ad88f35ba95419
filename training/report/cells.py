"""Measurements that are made once: kept by what they are measurements of."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.report.grid import Cell, Measured

KEYS = ("sampler", "steps", "guidance_scale", "variance", "samples")


class CellStore:
    """What is known of one checkpoint, in a JSON file that is written anew after every cell.

    identity  names everything else that the figures depend on (weights, schedule, judge, precision): where the file
              was made under another, it is forgotten.
    """

    def __init__(self, path: Path, identity: dict[str, str], *, forget: bool = False):
        self._path = path
        self._identity = identity
        self._figures: dict[Cell, dict[str, Any]] = {} if forget else dict(self._read())

    @property
    def measured(self) -> Measured:
        return self._figures

    def __contains__(self, cell: Cell) -> bool:
        return cell in self._figures

    def put(self, cell: Cell, figures: dict[str, Any]) -> None:
        self._figures[cell] = figures
        document = {
            "identity": self._identity,
            "cells": [
                {"cell": {key: getattr(one, key) for key in KEYS}, "figures": of}
                for one, of in sorted(self._figures.items(), key=lambda item: repr(item[0]))
            ],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(document, indent=1) + "\n")
        partial.replace(self._path)

    def _read(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        try:
            document = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return
        if document.get("identity") == self._identity:
            for entry in document["cells"]:
                yield Cell(**entry["cell"]), entry["figures"]


def weights_hash(folder: Path) -> str:
    """Of a checkpoint's weights and of what its config says they mean; not of its card's figures or advice."""
    config = json.loads((folder / "config.json").read_text())
    meaning = {key: config[key] for key in ("data", "network", "schedule", "prediction") if key in config}
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes())
    digest.update(json.dumps(meaning, sort_keys=True).encode())
    return digest.hexdigest()[:16]
