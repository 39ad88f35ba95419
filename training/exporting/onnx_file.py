"""A checkpoint → one ONNX file of its function of rows, with its weights, and what its numbers mean as metadata."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from model.backends.onnx_export import make_graph
from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.base import WEIGHTS
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint, PredictionConfig
from model.checkpoints.roles import ServedCheckpoint
from model.conditions import HintKind

HINTS: Mapping[HintKind, str] = {
    "canny": "1 where an edge is, else 0",
    "sketch": "light where a stroke is, 0 … 1",
    "inpainting": "0 where nothing is known, else the grey of what is, from black 0.5 to white 1",
}
JUMP = {  # what a student reads, and a ControlNet beside it
    "guidance_scale": "float32 [rows], one of the scales that it was trained at",
    "s": "int64 [rows], the timestep below t to which a ddim step with this output jumps",
}
UNEXPLAINED = {"recipe", "metrics"}  # fields of config.json that say nothing of what the numbers mean


def write_onnx(checkpoint: ServedCheckpoint, folder: Path, file: Path) -> None:
    """Write `file`. `folder` is the checkpoint's."""
    with TemporaryDirectory() as temporary:
        weights = Path(shutil.copy(folder / WEIGHTS, temporary))
        graph = onnx.load_model_from_string(make_graph(checkpoint, weights))
        onnx.load_external_data_for_model(graph, temporary)
    _rename(graph, _input_names(checkpoint), "gradient" if _is_guide(checkpoint) else "output")
    for key, value in _meaning(checkpoint).items():
        graph.metadata_props.add(key=f"spirale.{key}", value=value)
    onnx.save_model(graph, file)


def _is_guide(checkpoint: ServedCheckpoint) -> bool:
    return not isinstance(checkpoint, DenoiserCheckpoint | ControlCheckpoint | AutoguidanceCheckpoint)


def _input_names(checkpoint: ServedCheckpoint) -> list[str]:
    """Of the first inputs; a UNet's others are what ControlNets add."""
    names = ["x_t", "t", "label"]
    if isinstance(checkpoint, DenoiserCheckpoint):
        names[2] = "label" if checkpoint.config.text is None else "text"
        names += list(JUMP) if checkpoint.config.distilled is not None else []
        return [*names, "x0_before"] if checkpoint.config.self_conditioned else names
    if isinstance(checkpoint, ControlCheckpoint):
        names[2] = "text" if checkpoint.config.text else "label"
        return [*names, *(JUMP if checkpoint.config.jumps else ()), "hint"]
    if isinstance(checkpoint, AutoguidanceCheckpoint):
        return names
    return [*names[:2], checkpoint.conditioning]


def _rename(graph: onnx.ModelProto, names: list[str], output: str) -> None:
    """Name the first inputs so, the others control_0, control_1 …, and a lone output `output`."""
    own = [each.name for each in graph.graph.input]
    more = [f"control_{index}" for index in range(len(own) - len(names))]
    renamed = dict(zip(own, [*names, *more], strict=True))
    if len(graph.graph.output) == 1:
        renamed[graph.graph.output[0].name] = output
    for value in (*graph.graph.input, *graph.graph.output):
        value.name = renamed.get(value.name, value.name)
    for node in graph.graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(name, name) for name in values]


def _meaning(checkpoint: ServedCheckpoint) -> dict[str, str]:
    """What somebody needs to sample by the graph, without Spirale."""
    config, data = checkpoint.config, checkpoint.data
    meaning = {
        "config": config.model_dump_json(exclude=UNEXPLAINED),
        "alpha_bar": json.dumps(checkpoint.schedule.alpha_bar.tolist()),
        "x_t": f"float32 [rows, {', '.join(map(str, data.shape))}]: "
        "sqrt(alpha_bar[t])*x0 + sqrt(1 - alpha_bar[t])*noise, of x0 = (data - mean)/std",
        "t": f"int64 [rows], 1 … {checkpoint.schedule.T}",
        "label": "int64 [rows], numbers of config.data.labels; -1 is no label. A network without labels ignores it",
        "data": json.dumps({"mean": data.mean, "std": data.std, "clip": data.clip, "labels": data.labels}),
    }
    if isinstance(checkpoint, DenoiserCheckpoint):
        meaning["output"] = _output(checkpoint.config.prediction)
        if checkpoint.config.cluster_shares:
            meaning["label"] = "int64 [rows], clusters of training data without labels, to be drawn by the "
            meaning["label"] += "probabilities config.cluster_shares; -1 is none"
        if checkpoint.config.distilled is not None:
            meaning |= JUMP
        if checkpoint.config.self_conditioned:
            meaning["x0_before"] = f"as x_t: the x0 that the step before predicted, within ±{data.clip}; first zeros"
        if (text := checkpoint.config.text) is not None:
            meaning["text"] = f"float32 [rows, {text.outputs}], of text.safetensors; zeros are no prompt"
    elif isinstance(checkpoint, ControlCheckpoint):
        meaning["output"] = "what the base network takes as control_0, control_1 …"
        meaning["hint"] = f"float32 [rows, 1, {data.shape[1]}, {data.shape[2]}]: " + HINTS[checkpoint.hint]
        if checkpoint.config.jumps:
            meaning |= JUMP
    elif isinstance(checkpoint, AutoguidanceCheckpoint):
        meaning["output"] = _output(checkpoint.config.prediction)
    else:
        meaning["gradient"] = "of log p(condition|x_t) with respect to x_t"
    return meaning


def _output(prediction: PredictionConfig) -> str:
    variance = "; then as many channels v of the log variance, (v + 1)/2 of the way from beta_tilde to beta"
    return f"the network's {prediction.target}" + (variance if prediction.learned_variance else "")
