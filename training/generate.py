"""Generate many samples of a checkpoint, offline."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.backends.onnx_runtime import onnx_row_function
from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.base import Precision, TorchPrecision
from model.checkpoints.config import SamplingConfig
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import AnyGuidanceModel
from model.compilation import compiled
from model.conditions import NO_LABEL, Conditioning, Conditions
from model.denoiser import Gradient, Network
from model.label_prior import in_drawn_clusters
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample

BATCH = {"images": 64, "points": 5000}  # rows in one pass of the network


@dataclass(frozen=True, eq=False)
class Guidance:
    """Guidance by the gradient of a classifier or CLIP (DN21 section 4.3), or by a weak network (Karras 2024).

    scale  of the gradient; or how far samples are led away from the weak network, where 1 is off

    A conditional denoiser gets the label or prompt too, as at the classifier-free scale 1.
    """

    guidance_model: AnyGuidanceModel
    scale: float

    @property
    def conditioning(self) -> Conditioning | None:
        """What samples are guided towards; None where the guidance model has no conditions."""
        return self.guidance_model.conditioning

    def conditions(self, rows: int, *, label: Tensor | int = NO_LABEL, text: Tensor | None = None) -> Conditions:
        """Rows with these labels [rows] or texts [rows, d], guided so."""
        if isinstance(self.guidance_model, AutoguidanceCheckpoint):
            return Conditions.alike(rows, label=label, text=text, guidance_scale=1.0, autoguidance_scale=self.scale)
        return Conditions.alike(rows, label=label, text=text, guidance_scale=1.0, gradient_scale=self.scale)


def labelled(labels: NDArray[np.int64], options: SamplingConfig, guidance: Guidance | None = None) -> Conditions:
    """Conditions on labels [n] (NO_LABEL for none), under the options' classifier-free guidance or under `guidance`."""
    label = torch.from_numpy(labels)
    if guidance is None:
        return options.conditions(len(label), label=label)
    return guidance.conditions(len(label), label=label)


def prompted(text: Tensor, options: SamplingConfig, guidance: Guidance | None = None) -> Conditions:
    """Conditions on prompts, given as text vectors [n, d] of the encoder that reads them; guided as in `labelled`."""
    if guidance is None:
        return options.conditions(len(text), text=text)
    return guidance.conditions(len(text), text=text)


def generate(
    checkpoint: DenoiserCheckpoint,
    conditions: Conditions,
    options: SamplingConfig,
    *,
    guidance_model: AnyGuidanceModel | None = None,
    control: ControlCheckpoint | None = None,
    seed: int | Tensor = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    compile: bool = False,
    advance: Callable[[int], object] = lambda rows: None,
) -> Tensor:
    """A sample for each of the conditions, in the data's own units, float32 [n, …] on the CPU.

    guidance_model  the conditions say how strongly it guides each row
    control         the ControlNet for the conditions' hints
    seed            sample i has the seed (seed + i) mod 2⁶³; or the seed of each, [n] int64
    precision       int8 is the denoiser's alone, on a CPU, and needs its graph in integers
    compile         compile the networks first, which pays for thousands of samples
    advance         called after each batch with its number of samples

    Raises GraphError where int8 is wanted, and its graph is missing or cannot be used.
    """
    data = checkpoint.config.data
    by_torch: TorchPrecision = "bfloat16" if precision == "bfloat16" else "float32"
    gradients: dict[Conditioning, Gradient] = {}
    weak: Network | None = None
    if isinstance(guidance_model, AutoguidanceCheckpoint):
        weak = guidance_model.torch_network(device, by_torch)
    elif guidance_model is not None:
        gradients[guidance_model.conditioning] = guidance_model.gradient(device)
    controls = {control.hint: control.control(device, by_torch)} if control else {}
    network = network_in(checkpoint, device, precision, compile=compile)
    if compile:
        controls = {kind: compiled(control) for kind, control in controls.items()}
        weak = None if weak is None else compiled(weak)
    denoiser = checkpoint.denoiser(device, gradients=gradients, controls=controls, network=network, weak=weak)
    plan = make_plan(checkpoint.schedule, options.sampler, options.steps, eta=options.eta, variance=options.variance)
    seeds = seed if isinstance(seed, Tensor) else torch.from_numpy(sample_seeds(seed, len(conditions)))
    if checkpoint.config.cluster_shares:
        conditions = in_drawn_clusters(conditions, seeds, checkpoint.config.cluster_shares)
    done = []
    for start in range(0, len(conditions), BATCH[data.kind]):
        rows = slice(start, start + BATCH[data.kind])
        x = sample(denoiser, plan, conditions[rows], seeds[rows], data.shape)
        done.append(data.restore(x).cpu())
        advance(len(x))
    return torch.cat(done)


def network_in(
    checkpoint: DenoiserCheckpoint, device: torch.device | str, precision: Precision, *, compile: bool
) -> Network:
    """A copy of its network in that precision. Raises GraphError as `generate` does."""
    if precision == "int8":
        return onnx_row_function(checkpoint, torch.get_num_threads(), int8=True)
    network = checkpoint.torch_network(device, precision)
    return compiled(network) if compile else network


def labels_in_proportion(counts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """n labels, sorted, in the proportions of `counts` [classes] to within one each, by largest remainders."""
    exact = counts / counts.sum() * n
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: n - whole.sum()]] += 1
    return np.repeat(np.arange(len(counts)), whole)


def spread(n: int, most: int) -> NDArray[np.int64]:
    """At most `most` numbers from 0 … n − 1, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
