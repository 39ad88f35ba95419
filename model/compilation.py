"""Kernels made for a network and each size of its batches, by torch.compile."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

MOST_GRAPHS = 1_000


class CompilerMissing(ValueError):
    """There is nothing to compile with; the message says what to do."""


def need_compiler() -> None:
    """Raises CompilerMissing where there is no C++ compiler: torch says so late, when a network is first called."""
    command = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch looks for it
    program = next(iter(shlex.split(command)), "")
    if shutil.which(program) is None:
        raise CompilerMissing(
            f"there is no C++ compiler {command!r} here: install it, set CXX to another, or do not compile"
        )


def compiled(network: Callable[P, R]) -> Callable[P, R]:
    """By size, and apart where a hint adds something: one graph each, compiled when it is first called for.

    Torch gives up after eight and says nothing; the limit is the calling thread's own. See `need_compiler`.
    """
    torch.compiler.config.recompile_limit = torch.compiler.config.accumulated_recompile_limit = MOST_GRAPHS
    return torch.compile(network, dynamic=False)
