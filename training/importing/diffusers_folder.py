"""A folder that diffusers saved, a pipeline or a UNet2DModel → a checkpoint's config and weights."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.checkpoints.denoiser import DenoiserConfig
from model.data import DataConfig
from model.networks.adapters import DiffusersUNetConfig
from training.importing.diffusers_scheduler import STEPS, read_scheduler
from training.importing.imported import (
    ImportedModel,
    ImportOptions,
    ImportRefused,
    class_names,
    image_size,
    label_shares,
)
from training.importing.tensor_files import read_folder_tensors, read_json

PIPELINE = "model_index.json"
NETWORK = "config.json"
SCHEDULER = "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model"

PIPELINES = ("DDPMPipeline", "DDIMPipeline")
SUPPORTED = f"{' and '.join(PIPELINES)} of a UNet2DModel that denoises pixels are"

# What attention layers called their tensors before diffusers 0.17.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(rf"(\.attentions\.\d+)\.({'|'.join(_OLD_ATTENTION)})\.")


def is_diffusers_folder(folder: Path) -> bool:
    """Is it a pipeline, or a network?"""
    return (folder / PIPELINE).is_file() or _class_name(folder / NETWORK) is not None


def read_diffusers_folder(folder: Path, options: ImportOptions) -> ImportedModel:
    """Raises ImportRefused."""
    notes: list[str] = []
    pipeline = None
    if (folder / PIPELINE).is_file():
        pipeline = _checked_pipeline(folder)
        # Pipelines of diffusers' first versions have no folder for each part.
        network = folder / "unet" if (folder / "unet").is_dir() else folder
        scheduler = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    else:
        network, scheduler = folder, folder
        if not (scheduler / SCHEDULER).is_file():  # the folder of a pipeline's network, perhaps
            scheduler = folder.parent / "scheduler"
    if options.scheduler is not None:
        scheduler = options.scheduler
    document = _scheduler_document(scheduler, pipeline, notes)
    unet = _network_document(network)
    return _imported(network, unet, document, pipeline, options, notes)


def _imported(
    folder: Path,
    unet: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    pipeline: str | None,
    options: ImportOptions,
    notes: list[str],
) -> ImportedModel:
    read = read_scheduler(scheduler, SCHEDULER)
    channels, classes = unet.get("in_channels", 3), unet.get("num_class_embeds") or 0
    if channels not in (1, 3):
        raise ImportRefused(
            f"{folder}: in_channels is {channels}: only grey and RGB pixels are denoised, and no latents of a VAE"
        )
    labels = class_names(classes, options)
    if labels and options.null_class is None:
        notes.append(
            "no class means no label (--null-class): requests without a label get a drawn one, and none is guided"
        )
    network_options = {name: value for name, value in unet.items() if not name.startswith("_")}
    try:
        config = DenoiserConfig(
            name=options.name,
            data=DataConfig(
                dataset=options.dataset or options.name,
                kind="images",
                shape=(channels, *image_size(options, unet.get("sample_size"), folder)),
                labels=labels,
                mean=(127.5,),
                std=(127.5,),
                clip=read.clip,
            ),
            network=DiffusersUNetConfig(options=network_options, null_class=options.null_class),
            schedule=read.schedule,
            prediction=read.prediction,
            sampling=read.sampling,
            label_shares=label_shares(labels, options.null_class),
            imported=f"diffusers' {pipeline or 'UNet2DModel'}, {scheduler['_class_name']}",
        )
    except ValidationError as error:
        raise ImportRefused(f"{folder}: {error.errors()[0]['msg']}") from error
    weights = {f"unet.{_new_name(name)}": tensor for name, tensor in read_folder_tensors(folder, WEIGHTS).items()}
    return ImportedModel(config, weights, tuple(notes))


def _checked_pipeline(folder: Path) -> str:
    """The pipeline's class. Raises ImportRefused where it does more than sample a UNet2DModel."""
    document = read_json(folder / PIPELINE)
    name = str(document.get("_class_name"))
    parts = {part: value[1] for part, value in document.items() if isinstance(value, list) and len(value) == 2}
    parts = {part: kind for part, kind in parts.items() if kind is not None}
    others = sorted(set(parts) - {"unet", "scheduler"})
    if others:
        has = ", ".join(f"{part} ({parts[part]})" for part in others)
        raise ImportRefused(f"{folder}: {name} has {has}, which is not supported; {SUPPORTED}")
    if name not in PIPELINES:
        raise ImportRefused(
            f"{folder}: {name} is not supported; {SUPPORTED}. Where it samples as one of them does, import its "
            "network's folder, and give its scheduler by --scheduler"
        )
    if parts.get("unet") != "UNet2DModel":
        raise ImportRefused(f"{folder}: its unet is a {parts.get('unet')}, which is not supported; {SUPPORTED}")
    return name


def _network_document(folder: Path) -> dict[str, Any]:
    document = read_json(folder / NETWORK)
    name = document.get("_class_name")
    if name != "UNet2DModel":
        raise ImportRefused(f"{folder}: its network is a {name}, which is not supported; {SUPPORTED}")
    return document


def _scheduler_document(folder: Path, pipeline: str | None, notes: list[str]) -> dict[str, Any]:
    """The scheduler's config in a folder, or in a file."""
    path = folder if folder.is_file() else folder / SCHEDULER
    if path.is_file():
        return read_json(path)
    if pipeline is not None:
        raise ImportRefused(f"{path}: is missing: give the scheduler's folder by --scheduler")
    notes.append(
        "a network alone does not say how it was trained: DDPMScheduler's defaults are assumed, which predict ε with a "
        "linear schedule of 1000 timesteps. --scheduler gives another"
    )
    return {"_class_name": next(iter(STEPS))}


def _class_name(path: Path) -> str | None:
    """The diffusers class of a config.json; None where there is none."""
    try:
        name = read_json(path).get("_class_name")
    except ImportRefused:
        return None
    return name if isinstance(name, str) else None


def _new_name(name: str) -> str:
    """A tensor's present name."""
    return _OLD_NAME.sub(lambda match: f"{match[1]}.{_OLD_ATTENTION[match[2]]}.", name)
