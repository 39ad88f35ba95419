"""The folder of checkpoints → what the service serves of it. The log names everything that is left out."""

from pathlib import Path

import structlog

from model.checkpoints.folder import CheckpointFolder, read_checkpoint_folder
from model.checkpoints.weights import CheckpointError
from service.checkpoints.catalog import Catalog
from service.engine.hardware import give_back_freed_memory

log = structlog.get_logger(__name__)


def served_folder(folder: Path, *, in_memory: bool = True) -> CheckpointFolder:
    """Every checkpoint that loads, with its weights or without them. A folder that cannot be read counts as empty.

    What was read of them and not kept is free again."""
    try:
        found = read_checkpoint_folder(folder, strict=False, in_memory=in_memory)
    except CheckpointError as error:
        log.error("no checkpoints", reason=str(error))
        return CheckpointFolder({}, {}, {})
    if not in_memory:
        give_back_freed_memory()
    for name, reason in found.refused.items():
        log.error("checkpoint left out", checkpoint=name, reason=reason)
    return found


def catalog_of(folder: CheckpointFolder) -> Catalog:
    """The models that can be served. A ControlNet or a weak network without its denoiser serves nobody."""
    for bound in folder.without_base():
        base = bound.config.base
        reason = f"it was trained beside {base.name} with the weights {base.weights}, which is not here"
        log.error("checkpoint left out", checkpoint=bound.name, reason=reason)
    return Catalog(folder.denoisers, folder.guidance_models, folder.controls, folder.weak_networks)
