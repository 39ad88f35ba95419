"""The model card, checkpoints/<name>/README.md. It is written from config.json, so it has no other metrics."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from model.checkpoints.autoguidance import AutoguidanceConfig
from model.checkpoints.classifier import ClassifierConfig
from model.checkpoints.clip import ClipConfig
from model.checkpoints.config import MEASURED, CheckpointConfig
from model.checkpoints.control import ControlConfig
from model.checkpoints.denoiser import FARTHEST, DenoiserConfig
from model.checkpoints.few_step_quality import NEEDED_OF_CONTROLNETS
from model.checkpoints.judge import JudgeConfig
from model.networks.adapters import AdapterConfig
from model.samplers import SAMPLERS, samplers_with
from training.card.data_rows import distortion, source_rows
from training.card.few_step_rows import few_step_rows, quality_row
from training.card.hint_command import hint_command
from training.card.hub_header import header
from training.card.markdown import fields, listed, measured_section
from training.card.table_rows import (
    described_interval,
    described_overrides,
    described_sampler,
    text_encoder_rows,
    training_row,
)
from training.card.training_commands import training_commands
from training.card.usability import first_line
from training.evaluate.measurement import settings_of

SAMPLES = ("samples.png", "points.png")  # of images, of points
LIKELIHOOD = "likelihood.png"  # the terms of the bound over t
NEAREST = "nearest.png"  # samples beside their nearest training images
PICTURES = (*SAMPLES, LIKELIHOOD, NEAREST, FARTHEST)
ACCURACY = "accuracy.png"  # of a classifier over t
IMPORTED = "It was trained elsewhere, and its training data are not known here, so nothing of it has been measured."
BEFORE = " These are samples by other settings: the recommended ones have not been measured, so evaluate it again."
CONTROL_SHEET = "followed.png"  # hints and the samples that follow them


def write_denoiser_card(folder: Path, config: DenoiserConfig) -> None:
    """Write README.md; its first line says whether the samples are usable, and it shows those of the PICTURES that are
    in the folder."""
    data, sampling, name = config.data, config.sampling, config.name
    request: dict[str, str] = {"dataset": data.dataset} | ({"label": data.labels[-1]} if data.labels else {})
    if config.text is not None:
        request["prompt"] = config.text.vocabulary.examples[0]
    if config.distilled is not None:
        request["model"] = name
    picture = next((file for file in SAMPLES if (folder / file).is_file()), None)
    lines = [
        f"# {name}",
        "",
        _verdict(config),
        "",
        *_title(name, {"description": config.imported} | config.recipe)[2:],
        *([f"![samples]({picture})", ""] if picture else []),
        "```",
        f"curl -d {_quoted(request)} localhost:8000/sample" + (" -o sample.png" if data.kind == "images" else ""),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data.dataset}: {data.kind} of shape {_sides(data.shape)}"
        + (f", labels {listed(data.labels)}" if data.labels else "")
        + (f"; {listed(data.names)}" if data.names else "")
        + " |",
        *source_rows(config.recipe),
        f"| network | {_network(config)} |",
        *(text_encoder_rows(config.text) if config.text is not None else []),
        *([f"| without a label | it is drawn: {_shares(config)} |"] if config.label_shares else []),
        *([_clusters(config)] if config.cluster_shares else []),
        f"| schedule | {config.schedule.description} |",
        f"| prediction | {config.prediction.target}, "
        f"{'learned' if config.prediction.learned_variance else 'fixed'} variance{_clipping(config)} |",
        *(few_step_rows(config.distilled, config.metrics) if config.distilled is not None else []),
        training_row(name, config.recipe) if config.imported is None else f"| imported from | {config.imported} |",
        f"| recommended | {described_sampler(sampling)}, {sampling.steps} steps"
        + (f", guidance scale {sampling.guidance_scale:g}" if config.conditioning else "")
        + described_interval(sampling)
        + (
            f"; {' and '.join(samplers_with('variance'))} with the learned variance"
            if sampling.variance == "learned" and not SAMPLERS[sampling.sampler].takes("variance")
            else ""
        )
        + " |",
        f"| precisions | {', '.join(config.precisions)} |",
        "",
        *(training_commands(name, config.recipe) if config.imported is None else [IMPORTED]),
        "",
        *measured_section(config.metrics),
    ]
    if data.kind == "images" and config.metrics and not any("judge" in column for column in config.metrics.values()):
        lines += ["", _without_judge(config)]
    if (folder / NEAREST).is_file():
        lines += [
            "",
            "The samples that are nearest to a training image, each above that image; then the same for held-out "
            "images:",
            "",
            f"![samples and their nearest training images]({NEAREST})",
        ]
    if (folder / FARTHEST).is_file():
        lines += [
            "",
            "The samples that are farthest from real data, the worst of all:",
            "",
            f"![the samples farthest from real data]({FARTHEST})",
        ]
    if (folder / LIKELIHOOD).is_file():
        lines += ["", f"![terms of the bound]({LIKELIHOOD})"]
    _write(folder, config, lines)


def _verdict(config: DenoiserConfig) -> str:
    """Points are measured in as many steps whatever is recommended, so that they compare; images as recommended."""
    measured = config.metrics.get(MEASURED, {})
    as_recommended = settings_of(config.sampling, None).items() <= measured.items()
    before = measured and config.data.kind == "images" and not as_recommended
    return first_line(measured) + (BEFORE if before else "")


def _network(config: DenoiserConfig) -> str:
    if isinstance(config.network, AdapterConfig):
        return config.network.description
    return fields(config.network.model_dump(mode="json"))


def _clipping(config: DenoiserConfig) -> str:
    """What is done with x̂0 other than usually."""
    threshold = config.prediction.threshold
    dynamic = f"; dynamic thresholding at {threshold.ratio:g}, at most {threshold.largest:g}" if threshold else ""
    return dynamic + ("; `ddim` takes the network's own ε̂" if config.prediction.raw_epsilon else "")


def _shares(config: DenoiserConfig) -> str:
    """The labels' shares of the training data, of as many labels as a card lists."""
    return listed([f"{name} {share:.1%}" for name, share in zip(config.data.labels, config.label_shares, strict=True)])


def _clusters(config: DenoiserConfig) -> str:
    """How many there are, and what becomes of them."""
    return (
        f"| clusters | {len(config.cluster_shares)} of unlabelled training data, by k-means: each sample is of one, "
        "which its seed draws in the training proportions |"
    )


def write_judge_card(folder: Path, config: JudgeConfig) -> None:
    """Write README.md."""
    lines = [
        *_title(config.name, config.recipe, "It is not served."),
        "| | |",
        "|---|---|",
        f"| data | {config.data.dataset}: training images, {distortion(config.recipe)} |",
        *source_rows(config.recipe),
        f"| network | residual, group norm; {config.width}, {2 * config.width}, {4 * config.width} channels |",
        f"| feature layer | {config.features} wide, for Fréchet distance, precision and recall |",
        training_row(config.name, config.recipe),
        "",
        *measured_section(config.metrics),
    ]
    _write(folder, config, lines)


def write_guidance_card(folder: Path, config: ClassifierConfig | ClipConfig) -> None:
    """Write README.md of a guidance model: a classifier or CLIP."""
    data = config.data
    if isinstance(config, ClipConfig):
        request = {"prompt": config.text.vocabulary.examples[0], "guidance": "clip"}
        condition, default, text_rows = "a prompt", config.default_for_prompts, text_encoder_rows(config.text)
    else:
        request = {"label": data.labels[-1], "guidance": "classifier"}
        condition, default, text_rows = "a label", False, []
    lines = [
        *_title(
            config.name,
            config.recipe,
            f"Its gradient guides a denoiser of the same data and schedule towards {condition}.",
        ),
        "```",
        f"curl -d {_quoted({'dataset': data.dataset} | request)} localhost:8000/sample"
        + (f" -o {data.dataset}.png" if data.kind == "images" else ""),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data.dataset}, with noise of every level |",
        f"| network | {fields(config.network.model_dump(mode='json'))} |",
        *text_rows,
        f"| schedule | {config.schedule.description} |",
        f"| recommended | {described_overrides(config.sampling)}"
        + ("; the default for prompts that name no guidance" if default else "")
        + " |",
        training_row(config.name, config.recipe),
        "",
        *([f"![accuracy against noise]({ACCURACY})", ""] if (folder / ACCURACY).is_file() else []),
        *measured_section(config.metrics),
    ]
    _write(folder, config, lines)


def write_autoguidance_card(folder: Path, config: AutoguidanceConfig) -> None:
    """Write README.md of a weak network."""
    base, data = config.base, config.data
    request: dict[str, str] = {"dataset": data.dataset, "model": base.name, "guidance": "auto"}
    request |= {"label": data.labels[-1]} if data.labels else {}
    picture = next((file for file in SAMPLES if (folder / file).is_file()), None)
    lines = [
        *_title(
            config.name,
            config.recipe,
            f"A weak network: autoguidance leads the samples of {base.name} away from what this one predicts. "
            "Samples of its own are not served.",
        ),
        *([f"![guided samples]({picture})", ""] if picture else []),
        "```",
        f"curl -d {_quoted(request)} localhost:8000/sample" + (" -o sample.png" if data.kind == "images" else ""),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| base | {base.name}, only with the weights {base.weights} |",
        f"| network | {fields(config.network.model_dump(mode='json'))} |",
        f"| schedule | {config.schedule.description} |",
        f"| recommended | {described_overrides(config.sampling)} |",
        training_row(config.name, config.recipe),
        "",
        *measured_section(config.metrics),
    ]
    _write(folder, config, lines)


def write_control_card(folder: Path, config: ControlConfig) -> None:
    """Write README.md of a ControlNet."""
    base, data = config.base, config.data
    hint = {
        "canny": "the edges of a picture", "sketch": "a rough drawing", "inpainting": "what is known around a hole"
    }[config.hint]  # fmt: skip
    lines = [
        *_title(config.name, config.recipe, f"It makes {base.name} follow {hint}."),
        "```",
        hint_command(config),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| base | {base.name}, only with the weights {base.weights} |",
        f"| network | a copy of the encoder half of its UNet, {fields(config.network.model_dump(mode='json'))} |",
        f"| hint | {config.hint}, {_sides(data.shape[1:])} |",
        f"| recommended | control scale {config.control_scale:g}; "
        f"without a label, {described_overrides(config.sampling, ' for the hint')} |",
        *([quality_row(config.recipe["teacher"], config.metrics, NEEDED_OF_CONTROLNETS)] if config.jumps else []),
        training_row(config.name, config.recipe),
        "",
        *([f"![hints and samples]({CONTROL_SHEET})", ""] if (folder / CONTROL_SHEET).is_file() else []),
        *measured_section(config.metrics),
    ]
    _write(folder, config, lines)


def _write(folder: Path, config: CheckpointConfig[nn.Module], lines: Sequence[str]) -> None:
    (folder / "README.md").write_text("\n".join([*header(config), *lines]).rstrip() + "\n", encoding="utf-8")


def _title(name: str, recipe: Mapping[str, Any], more: str = "") -> list[str]:
    """The heading, and the recipe's description."""
    return [f"# {name}", "", f"{recipe.get('description') or name}. {more}".rstrip(), ""]


def _without_judge(config: DenoiserConfig) -> str:
    """Which metrics are missing, and how to get them."""
    dataset, images = config.data.dataset, config.recipe.get("data", {}).get("images")
    init = f"`python -m training init {images} --name {dataset} --role judge` and " if images else ""
    return (
        "There was no judge of such images, so label accuracy, Fréchet distance, precision and recall are not "
        f"measured. For images with classes, make a judge by {init}`python -m training train {dataset}-judge`, then "
        "evaluate again."
    )


def _quoted(request: Mapping[str, str]) -> str:
    """A request's JSON as an argument of a shell, whatever characters the labels have."""
    return shlex.quote(json.dumps(request, ensure_ascii=False))


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
