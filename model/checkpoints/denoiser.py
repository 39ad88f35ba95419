"""A denoiser's checkpoint: what its network predicts, what it is conditioned on, and how it samples by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from model.checkpoints.base import INT8_GRAPH, Checkpoint, Precision, TorchPrecision, load_network, read_graph
from model.checkpoints.config import DiffusionConfig, SamplingConfig, load_config
from model.checkpoints.distilled import DistilledConfig
from model.checkpoints.reference_points import Reference, load_reference
from model.checkpoints.schedule_config import KarrasScheduleConfig
from model.checkpoints.training_rows import TrainingRows, load_training_rows
from model.checkpoints.weights import fingerprint
from model.conditions import NO_LABEL, Conditioning, HintKind
from model.denoiser import Control, Denoiser, Gradient, Network
from model.networks import MLPConfig, UNetConfig, build_network
from model.networks.adapters import (
    AdapterConfig,
    ConsistencyUNetConfig,
    DiffusersUNetConfig,
    GuidedUNetConfig,
    LucidrainsUNetConfig,
    build_adapter,
)
from model.prediction import Target, Threshold
from model.strict_config import StrictConfig
from model.text_encoder import TextConfig, TextEncoder, load_text

FARTHEST = "farthest.png"
"""A picture of the samples that are farthest from real data, the worst: training draws it, the service shows it to
everybody, so no row of somebody's data is in it."""

ServedNetworkConfig = Annotated[
    MLPConfig | UNetConfig | DiffusersUNetConfig | ConsistencyUNetConfig | GuidedUNetConfig | LucidrainsUNetConfig,
    Field(discriminator="kind"),
]
CONSISTENCY_SAMPLER = "renoise"
LabelShare = Annotated[float, Field(ge=0, le=1)]


class ThresholdConfig(StrictConfig):
    """See `model.prediction.Threshold`."""

    ratio: float = Field(0.995, gt=0, le=1)
    largest: float = Field(1.0, gt=0)


class PredictionConfig(StrictConfig):
    """What the network puts out: see `model.prediction`.

    threshold    dynamic thresholding of x̂0; None for the data's `clip`
    raw_epsilon  `ddim` takes the network's own ε̂, also where x̂0 was clipped, as diffusers does
    """

    target: Target = "v"
    learned_variance: bool = False
    threshold: ThresholdConfig | None = None
    raw_epsilon: bool = False


class DenoiserConfig(DiffusionConfig[nn.Module]):
    """Its config.json.

    text          the encoder whose vectors the network is conditioned on instead of labels
    label_shares  how often each label occurs in the training data, in the order of the labels: the prior of rows that
                  are asked for nothing. Empty where that is not known
    cluster_shares  how often each cluster of unlabelled training rows occurs: each row draws its own. The network reads
                  clusters as others read labels, but they have no names, and no request asks for one. Empty where
                  the network reads none
    distilled     of a student; None where the network was trained on data
    precisions    those in which its samples were measured to be as good as in float32
    imported      what other library's model it is; None for one that was trained here
    """

    role: Literal["denoiser"] = "denoiser"
    network: ServedNetworkConfig
    prediction: PredictionConfig
    sampling: SamplingConfig
    text: TextConfig | None = None
    label_shares: tuple[LabelShare, ...] = ()
    cluster_shares: tuple[LabelShare, ...] = ()
    distilled: DistilledConfig | None = None
    precisions: tuple[Precision, ...] = ("float32",)
    imported: str | None = None

    @model_validator(mode="after")
    def _sampling_is_possible(self) -> "DenoiserConfig":
        if self.sampling.variance == "learned" and not self.prediction.learned_variance:
            raise ValueError("sampling.variance is 'learned', but prediction.learned_variance is false")
        if self.text is not None and self.data.labels:
            raise ValueError("a network reads text or labels, not both")
        if self.label_shares and len(self.label_shares) != len(self.data.labels):
            raise ValueError("label_shares has one share for each of data.labels, or none")
        for name, shares in (("label_shares", self.label_shares), ("cluster_shares", self.cluster_shares)):
            if shares and abs(sum(shares) - 1) > 1e-6:
                raise ValueError(f"{name} must add up to 1, not {sum(shares):g}")
        if self.cluster_shares and (self.data.labels or self.text is not None):
            raise ValueError("a network that reads clusters reads neither labels nor text")
        if self.cluster_shares and isinstance(self.network, AdapterConfig):
            raise ValueError("a network of another library reads no clusters")
        if isinstance(self.network, AdapterConfig) and (self.text is not None or self.distilled is not None):
            raise ValueError("a network of another library reads labels, or nothing, and is no student")
        if self.needs_label and self.sampling.guidance_scale != 1:
            raise ValueError("sampling.guidance_scale is 1: the network has no unconditional half")
        if (refusal := self.sampling_refusal(self.sampling)) is not None:
            field, allowed = refusal
            raise ValueError(f"sampling.{field} is {allowed}")
        if self.is_consistency_model != isinstance(self.schedule, KarrasScheduleConfig):
            raise ValueError("a consistency model has a karras schedule, and no other model has one")
        if self.is_consistency_model and self.prediction != PredictionConfig(target="x0"):
            raise ValueError("a consistency model puts out x0 alone")
        return self

    @model_validator(mode="after")
    def _output_tells_x0(self) -> "DenoiserConfig":
        if self.prediction.target == "epsilon" and np.float32(self.schedule.build().alpha_bar[-1]) == 0:
            raise ValueError("prediction.target is v or x0: where ᾱ_T is 0, x_T is noise alone, and ε tells no x̂0")
        return self

    @model_validator(mode="after")
    def _null_class_is_one_of_its_classes(self) -> "DenoiserConfig":
        null_class = self.network.null_class if isinstance(self.network, AdapterConfig) else None
        if null_class is None:
            return self
        if not isinstance(self.network, DiffusersUNetConfig) or not self.data.labels:
            raise ValueError("network.null_class is for diffusers' UNet with labels: leave it away")
        if null_class > len(self.data.labels):
            raise ValueError(f"network.null_class is 0 … {len(self.data.labels)}, one more class than data.labels has")
        return self

    @property
    def conditioning(self) -> Conditioning | None:
        """What its network is conditioned on."""
        return "text" if self.text is not None else "label" if self.data.labels else None

    @property
    def classes(self) -> int:
        """How many classes its network tells apart: labels, or clusters; 0 where it reads neither."""
        return len(self.data.labels) or len(self.cluster_shares)

    @property
    def needs_label(self) -> bool:
        """Does every row need a label? Networks that dropped no labels in training have no unconditional half."""
        return isinstance(self.network, AdapterConfig) and bool(self.data.labels) and self.network.null_class is None

    @property
    def is_consistency_model(self) -> bool:
        return isinstance(self.network, ConsistencyUNetConfig)

    @property
    def predicts_posterior_mean(self) -> bool:
        """False for a student and for a consistency model, which predict where the ODE goes."""
        return self.distilled is None and not self.is_consistency_model

    @property
    def self_conditioned(self) -> bool:
        """Does its network also read its own last x̂0?"""
        return isinstance(self.network, LucidrainsUNetConfig) and self.network.self_conditioned

    def sampling_refusal(self, sampling: SamplingConfig) -> tuple[str, str] | None:
        """(the field, what it takes) where the model cannot be sampled so; None where it can."""
        if self.distilled is not None:
            return self.distilled.refusal(sampling)
        if self.is_consistency_model and sampling.sampler != CONSISTENCY_SAMPLER:
            return (
                "sampler",
                f"{CONSISTENCY_SAMPLER}: a consistency model predicts where the ODE goes, no posterior mean",
            )
        return None

    def build_network(self) -> nn.Module:
        if isinstance(self.network, AdapterConfig):
            return build_adapter(
                self.network,
                shape=self.data.shape,
                labels=len(self.data.labels),
                learned_variance=self.prediction.learned_variance,
                levels=self.schedule.levels if isinstance(self.schedule, KarrasScheduleConfig) else None,
            )
        return build_network(
            self.network,
            shape=self.data.shape,
            labels=self.classes,
            text=0 if self.text is None else self.text.outputs,
            jumps=self.distilled is not None,
            T=self.schedule.T,
            learned_variance=self.prediction.learned_variance,
        )


@dataclass(frozen=True, eq=False)
class DenoiserCheckpoint(Checkpoint[nn.Module]):
    """A loaded denoiser; with its text encoder where it is conditioned on text, and real points where it keeps some.

    int8_graph  as `graph`, of the network in integers
    folder      that it was loaded from; None where it was made
    """

    config: DenoiserConfig
    text: TextEncoder | None = None
    reference: Reference | None = None
    int8_graph: bytes | None = field(default=None, kw_only=True)
    folder: Path | None = field(default=None, kw_only=True)

    @property
    def farthest(self) -> Path | None:
        """The picture of its worst samples, where there is one."""
        path = None if self.folder is None else self.folder / FARTHEST
        return path if path is not None and path.is_file() else None

    def training_rows(self) -> TrainingRows | None:
        """What it was trained on, where that is kept. They are read anew: they may be large.

        Raises CheckpointError."""
        return None if self.folder is None else load_training_rows(self.folder, self.config.data)

    def _graphs(self) -> Mapping[str, str]:
        return {**super()._graphs(), "int8_graph": INT8_GRAPH}

    def _what_computes(self) -> list[bytes]:
        text = b"" if self.text is None else fingerprint(self.text.network).encode()
        return [*super()._what_computes(), self.int8_graph or b"", text]

    def torch_network(self, device: torch.device | str = "cpu", precision: TorchPrecision = "float32") -> Network:
        """A copy of the network, in that precision; what it returns is in float32."""
        return InFloat32(self.network_on(device, precision))

    def denoiser(
        self,
        device: torch.device | str = "cpu",
        precision: TorchPrecision = "float32",
        gradients: Mapping[Conditioning, Gradient] = MappingProxyType({}),
        controls: Mapping[HintKind, Control] = MappingProxyType({}),
        network: Network | None = None,
        weak: Network | None = None,
    ) -> Denoiser:
        """A denoiser on a copy of the network.

        gradients, controls, weak  see `Denoiser`; these are taken as they are
        network              what computes its network, for example by ONNX Runtime; None is `torch_network`
        """
        threshold = self.config.prediction.threshold
        return Denoiser(
            self.torch_network(device, precision) if network is None else network,
            self.schedule,
            self.config.prediction.target,
            learned_variance=self.config.prediction.learned_variance,
            clip=self.config.data.clip,
            threshold=None if threshold is None else Threshold(threshold.ratio, threshold.largest),
            raw_epsilon=self.config.prediction.raw_epsilon,
            needs_label=self.config.needs_label,
            text_width=None if self.config.text is None else self.config.text.outputs,
            jumps=self.config.distilled is not None,
            self_conditioned=self.config.self_conditioned,
            gradients=gradients,
            controls=controls,
            weak=weak,
            device=device,
        )

    def example(self) -> Tensor:
        """The condition of a row without one, on the CPU: NO_LABEL [] int64, or a text vector [d] of zeros.

        The first label, if the network needs one."""
        if self.config.needs_label:
            return torch.tensor(0)
        return torch.tensor(NO_LABEL) if self.config.text is None else torch.zeros(self.config.text.outputs)


class InFloat32(nn.Module):
    """A network that answers in float32, whatever it computes in: samplers work in float32."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *more: Tensor) -> Tensor:
        output: Tensor = self.network(x, t, condition, *more)
        return output.float()


def load_checkpoint(folder: Path) -> DenoiserCheckpoint:
    """Raises CheckpointError where anything is missing, half-written, of another shape or not finite."""
    config = load_config(folder, DenoiserConfig)
    network = load_network(folder, config)
    text = None if config.text is None else load_text(folder, config.text)
    return DenoiserCheckpoint(
        config, config.schedule.build(), network, text, load_reference(folder, config.data),
        graph=read_graph(folder), int8_graph=read_graph(folder, INT8_GRAPH), folder=folder,
    )  # fmt: skip
