"""Which device and which precision a model runs on."""

import ctypes
import platform

import torch

from model.checkpoint import Checkpoint, Precision

# mallopt(3): M_ARENA_MAX, M_MMAP_THRESHOLD (its greatest), M_TRIM_THRESHOLD
_MALLOC_OPTIONS = ((-8, 1), (-3, 32 << 20), (-1, 512 << 20))

DEFAULT_THREADS = torch.get_num_threads()  # one a core, or OMP_NUM_THREADS


def one_thread_here() -> None:
    """Keep the calling thread's tensor operations to itself.

    GNU OpenMP makes a team of threads for every thread that computes in parallel, and once all teams together are more
    than the cores, their members sleep between operations instead of spinning: the engine's small ticks were measured
    2.4 times slower for nothing but a team that the main thread had used while it read the checkpoints.
    """
    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed for the next tick, in one arena, instead of giving it back to the kernel.

    Every pass of a network frees and takes the same tens of megabytes; giving them back costs a page fault for each
    4 KiB of the next pass (1,300 faults and some 5 % of a tick at batch 32, measured). No other C library is touched.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    for option, value in _MALLOC_OPTIONS:
        ctypes.CDLL(None).mallopt(option, value)


def choose_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def choose_precision(wanted: str, checkpoint: Checkpoint, device: torch.device) -> Precision:
    """What the checkpoint allows and the hardware has, unless one is asked for by name and allowed."""
    allowed = checkpoint.config.precisions
    if wanted != "auto":
        return wanted if wanted in allowed else "float32"
    return "bfloat16" if "bfloat16" in allowed and _has_bfloat16(device) else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    """Does the hardware multiply in bfloat16? Elsewhere it is emulated, and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
