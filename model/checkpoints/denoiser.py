"""A folder (config.json + model.safetensors) ↔ a network and its meaning.

A checkpoint explains itself: nothing is guessed from a file's name, and nothing is unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from model.checkpoints.reference_points import Reference, load_reference, save_reference
from model.checkpoints.weights import CheckpointError, load_weights, save_weights
from model.conditions import Conditioning, HintKind
from model.data import DataConfig
from model.denoiser import Control, Denoiser, Gradient
from model.networks import AnyNetworkConfig, build_network
from model.noise_schedule import NoiseSchedule, ScheduleName, make_schedule
from model.plan import Sampler, Variance
from model.prediction import Target
from model.text_encoder import TextConfig, TextEncoder, load_text

FORMAT = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
Precision = Literal["float32", "bfloat16"]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleConfig(_Config):
    name: ScheduleName = "cosine"
    T: int = Field(1000, ge=1, le=10_000)


class PredictionConfig(_Config):
    target: Target = "v"
    learned_variance: bool = False


class SamplingConfig(_Config):
    """What the model card advises; a request may ask for anything else."""

    sampler: Sampler = "dpmpp-2m"
    steps: int = Field(20, ge=1)
    guidance_scale: float = Field(1.0, ge=0, le=20)
    eta: float = Field(0.0, ge=0, le=1)
    variance: Variance = "fixed-small"


class SamplingOverrides(_Config):
    """What the card of what steers a denoiser advises where it does; None is what the denoiser's own card advises, as
    are eta and the variance, which may be one that it has learned."""

    guidance_scale: float = Field(1.0, ge=0, le=20)
    sampler: Sampler | None = None
    steps: int | None = Field(None, ge=1)

    def applied_to(self, sampling: SamplingConfig) -> SamplingConfig:
        """That of the denoiser's card, as far as this advises nothing else."""
        return sampling.model_copy(update=self.model_dump(exclude_none=True))


def check_steps(config: Any) -> Any:
    """A validator of whatever has `sampling` and `schedule`: no more steps are advised than there are."""
    if config.sampling.steps is not None and config.sampling.steps > config.schedule.T:
        raise ValueError(f"sampling.steps is at most T = {config.schedule.T}")
    return config


class DenoiserConfig(_Config):
    """config.json: everything that a network's weights do not say.

    text  of the encoder whose vectors the network is conditioned on instead of labels
    """

    format: Literal[1] = FORMAT
    role: Literal["denoiser"] = "denoiser"
    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    network: AnyNetworkConfig
    schedule: ScheduleConfig
    prediction: PredictionConfig
    sampling: SamplingConfig
    text: TextConfig | None = None
    precisions: tuple[Precision, ...] = ("float32",)
    recipe: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    _steps_are_possible = model_validator(mode="after")(check_steps)

    @model_validator(mode="after")
    def _sampling_is_possible(self) -> "DenoiserConfig":
        if self.sampling.variance == "learned" and not self.prediction.learned_variance:
            raise ValueError("sampling.variance is 'learned', but prediction.learned_variance is false")
        if self.text is not None and self.data.labels:
            raise ValueError("a network reads text or labels, not both")
        return self

    @property
    def conditioning(self) -> Conditioning | None:
        """What its network is conditioned on."""
        return "text" if self.text is not None else "label" if self.data.labels else None

    def build_network(self) -> nn.Module:
        return build_network(
            self.network,
            shape=self.data.shape,
            labels=len(self.data.labels),
            text=0 if self.text is None else self.text.outputs,
            T=self.schedule.T,
            learned_variance=self.prediction.learned_variance,
        )


@dataclass(frozen=True, eq=False)
class DenoiserCheckpoint:
    """A loaded checkpoint: its config, its schedule, its network and text encoder in float32 on the CPU; and some real
    points, where they are kept."""

    config: DenoiserConfig
    schedule: NoiseSchedule
    network: nn.Module
    text: TextEncoder | None = None
    reference: Reference | None = None

    def denoiser(
        self,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        gradients: Mapping[Conditioning, Gradient] = MappingProxyType({}),
        controls: Mapping[HintKind, Control] = MappingProxyType({}),
    ) -> Denoiser:
        """A denoiser on a copy of the network in that precision, steered by these where it is asked for."""
        network = self.config.build_network()
        network.load_state_dict(self.network.state_dict())
        network.to(device, dtype=getattr(torch, precision), memory_format=torch.channels_last)
        network.eval().requires_grad_(False)
        return Denoiser(
            _InFloat32(network),
            self.schedule,
            self.config.prediction.target,
            learned_variance=self.config.prediction.learned_variance,
            clip=self.config.data.clip,
            text_width=None if self.config.text is None else self.config.text.outputs,
            gradients=gradients,
            controls=controls,
            device=device,
        )


class _InFloat32(nn.Module):
    """A network whose answer is float32, whatever it computes in: samplers work in float32."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *control: Tensor) -> Tensor:
        return self.network(x, t, condition, *control).float()


def save_checkpoint(
    folder: Path,
    config: BaseModel,
    network: nn.Module,
    text: TextEncoder | None = None,
    reference: Reference | None = None,
) -> None:
    """Write the folder. The weights come first and config.json last, each by an atomic rename."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, network)
    if text is not None:
        text.save(folder)
    if reference is not None:
        save_reference(folder, reference)
    save_config(folder, config)


def save_config(folder: Path, config: BaseModel) -> None:
    partial = folder / f"{CONFIG}.partial"
    partial.write_text(json.dumps(config.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
    partial.replace(folder / CONFIG)


def read_role(folder: Path) -> str | None:
    """What its config.json says the folder is: denoiser, judge, …; None where it says nothing that can be read."""
    try:
        return json.loads((folder / CONFIG).read_text())["role"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


C = TypeVar("C", bound=BaseModel)


def load_config(folder: Path, of: type[C] = DenoiserConfig) -> C:
    """config.json, read as that kind of checkpoint's. Raises CheckpointError."""
    path = folder / CONFIG
    try:
        return of.model_validate_json(path.read_text())
    except OSError as error:
        raise CheckpointError(f"{folder.name}: cannot read config.json ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{folder.name}: config.json is not UTF-8") from error
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("role",):
            wanted = of.model_fields["role"].default
            raise CheckpointError(
                f"{folder.name}: its role is {first['input']}, and a {wanted} is wanted here"
            ) from error
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CheckpointError(f"{folder.name}: config.json: {field}: {first['msg']}") from error


def load_checkpoint(folder: Path) -> DenoiserCheckpoint:
    """Read a folder that `save_checkpoint` wrote.

    Raises CheckpointError where anything is missing, half-written, of another shape or not finite.
    """
    config = load_config(folder)
    try:
        schedule = make_schedule(config.schedule.name, config.schedule.T)
        network = config.build_network()
    except ValueError as error:
        raise CheckpointError(f"{folder.name}: config.json: {error}") from error
    load_weights(folder / WEIGHTS, network)
    text = None if config.text is None else load_text(folder, config.text)
    return DenoiserCheckpoint(config, schedule, network.eval(), text, load_reference(folder, config.data))
