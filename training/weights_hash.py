"""What a checkpoint's weights are and mean, as a hash: what was measured of others does not count."""

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel

from model.checkpoints.base import WEIGHTS
from model.text_encoder import FILE as TEXT_WEIGHTS

# The fields of a config that say what its weights mean, and how a picture becomes a hint.
MEANING = {"data", "network", "schedule", "prediction", "text", "hint", "framing", "frame"}


def weights_hash(folder: Path, config: BaseModel) -> str:
    """Hash of a checkpoint's weights and of the config fields that give them meaning.

    Metrics and sampling settings do not count. A field at its default does not count either: a config.json from before
    that field existed means the same.
    """
    meaning = config.model_dump(mode="json", include=MEANING, exclude_defaults=True)
    digest = hashlib.sha256()
    for weights in (folder / WEIGHTS, folder / TEXT_WEIGHTS):
        if weights.is_file():
            digest.update(weights.read_bytes())
    digest.update(json.dumps(meaning, sort_keys=True).encode())
    return digest.hexdigest()[:16]
