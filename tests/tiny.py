"""Tiny checkpoints with random weights: everything but good pictures, in milliseconds."""

from pathlib import Path

import torch

from model.checkpoints.autoguidance import AutoguidanceCheckpoint, AutoguidanceConfig
from model.checkpoints.base import save_checkpoint
from model.checkpoints.classifier import ClassifierCheckpoint, ClassifierConfig
from model.checkpoints.clip import ClipCheckpoint, ClipConfig
from model.checkpoints.config import CheckpointConfig, SamplingConfig, SamplingOverrides
from model.checkpoints.control import ControlCheckpoint, ControlConfig
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, PredictionConfig
from model.checkpoints.distilled import DistilledConfig
from model.checkpoints.schedule_config import ScheduleConfig
from model.conditions import HINT_KINDS, HintKind
from model.data import DataConfig
from model.networks import ImageEncoderConfig, MLPConfig, PointEncoderConfig, UNetConfig
from model.noise_schedule import make_schedule
from model.text_encoder import TextConfig, TextEncoder
from model.vocabulary import Vocabulary

IMAGES = DataConfig(
    dataset="mnist",
    kind="images",
    shape=(1, 8, 8),
    labels=tuple("0123456789"),
    mean=(127.5,),
    std=(127.5,),
    clip=1.0,
)
POINTS = DataConfig(dataset="spiral", kind="points", shape=(2,), labels=("inner", "outer"), std=(2.0,))


def random_network(config: CheckpointConfig[torch.nn.Module], seed: int) -> torch.nn.Module:
    """Random in every layer: none starts as the identity."""
    torch.manual_seed(seed)
    module = config.build_network()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module.eval()


def tiny_checkpoint(
    data: DataConfig = IMAGES,
    name: str | None = None,
    T: int = 50,
    learned_variance: bool = False,
    cluster_shares: tuple[float, ...] = (),
    **sampling,
) -> DenoiserCheckpoint:
    """A network of that data's kind with random weights in every layer (none starts as the identity)."""
    network = (
        UNetConfig(channels=(8, 16), blocks=1, groups=4) if data.kind == "images" else MLPConfig(width=16, blocks=2)
    )
    config = DenoiserConfig(
        name=name or f"{data.dataset}-tiny",
        data=data,
        network=network,
        schedule=ScheduleConfig(T=T),
        prediction=PredictionConfig(target="v", learned_variance=learned_variance),
        sampling=SamplingConfig(**{"steps": 4, "guidance_scale": 1.5, **sampling}),
        cluster_shares=cluster_shares,
    )
    return DenoiserCheckpoint(config, make_schedule("cosine", T), random_network(config, seed=0))


def tiny_student(
    data: DataConfig = IMAGES,
    name: str | None = None,
    T: int = 50,
    cluster_shares: tuple[float, ...] = (),
    **sampling,
) -> DenoiserCheckpoint:
    """A student whose answer depends on the scale and on where it jumps."""
    teacher = tiny_checkpoint(data, T=T, cluster_shares=cluster_shares)
    config = teacher.config.model_copy(
        update={
            "name": name or f"{data.dataset}-fast",
            "sampling": SamplingConfig(**{"sampler": "ddim", "steps": 2, "guidance_scale": 1.5, **sampling}),
            "distilled": DistilledConfig(teacher=teacher.config.name, guidance_range=(1.0, 3.0)),
        }
    )
    return DenoiserCheckpoint(config, teacher.schedule, random_network(config, seed=6))


def tiny_classifier(data: DataConfig = IMAGES, T: int = 50) -> ClassifierCheckpoint:
    """The same for a classifier of noisy rows."""
    network = (
        ImageEncoderConfig(channels=(8, 16), blocks=1, groups=4)
        if data.kind == "images"
        else PointEncoderConfig(width=16, blocks=2)
    )
    config = ClassifierConfig(
        name=f"{data.dataset}-classifier",
        data=data,
        network=network,
        schedule=ScheduleConfig(T=T),
        sampling=SamplingOverrides(guidance_scale=2.0),
    )
    return ClassifierCheckpoint(config, make_schedule("cosine", T), random_network(config, seed=1))


TEXT = TextConfig(
    vocabulary=Vocabulary(
        words=("bold", "digit", "left", "right", "the", "thin", "seven", *"0123456789"),
        label_words=(*((digit,) for digit in "0123456"), ("seven", "7"), ("8",), ("9",)),
        length=6,
        examples=("thin seven", "the digit 3"),
    ),
    outputs=8,
    width=16,
    layers=1,
    heads=2,
)


def tiny_text(config: TextConfig = TEXT) -> TextEncoder:
    torch.manual_seed(2)
    network = config.build_network()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return TextEncoder(config, network.eval().requires_grad_(False))


def tiny_text_checkpoint(data: DataConfig = IMAGES, name: str = "mnist-text-cfg", T: int = 50) -> DenoiserCheckpoint:
    """A denoiser that reads prompts."""
    labelled = tiny_checkpoint(data.model_copy(update={"labels": ()}), name, T)
    text = tiny_text()
    config = labelled.config.model_copy(update={"text": text.config})
    return DenoiserCheckpoint(config, labelled.schedule, random_network(config, seed=3), text)


def tiny_text_student(data: DataConfig = IMAGES, name: str = "mnist-text-fast", T: int = 50) -> DenoiserCheckpoint:
    """A student that reads prompts."""
    student, text = tiny_student(data.model_copy(update={"labels": ()}), name, T), tiny_text()
    config = student.config.model_copy(update={"text": text.config})
    return DenoiserCheckpoint(config, student.schedule, random_network(config, seed=7), text)


def tiny_clip(data: DataConfig = IMAGES, T: int = 50) -> ClipCheckpoint:
    text = tiny_text()
    config = ClipConfig(
        name=f"{data.dataset}-clip",
        data=data,
        network=ImageEncoderConfig(channels=(8, 16), blocks=1, groups=4),
        text=text.config,
        schedule=ScheduleConfig(T=T),
        sampling=SamplingOverrides(guidance_scale=3.0),
    )
    torch.manual_seed(4)
    module = config.build_network()
    for parameter in module.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return ClipCheckpoint(config, make_schedule("cosine", T), module.eval(), text)


def tiny_control(base: DenoiserCheckpoint, hint: HintKind = "canny", name: str | None = None) -> ControlCheckpoint:
    """A ControlNet for that checkpoint, of random weights: it adds something everywhere."""
    steps = 3 if base.config.distilled is None else 2
    advice = {"control_scale": 0.5, "sampling": SamplingOverrides(guidance_scale=1.5, sampler="ddim", steps=steps)}
    config = ControlConfig.beside(base, name=name or f"mnist-control-{hint}", hint=hint, **advice)
    return ControlCheckpoint(config, base.schedule, random_network(config, seed=5 + HINT_KINDS.index(hint)))


def tiny_autoguidance(base: DenoiserCheckpoint, guidance_scale: float = 2.0) -> AutoguidanceCheckpoint:
    """A weak network for that checkpoint, of other random weights."""
    images = base.config.data.kind == "images"
    network = UNetConfig(channels=(4, 8), blocks=1, groups=4) if images else MLPConfig(width=8, blocks=1)
    advice = SamplingOverrides(guidance_scale=guidance_scale, sampler="ddim", steps=3)
    config = AutoguidanceConfig.beside(base, name=f"{base.config.name}-weak", network=network, sampling=advice)
    return AutoguidanceCheckpoint(config, base.schedule, random_network(config, seed=7))


def save_tiny(folder: Path, data: DataConfig = IMAGES, name: str | None = None, **options) -> Path:
    """A tiny checkpoint as a folder in `folder`."""
    checkpoint = tiny_checkpoint(data, name, **options)
    save_checkpoint(folder / checkpoint.config.name, checkpoint.config, checkpoint.network)
    return folder / checkpoint.config.name
