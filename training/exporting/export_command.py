"""`python -m training export`: its options, and which format is written where."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from model.checkpoints.config import CONFIG, read_role
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import LOADERS
from training.cli_options import CHECKPOINTS, Checkpoints
from training.exporting.export_error import ExportRefused
from training.exporting.serving_graphs import write_graph, write_int8_graph
from training.tasks.registry import find_checkpoint
from training.temporary import written_whole

Format = Literal["graph", "onnx", "diffusers"]


def export(
    names: Annotated[list[str] | None, typer.Argument(help="Names of checkpoints. Default: all served ones.")] = None,
    to: Annotated[
        Format,
        typer.Option(
            help="graph: that by which CPUs serve a checkpoint, beside its weights. onnx: one file with the weights. "
            "diffusers: a pipeline's folder."
        ),
    ] = "graph",
    int8: Annotated[
        bool, typer.Option("--int8", help="With graph: convolutions in integers, of denoisers of images.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for onnx and diffusers.")] = Path("exports"),
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Make the graphs by which CPUs serve checkpoints, anew where there are some; or files for other libraries."""
    if int8 and to != "graph":
        raise ExportRefused(f"--int8 goes with --to graph, not with {to}")
    everything = [config.parent for config in sorted(checkpoints.glob(f"*/{CONFIG}"))]
    for folder in [find_checkpoint(name, checkpoints) for name in names] if names else everything:
        role = read_role(folder) or "denoiser"
        if role not in LOADERS:
            if names:
                raise ExportRefused(f"{folder.name}: a {role} is not served, and needs no graph")
        elif int8:
            if names or role == "denoiser":
                write_int8_graph(folder)
        elif to == "graph":
            write_graph(folder, role)
        elif names or role == "denoiser":
            target = output / (f"{folder.name}.onnx" if to == "onnx" else folder.name)
            try:
                _export(folder, role, to, target)
            except ExportRefused as refusal:
                if names:
                    raise
                typer.echo(f"left out: {refusal}")
            else:
                typer.echo(f"{folder.name}: written to {target}")


def _export(folder: Path, role: str, to: Format, target: Path) -> None:
    """Raises ExportRefused, and leaves nothing behind then."""
    if target.exists():
        raise ExportRefused(f"{target} is there already: delete it, or give another folder by --output")
    checkpoint = LOADERS[role](folder)
    if to == "onnx":
        from training.exporting.onnx_file import write_onnx  # imports the exporter: slow, and needed here alone

        with written_whole(target) as partial:
            write_onnx(checkpoint, folder, partial)
        return
    if not isinstance(checkpoint, DenoiserCheckpoint):
        raise ExportRefused(f"{folder.name}: a {role} is no pipeline; use --to onnx")
    try:
        from training.exporting.diffusers_pipeline import write_pipeline  # slow to import, and optional
    except ModuleNotFoundError as error:
        raise ExportRefused("--to diffusers needs diffusers: install the extra spirale[diffusers]") from error
    with written_whole(target) as partial:
        partial.mkdir()
        write_pipeline(checkpoint, partial)
