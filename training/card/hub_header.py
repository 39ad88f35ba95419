"""The YAML header of a card, by which the Hugging Face Hub finds a model and shows its metrics."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from model.checkpoints.config import CheckpointConfig
from model.checkpoints.denoiser import DenoiserConfig
from training.card.metric_descriptions import DESCRIPTIONS

LICENCE = "mit"  # this project's, of the weights that it ships
HUB_DATASETS: Mapping[str, str] = {"mnist": "ylecun/mnist"}
SYNTHETIC = ("gaussian", "spiral")

TASKS: Mapping[str, str] = {
    "judge": "image-classification",
    "classifier": "image-classification",
    "clip": "zero-shot-image-classification",
    "control": "image-to-image",
    "autoguidance": "unconditional-image-generation",
}
SIMPLE = re.compile(r"[a-z][a-z0-9_-]*(?:/[a-z0-9_-]+)?")
UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
RESERVED = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")  # which YAML reads as something else
DESCRIBED_TOGETHER = ("accuracy at ", "caption recall at ", "image recall at ")  # metrics at several settings
POINTS_TASK = "other"  # the Hub has none of points


def header(config: CheckpointConfig[nn.Module]) -> list[str]:
    """The header's lines, with the measured metrics that cards describe as a model-index."""
    dataset, task = config.data.dataset, _task(config)
    fields: dict[str, Any] = {"library_name": "spirale"}
    if (licence := LICENCE if _built_in(config) else _data(config).get("licence")) is not None:
        fields["license"] = licence
    if task != POINTS_TASK:
        fields["pipeline_tag"] = task
    fields["tags"] = ["diffusion", config.role, config.data.kind]
    if _built_in(config) and dataset in HUB_DATASETS:
        fields["datasets"] = [HUB_DATASETS[dataset]]
    metrics = _metrics(config.metrics.get("measured", {}))
    if metrics:
        fields["metrics"] = [metric["type"] for metric in metrics]
        source = {"name": dataset, "type": HUB_DATASETS.get(dataset, dataset)}
        result = {"task": {"type": task}, "dataset": source, "metrics": metrics}
        fields["model-index"] = [{"name": config.name, "results": [result]}]
    return ["---", *_yaml(fields), "---", ""]


def _built_in(config: CheckpointConfig[nn.Module]) -> bool:
    """Was it trained on a data set that comes with this project? Of other weights the licence is known only if the
    recipe names that of the data."""
    if isinstance(config, DenoiserConfig) and config.imported is not None:
        return False  # `dataset` is what somebody calls it
    data = _data(config)
    return data.keys() == {"dataset"} and data["dataset"] in (*HUB_DATASETS, *SYNTHETIC)


def _data(config: CheckpointConfig[nn.Module]) -> Mapping[str, Any]:
    """The [data] of its recipe."""
    data: Mapping[str, Any] = config.recipe.get("data", {"dataset": config.data.dataset})
    return data


def _task(config: CheckpointConfig[nn.Module]) -> str:
    if config.data.kind == "points":
        return POINTS_TASK
    if isinstance(config, DenoiserConfig):
        return "unconditional-image-generation" if config.text is None else "text-to-image"
    return TASKS[config.role]


def _metrics(measured: Mapping[str, object]) -> list[dict[str, Any]]:
    """The finite numbers among them that a card describes; whole numbers count samples, and measure nothing."""
    return [
        {"type": name, "value": value, "name": name.replace("_", " ")}
        for name, value in measured.items()
        if isinstance(value, float) and math.isfinite(value)
        if name in DESCRIPTIONS or name.startswith(DESCRIBED_TOGETHER)
    ]


def _yaml(value: object, indent: str = "") -> list[str]:
    """Lists and dictionaries in block style, with JSON's scalars, which are YAML's too."""
    lines = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            nested = isinstance(item, Mapping | list) and bool(item)
            lines += [f"{indent}{key}:", *_yaml(item, indent + "  ")] if nested else [f"{indent}{key}: {_scalar(item)}"]
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, Mapping):
                first, *rest = _yaml(item, indent + "  ")
                lines += [f"{indent}- {first.strip()}", *rest]
            else:
                lines.append(f"{indent}- {_scalar(item)}")
    return lines


def _scalar(value: object) -> str:
    """A simple word as it is; everything else as JSON, without characters that YAML does not take as they are."""
    if isinstance(value, str) and SIMPLE.fullmatch(value) and value not in RESERVED:
        return value
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "." not in text:
        text = text.replace("e", ".0e")  # 2e-05 would be a text: YAML 1.1 knows a number by its dot
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
