"""Why a checkpoint cannot be exported."""

from model.checkpoints.weights import CheckpointError


class ExportRefused(CheckpointError):
    """A checkpoint that the wanted format cannot hold; the message says why, and what can be done instead."""
