"""config.json: the fields that every kind of checkpoint shares, and how the file is read and written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator
from torch import Tensor, nn

from model.checkpoints.schedule_config import AnyScheduleConfig
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL, Conditions
from model.data import DataConfig
from model.networks import NetworkConfig
from model.renamed import explained
from model.sampler_spec import Variance
from model.samplers import Sampler
from model.strict_config import StrictConfig

FORMAT: Final = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
CONFIG = "config.json"
MAX_BYTES = 16 << 20  # of config.json, whose labels, vocabulary and metrics may be long
MEASURED = "measured"  # the metrics of a checkpoint at its own settings

Bounds = TypeVar("Bounds", bound=Sequence[float])
NetworkT = TypeVar("NetworkT", bound=nn.Module, covariant=True)


def ordered(interval: Bounds) -> Bounds:
    """Raises ValueError where the second is below the first."""
    if interval[0] > interval[1]:
        raise ValueError("the lower noise level comes first")
    return interval


NoiseLevel = Annotated[float, Field(ge=0, allow_inf_nan=False)]
GuidanceInterval = Annotated[tuple[NoiseLevel, NoiseLevel], AfterValidator(ordered)]
"""(σ_low, σ_high), see `Conditions.guidance_interval`."""


class SamplingConfig(StrictConfig):
    """How the model card samples by default; a request may override every field.

    guidance_interval  the noise levels at which guidance_scale holds; None is all of them
    """

    sampler: Sampler = "dpmpp-2m"
    steps: int = Field(20, ge=1)
    guidance_scale: float = Field(1.0, ge=0, le=20)
    eta: float = Field(0.0, ge=0, le=1)
    variance: Variance = "fixed-small"
    guidance_interval: GuidanceInterval | None = None

    def conditions(self, rows: int, *, label: Tensor | int = NO_LABEL, text: Tensor | None = None) -> Conditions:
        """Rows with these labels [rows] or texts [rows, d], under classifier-free guidance."""
        scale, interval = self.guidance_scale, self.guidance_interval
        return Conditions.alike(rows, label=label, text=text, guidance_scale=scale, guidance_interval=interval)


class SamplingOverrides(StrictConfig):
    """What a guidance model or a ControlNet changes in its denoiser's `SamplingConfig`; None changes nothing.

    eta and the variance stay the denoiser's: the variance may be one that it has learned. A guidance scale comes with
    its own interval, so that the denoiser's interval never limits it. A gradient guides at every noise level: the
    interval is for hints.
    """

    guidance_scale: float = Field(1.0, ge=0, le=20)
    sampler: Sampler | None = None
    steps: int | None = Field(None, ge=1)
    guidance_interval: GuidanceInterval | None = None

    def applied_to(self, sampling: SamplingConfig) -> SamplingConfig:
        changed = self.model_dump(exclude_none=True) | {"guidance_interval": self.guidance_interval}
        return sampling.model_copy(update=changed)


def check_steps(sampling: SamplingConfig | SamplingOverrides, T: int) -> None:
    """Raises ValueError where more steps are advised than the schedule has."""
    if sampling.steps is not None and sampling.steps > T:
        raise ValueError(f"sampling.steps is at most T = {T}")


class CheckpointConfig(StrictConfig, Generic[NetworkT]):
    """The fields of every config.json.

    recipe   what trained the weights
    metrics  what was measured of them, by the name of the measurement
    """

    format: Literal[1] = FORMAT
    role: str
    name: str = Field(pattern=NAME_PATTERN)
    data: DataConfig
    recipe: dict[str, Any] = Field({})
    metrics: dict[str, dict[str, Any]] = Field({})

    def build_network(self) -> NetworkT:
        """With fresh weights. Raises ValueError where the network cannot take rows of the data's shape."""
        raise NotImplementedError


class DiffusionConfig(CheckpointConfig[NetworkT], Generic[NetworkT]):
    """The config of a network that takes noisy rows: a denoiser, or what guides one."""

    network: NetworkConfig
    schedule: AnyScheduleConfig
    sampling: SamplingConfig | SamplingOverrides

    @model_validator(mode="after")
    def _steps_are_possible(self) -> "DiffusionConfig[NetworkT]":
        check_steps(self.sampling, self.schedule.T)
        return self


ConfigT = TypeVar("ConfigT", bound=CheckpointConfig[nn.Module])


def save_config(folder: Path, config: CheckpointConfig[nn.Module]) -> None:
    """By an atomic rename. The recipe and the metrics, which are long, come last."""
    document = config.model_dump(mode="json")
    document |= {name: document.pop(name) for name in ("recipe", "metrics")}
    partial = folder / f"{CONFIG}.partial"
    partial.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / CONFIG)


def _read(folder: Path) -> str:
    """config.json. Raises OSError, or CheckpointError where it is too large to be one, or no text."""
    with (folder / CONFIG).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise CheckpointError(f"{folder.name}: config.json has more than {MAX_BYTES:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{folder.name}: config.json is not UTF-8") from error


def read_role(folder: Path) -> str | None:
    """The role that config.json names: denoiser, judge, …; None where there is none to read."""
    try:
        role = json.loads(_read(folder))["role"]
    except (OSError, CheckpointError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return role if isinstance(role, str) else None


def load_config(folder: Path, kind: type[ConfigT]) -> ConfigT:
    """config.json as that kind of checkpoint has it. Raises CheckpointError."""
    try:
        return kind.model_validate_json(_read(folder))
    except OSError as error:
        raise CheckpointError(f"{folder.name}: cannot read config.json ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("role",):
            wanted = kind.model_fields["role"].default
            raise CheckpointError(
                f"{folder.name}: its role is {first['input']}, and a {wanted} is wanted here"
            ) from error
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CheckpointError(f"{folder.name}: config.json: {field}: {explained(first)}") from error
