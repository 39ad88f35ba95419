"""A denoiser of images → a folder that `DiffusionPipeline.from_pretrained` loads.

A network of diffusers' own class becomes one of its own pipelines. Spirale's UNet travels with its code: the modules of
`model.networks` that it is made of, joined into one file, and a pipeline that knows labels and guidance.
"""

import ast
import inspect
import json
from pathlib import Path
from types import ModuleType

import diffusers
from diffusers import ConsistencyModelPipeline, DDIMPipeline, DDPMPipeline, DDPMScheduler

from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig
from model.networks import UNetConfig, attention, embedding, norm, trunk, unet, zeroed
from model.networks.adapters import ConsistencyUNetConfig, DiffusersUNetConfig
from training.exporting.diffusers_scheduler_config import consistency_scheduler_of, scheduler_of
from training.exporting.export_error import ExportRefused
from training.exporting.pipeline_files import spirale_pipeline, spirale_unet

UNET_MODULES = (zeroed, norm, attention, embedding, trunk, unet, spirale_unet)  # each after those that it imports


def write_pipeline(checkpoint: DenoiserCheckpoint, folder: Path) -> None:
    """Raises ExportRefused where no pipeline can sample it."""
    config = checkpoint.config
    if config.distilled is not None:
        raise ExportRefused(f"{config.name} is a student: no scheduler of DDPM or DDIM samples it; use --to onnx")
    if config.cluster_shares:
        raise ExportRefused(f"{config.name} reads clusters, which the pipeline does not; use --to onnx")
    if config.text is not None:
        raise ExportRefused(f"{config.name} reads prompts, which the pipeline does not; use --to onnx")
    if isinstance(config.network, ConsistencyUNetConfig):
        unet = checkpoint.network.get_submodule("unet")
        ConsistencyModelPipeline(unet, consistency_scheduler_of(config)).save_pretrained(folder)
    elif isinstance(config.network, DiffusersUNetConfig):
        _refuse_what_plain_pipelines_lack(config)
        kind = DDPMPipeline if config.sampling.sampler == "ddpm" else DDIMPipeline
        kind(checkpoint.network.get_submodule("unet"), scheduler_of(config)).save_pretrained(folder)
    elif isinstance(config.network, UNetConfig):
        _write_own(checkpoint, config.network, folder)
    else:
        raise ExportRefused(
            f"{config.name}: its network is a {config.network.kind}, and pipelines are of UNets; use --to onnx"
        )
    (folder / "README.md").write_text(_readme(checkpoint), encoding="utf-8")


def _refuse_what_plain_pipelines_lack(config: DenoiserConfig) -> None:
    """Raises ExportRefused where diffusers' own pipelines would fail at the first steps."""
    if config.data.labels:
        raise ExportRefused(f"{config.name} reads classes, and diffusers' own pipelines give it none; use --to onnx")
    sampling = config.sampling
    if config.prediction.learned_variance and (sampling.sampler, sampling.variance) != ("ddpm", "learned"):
        raise ExportRefused(
            f"{config.name} learned a variance; diffusers' own pipelines sample it by ddpm with that variance alone: "
            'set sampler = "ddpm" and variance = "learned" in the sampling of its config.json, or use --to onnx'
        )


def _write_own(checkpoint: DenoiserCheckpoint, network: UNetConfig, folder: Path) -> None:
    config = checkpoint.config
    channels, *sides = config.data.shape
    exported = spirale_unet.SpiraleUNet2DModel(
        sample_size=sides,
        in_channels=channels,
        out_channels=channels * (2 if config.prediction.learned_variance else 1),
        labels=len(config.data.labels),
        num_train_timesteps=config.schedule.T,
        **network.model_dump(exclude={"kind"}),
    )
    exported.network.load_state_dict(checkpoint.network.state_dict())
    exported.save_pretrained(folder / "unet")
    (folder / "unet" / "spirale_unet.py").write_text(joined(UNET_MODULES), encoding="utf-8")
    scheduler = scheduler_of(config)
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "spirale_pipeline.py").write_text(joined((spirale_pipeline,)), encoding="utf-8")
    document = {
        "_class_name": ["spirale_pipeline", "SpiralePipeline"],
        "_diffusers_version": diffusers.__version__,
        "unet": ["spirale_unet", "SpiraleUNet2DModel"],
        "scheduler": ["diffusers", type(scheduler).__name__],
        "steps": config.sampling.steps,
        "guidance_scale": config.sampling.guidance_scale,
        "guidance_interval": config.sampling.guidance_interval,
        "labels": list(config.data.labels),
        "mean": list(config.data.mean),
        "std": list(config.data.std),
    }
    (folder / "model_index.json").write_text(json.dumps(document, indent=2) + "\n")


def joined(modules: tuple[ModuleType, ...]) -> str:
    """Their code as one module, without what they import of each other."""
    parts = []
    for module in modules:
        source = inspect.getsource(module)
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "model":
                lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
        parts.append("\n".join(lines).strip())
    return "\n\n\n".join(parts) + "\n"


def _readme(checkpoint: DenoiserCheckpoint) -> str:
    config = checkpoint.config
    own = isinstance(config.network, UNetConfig)
    if config.is_consistency_model:
        scheduler = "the consistency scheduler"
    else:
        scheduler = "DDPM" if isinstance(scheduler_of(config), DDPMScheduler) else "DDIM"
    label = f'labels="{config.data.labels[0]}"' if own and config.data.labels else "batch_size=1"
    trust = ", trust_remote_code=True" if own else ""
    return f"""---
library_name: diffusers
tags:
- unconditional-image-generation
---

# {config.name}

{config.data.dataset}, {" × ".join(map(str, config.data.shape))}, exported from Spirale. It samples by {scheduler}.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("PATH"{trust})
pipeline({label}, num_inference_steps={config.sampling.steps}).images[0].save("sample.png")
```
"""
