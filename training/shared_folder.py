"""Processes on several machines train in one folder, which all of them see."""

import uuid
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from training.recipe import RecipeError

MARK = "shared"


def need_shared(run: Path, accelerator: Accelerator) -> None:
    """Every process calls it. Raises RecipeError in each where one does not see the main process's folder: it would
    begin anew where the others go on."""
    if accelerator.num_processes == 1:
        return
    mark = [uuid.uuid4().hex if accelerator.is_main_process else ""]
    if accelerator.is_main_process:
        (run / MARK).write_text(mark[0])
    broadcast_object_list(mark)
    sees = (run / MARK).is_file() and (run / MARK).read_text() == mark[0]
    blind = [number for number, one in enumerate(gather_object([sees])) if not one]
    if accelerator.is_main_process:
        (run / MARK).unlink()
    if blind:
        raise RecipeError(
            f"{run}: process {blind[0]} of {accelerator.num_processes} sees another folder than process 0: give "
            "--runs a folder that all machines share"
        )
