"""`python -m training export`: the graphs by which CPUs serve checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from model.backends.onnx_graph import GraphError
from model.checkpoints.base import GRAPH, INT8_GRAPH
from model.checkpoints.config import CONFIG, read_role
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.roles import LOADERS
from model.checkpoints.weights import CheckpointError
from training.cli_options import CHECKPOINTS, Checkpoints
from training.int8_calibration import network_inputs
from training.tasks.registry import find_checkpoint


def export(
    names: Annotated[list[str] | None, typer.Argument(help="Names of checkpoints. Default: all served ones.")] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Instead, graphs with convolutions in integers, of denoisers of images.")
    ] = False,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Make the graphs by which CPUs serve checkpoints, anew where there are some."""
    everything = [config.parent for config in sorted(checkpoints.glob(f"*/{CONFIG}"))]
    for folder in [find_checkpoint(name, checkpoints) for name in names] if names else everything:
        role = read_role(folder) or "denoiser"
        if int8:
            if names or role == "denoiser":
                _write_int8_graph(folder)
        elif role in LOADERS:
            write_graph(folder, role)
        elif names:
            raise CheckpointError(f"{folder.name}: a {role} is not served, and needs no graph")


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
        typer.echo(f"{folder.name}: the graph is in {folder / GRAPH}")


def _write_int8_graph(folder: Path) -> None:
    from model.backends.onnx_int8 import write_int8_graph  # slow, and needed here alone

    checkpoint = load_checkpoint(folder)
    try:
        write_int8_graph(folder, checkpoint, network_inputs(checkpoint))
    except GraphError as error:
        typer.echo(f"{folder.name}: no graph in integers ({error})")
    else:
        typer.echo(f"{folder.name}: the graph is in {folder / INT8_GRAPH}; `evaluate --precision int8` measures it")
