"""Measurements that are made once: kept by what they are measurements of."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from model.checkpoints.denoiser import WEIGHTS
from model.text_encoder import FILE as TEXT_WEIGHTS
from training.report.grid import Measured, Setting

# Of a config: what its weights are read by, and a picture made into what they read.
MEANING = {"data", "network", "schedule", "prediction", "text", "hint", "framing", "frame"}


class MeasurementStore:
    """What is known of one subject, in a JSON file that is written anew after every cell.

    identity  names everything else that the figures depend on (weights, judge, precision): where the file was made
              under another, it is forgotten.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]):
        self._path = path
        self._identity = dict(identity)
        known = self._read()
        self._figures = {Setting(**entry["cell"]): entry["figures"] for entry in known.get("cells", [])}
        self._drawn: dict[str, str] = known.get("drawn", {})  # picture → the advice that it was drawn by

    @property
    def measured(self) -> Measured:
        return self._figures

    def __contains__(self, setting: Setting) -> bool:
        return setting in self._figures

    def forget(self, settings: Collection[Setting]) -> None:
        """So that these are measured again, and every picture drawn; the file keeps them until the first one is."""
        self._figures = {setting: metrics for setting, metrics in self._figures.items() if setting not in settings}
        self._drawn.clear()

    def put(self, setting: Setting, metrics: dict[str, Any]) -> None:
        self._figures[setting] = metrics
        self._write()

    def drawn(self, picture: str, advice: str) -> bool:
        """Was that picture made of the same weights, by the same advice?"""
        return self._drawn.get(picture) == advice

    def put_picture(self, picture: str, advice: str) -> None:
        self._drawn[picture] = advice
        self._write()

    def _write(self) -> None:
        document = {
            "identity": self._identity,
            "drawn": self._drawn,
            "cells": [
                {"cell": asdict(setting), "figures": metrics}
                for setting, metrics in sorted(self._figures.items(), key=lambda item: repr(item[0]))
            ],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(document, indent=1) + "\n")
        partial.replace(self._path)

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return document if document.get("identity") == self._identity else {}


def weights_hash(folder: Path, config: BaseModel) -> str:
    """Of a checkpoint's weights and of what its config says they mean; not of its card's figures or advice.

    What is left at its default does not count: a config.json that was written before a field was thought of means the
    same as one written after.
    """
    meaning = config.model_dump(mode="json", include=MEANING, exclude_defaults=True)
    digest = hashlib.sha256()
    for weights in (folder / WEIGHTS, folder / TEXT_WEIGHTS):
        if weights.is_file():
            digest.update(weights.read_bytes())
    digest.update(json.dumps(meaning, sort_keys=True).encode())
    return digest.hexdigest()[:16]
