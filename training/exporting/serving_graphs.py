"""The graphs by which CPUs serve checkpoints, beside their weights."""

from pathlib import Path

import typer

from model.backends.onnx_graph import GraphError
from model.checkpoints.base import GRAPH, INT8_GRAPH
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.roles import LOADERS
from model.checkpoints.weights import CheckpointError
from training.exporting.int8_calibration import network_inputs


def write_graph(folder: Path, role: str) -> None:
    """Make the graph of what was trained. A network that cannot be exported is said to be without one."""
    from model.backends import onnx_export  # slow, and needed here alone

    try:
        onnx_export.write_graph(folder, LOADERS[role](folder))
    except CheckpointError:
        raise
    except Exception as error:  # of the exporter, of many kinds
        typer.echo(f"{folder.name}: no graph ({error}): CPUs serve it by PyTorch")
    else:
        typer.echo(f"{folder.name}: {GRAPH} is written beside its weights")


def write_int8_graph(folder: Path) -> None:
    """Make the graph in integers, or say why there is none. Raises CheckpointError."""
    from model.backends import onnx_int8  # slow, and needed here alone

    checkpoint = load_checkpoint(folder)
    try:
        onnx_int8.write_int8_graph(folder, checkpoint, network_inputs(checkpoint))
    except GraphError as error:
        typer.echo(f"{folder.name}: no graph in integers ({error})")
    else:
        typer.echo(f"{folder.name}: {INT8_GRAPH} is written; `evaluate --precision int8` measures it")
