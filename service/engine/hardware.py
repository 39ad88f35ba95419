"""The device, its threads and its memory."""

import ctypes
import functools
import os
import platform
from collections.abc import Iterable

import torch

# mallopt(3): M_ARENA_MAX, M_MMAP_THRESHOLD (its greatest), M_TRIM_THRESHOLD
_MALLOC_OPTIONS = ((-8, 1), (-3, 32 << 20), (-1, 512 << 20))


class _MallocInfo(ctypes.Structure):
    """glibc's mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "from_kernel", "free_chunks", "fast_chunks", "mapped_blocks", "in_mapped_blocks", "unused",
            "in_fast_chunks", "in_use", "free", "releasable",
        )
    ]  # fmt: skip


DEFAULT_THREADS = torch.get_num_threads()  # one a core, or OMP_NUM_THREADS


def one_thread_here() -> None:
    """Keep the calling thread's tensor operations to itself.

    GNU OpenMP makes a team of threads for every thread that computes in parallel, and once all teams together are more
    than the cores, their members sleep between operations instead of spinning: the engine's small ticks were measured
    2.4 times slower for nothing but a team that the main thread had used while it read the checkpoints.
    """
    torch.set_num_threads(1)


def stay_on(cores: Iterable[int]) -> None:
    """Keep the calling thread on these cores, and all threads that it starts from now on: Linux has them inherit it.
    So the pools of ONNX Runtime and OpenMP stay there too. None: wherever it is."""
    if cores := set(cores):
        os.sched_setaffinity(0, cores)  # 0 is the calling thread


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed for the next tick, in one arena, instead of giving it back to the kernel.

    Every pass of a network frees and takes the same tens of megabytes; giving them back costs a page fault for each
    4 KiB of the next pass (1,300 faults and some 5 % of a tick at batch 32, measured). No other C library is touched.
    """
    if not _is_glibc():
        return
    for option, value in _MALLOC_OPTIONS:
        ctypes.CDLL(None).mallopt(option, value)


def give_back_freed_memory() -> None:
    """Give the kernel what is free of glibc's heap, also between what is in use: after a model is let go of, that is a
    lot. The next pass takes its own part of it again."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def allocated_bytes() -> int:
    """What native libraries hold in memory: of the heap of glibc 2.33 or later, and of all GPUs. 0 with another C
    library and no GPU.

    What is freed does not count, whether or not the kernel has it back.
    """
    held = sum(torch.cuda.memory_allocated(gpu) for gpu in range(torch.cuda.device_count()))
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None) if _is_glibc() else None
    if ask is None:
        return held
    ask.restype = _MallocInfo
    info = ask()
    return int(held + info.in_use + info.in_mapped_blocks)


def choose_device(device: str, backend: str = "auto") -> str:
    """The device by name; `auto` is a GPU where there is one, unless the backend has none."""
    if device == "auto":
        if backend == "onnx":
            return "cpu"
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
