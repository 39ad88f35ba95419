"""Which precision a checkpoint runs in on the hardware at hand."""

import torch

from model.checkpoints.base import TorchPrecision
from model.checkpoints.denoiser import DenoiserCheckpoint


def choose_precision(wanted: str, checkpoint: DenoiserCheckpoint, device: torch.device) -> TorchPrecision:
    """PyTorch's: what the checkpoint allows and the hardware has, unless one is wanted by name and allowed."""
    allowed = checkpoint.config.precisions
    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" and wanted in allowed else "float32"
    return precision_on(device, "bfloat16" if "bfloat16" in allowed else "float32")


def precision_on(device: torch.device, wanted: TorchPrecision) -> TorchPrecision:
    """The one that is wanted, except on hardware that would emulate bfloat16: there float32 is ten times faster."""
    return wanted if has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Does the hardware multiply in bfloat16? Elsewhere it is emulated, and slower than float32."""
    if device.type in ("cuda", "xpu"):
        return bool(getattr(torch, device.type).is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False  # of "mps" PyTorch does not tell
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
