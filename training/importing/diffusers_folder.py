"""A folder that diffusers saved, a pipeline or a UNet2DModel → a checkpoint's config and weights."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.checkpoints.denoiser import DenoiserConfig
from model.data import DataConfig
from model.networks.adapters import ConsistencyUNetConfig, DiffusersUNetConfig
from training.importing.consistency_scheduler import CONSISTENCY_SCHEDULER, read_consistency_scheduler
from training.importing.diffusers_scheduler import STEPS, ReadScheduler, read_scheduler
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

CONSISTENCY_PIPELINE = "ConsistencyModelPipeline"
PIPELINES = ("DDPMPipeline", "DDIMPipeline", CONSISTENCY_PIPELINE)
SUPPORTED = f"{', '.join(PIPELINES[:-1])} and {PIPELINES[-1]} of a UNet2DModel of pixels are"

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
        flat = not (folder / "unet").is_dir() and (folder / NETWORK).is_file()
        network = folder if flat else folder / "unet"
        scheduler = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    else:
        network, scheduler = folder, folder
        if not (scheduler / SCHEDULER).is_file():  # the folder of a pipeline's network, perhaps
            scheduler = folder.parent / "scheduler"
    if options.scheduler is not None:
        scheduler = options.scheduler
    document = _scheduler_document(scheduler, pipeline, options.scheduler is not None, notes)
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
    read = _read_scheduler(scheduler, pipeline, options)
    channels, classes = unet.get("in_channels", 3), unet.get("num_class_embeds") or 0
    if channels not in (1, 3):
        raise ImportRefused(
            f"{folder}: in_channels is {channels}: only grey and RGB pixels are denoised, and no latents of a VAE"
        )
    labels = class_names(classes, options)
    if labels and options.null_class is None:
        notes.append(
            "requests without a label get a drawn one, and none is guided: "
            + ("it is a consistency model" if read.sigma_data else "no class means no label (--null-class)")
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
            network=DiffusersUNetConfig(options=network_options, null_class=options.null_class)
            if read.sigma_data is None
            else ConsistencyUNetConfig(options=network_options, sigma_data=read.sigma_data),
            schedule=read.schedule,
            prediction=read.prediction,
            sampling=read.sampling,
            label_shares=label_shares(labels, options.null_class),
            imported=f"diffusers' {pipeline or 'UNet2DModel'}, {scheduler['_class_name']}",
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(f"{folder}: {'.'.join(map(str, first['loc'])) or 'the model'}: {first['msg']}") from error
    weights = {f"unet.{_new_name(name)}": tensor for name, tensor in read_folder_tensors(folder, WEIGHTS).items()}
    return ImportedModel(config, weights, tuple(notes))


def _checked_pipeline(folder: Path) -> str:
    """The pipeline's class. Raises ImportRefused where it does more than sample a UNet2DModel."""
    document = read_json(folder / PIPELINE)
    name = str(document.get("_class_name"))
    pairs = {part: value for part, value in document.items() if isinstance(value, list) and len(value) == 2}
    parts = {part: str(kind) for part, (_, kind) in pairs.items() if kind is not None and not part.startswith("_")}
    others = sorted(set(parts) - {"unet", "scheduler"})
    if others:
        has = ", ".join(f"{part} ({parts[part]})" for part in others)
        raise ImportRefused(f"{folder}: {name} has {has}, which is not supported; {SUPPORTED}")
    if name not in PIPELINES:
        raise ImportRefused(
            f"{folder}: {name} is not supported; {SUPPORTED}. Where it samples as one of them does, import its "
            "network's folder, and give its scheduler by --scheduler"
        )
    for part in parts:
        if pairs[part][0] != "diffusers":
            raise ImportRefused(f"{folder}: its {part} comes with code of its own, {pairs[part][0]}, which is not run")
    if parts.get("unet") != "UNet2DModel":
        raise ImportRefused(f"{folder}: its unet is a {parts.get('unet')}, which is not supported; {SUPPORTED}")
    return name


def _read_scheduler(document: Mapping[str, Any], pipeline: str | None, options: ImportOptions) -> ReadScheduler:
    """Raises ImportRefused, also where the scheduler does not go with the pipeline or the options."""
    name = document.get("_class_name")
    consistent = name == CONSISTENCY_SCHEDULER
    if pipeline is not None and consistent != (pipeline == CONSISTENCY_PIPELINE):
        raise ImportRefused(f"{pipeline} with {name}: {CONSISTENCY_PIPELINE} goes with {CONSISTENCY_SCHEDULER} alone")
    if not consistent:
        if options.timesteps is not None:
            raise ImportRefused(f"--timesteps: applies to consistency models; the scheduler is {name}")
        return read_scheduler(document, SCHEDULER)
    if options.null_class is not None:
        raise ImportRefused(f"--null-class {options.null_class}: a consistency model is not guided")
    return read_consistency_scheduler(document, SCHEDULER, options.timesteps)


def _network_document(folder: Path) -> dict[str, Any]:
    document = read_json(folder / NETWORK)
    name = document.get("_class_name")
    if name != "UNet2DModel":
        raise ImportRefused(f"{folder}: its network is a {name}, which is not supported; {SUPPORTED}")
    return document


def _scheduler_document(folder: Path, pipeline: str | None, given: bool, notes: list[str]) -> dict[str, Any]:
    """The scheduler's config in a folder, or in a file; `given`: by name."""
    path = folder if folder.is_file() else folder / SCHEDULER
    if path.is_file():
        return read_json(path)
    if pipeline is not None or given:
        raise ImportRefused(f"{path}: is missing: give the scheduler's folder, or its config, by --scheduler")
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
