"""The model card, checkpoints/<name>/README.md: its figures are those of config.json, measured by `evaluate`."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import save_image

from model.checkpoint import Config
from model.classifier import ClassifierConfig
from model.clip import ClipConfig
from model.control import ControlConfig
from model.text import TextConfig
from training.data import trained_on
from training.evaluate.controls import Followed
from training.evaluate.judge import JudgeConfig
from training.evaluate.likelihood import Likelihood
from training.pictures import plt, save_picture

SHEET_COLUMNS = 10
SAMPLES, LIKELIHOOD = ("samples.png", "points.png"), "likelihood.png"  # of images or points; the bound over t
PICTURES = (*SAMPLES, LIKELIHOOD)
ACCURACY = "accuracy.png"  # of a classifier, against t
CONTROL_SHEET = "followed.png"  # hints, and what a ControlNet makes of them

MEANING = {
    "test_accuracy": "share of the real test images that are read right",
    "label_accuracy": "share of samples that are what was asked for (images: as the judge reads them; points: by the "
    "nearest real point)",
    "frechet": "Fréchet distance, on the judge's features, between the samples and the real training images",
    "frechet_floor": "the same between as many real test images and the training images",
    "frechet_ratio": "the one over the other: 1 is as near as real images are",
    "precision": "share of samples that lie among real images (3 nearest neighbours)",
    "recall": "share of real images that lie among the samples",
    "sliced_wasserstein": "mean 1-Wasserstein distance over 200 projections, samples against real points",
    "sliced_wasserstein_standard_error": "of that mean over the runs",
    "sliced_wasserstein_floor": "the same between two real draws of that size",
    "sliced_wasserstein_ratio": "the one over the other: 1 is as near as real draws are",
    "within_labels": "sliced Wasserstein distance between samples and real points of one label, a mean over the "
    "labels: chance differences in the labels' shares do not count",
    "within_labels_floor": "the same between two real draws",
    "within_labels_ratio": "the one over the other",
    "spread": "root mean square distance of the samples from their label's mean, over that of real points",
    "mmd": "maximum mean discrepancy, Gaussian kernel, bandwidth by the median distance",
    "mmd_null": "the 95th percentile of the MMD under permutations: draws of one distribution stay below",
    "prior": "bits per dimension that pure noise still tells of the data (L_T)",
    "decoder": "bits per dimension of the last step (L_0)",
    "bits_learned": "bits per dimension of real data that was not trained on: the variational bound, no label given",
    "bits_fixed_small": "the same with the variance β̃ instead",
    "bits_fixed_large": "the same with β",
    "digit": "share of held-out prompts whose digit the judge reads",
    "thickness": "share whose strokes are in the asked third of that digit's real images",
    "slant": "the same of the slant",
    "thickness and slant": "share in which both are",
    "all three": "share in which the digit is right besides",
    "all three, new combinations": "the same among prompts whose combination of the three training never said",
    "caption recall at 1": "share of test images of whose captions, in phrasings that training never used, the nearest "
    "is true",
    "image recall at 1": "share of such captions that are true of the nearest image",
    "agreement": "F1 of the sample's edges (or strokes) with the hint's, within one pixel",
    "agreement_ceiling": "the same of the image that the hint was made from",
    "agreement_floor": "the same of the sample with the hint of another image of its class",
    "label_accuracy_alone": "share of samples that are what the hint was made from, where no label was given (as the "
    "judge reads them)",
    "drawings_alone": "the same of 40 drawings by hand that are not from the data",
    "drawings": "the same of those, with the label given",
    "energy": "energy distance",
    "energy_floor": "the same between two real draws",
}


def write_denoiser_card(folder: Path, config: Config) -> None:
    """README.md from the config alone, so that it never says what was not measured."""
    data, sampling, recipe = config.data, config.sampling, config.recipe
    request = {"dataset": data.dataset} | ({"label": data.labels[-1]} if data.labels else {})
    if config.text is not None:
        request["prompt"] = config.text.vocabulary.examples[0]
    options = recipe.get("optimisation", {})
    seen, started = options.get("steps", 0) * options.get("batch_size", 0), recipe.get("started_from")
    picture = next((name for name in SAMPLES if (folder / name).is_file()), None)
    lines = [
        f"# {config.name}",
        "",
        f"{recipe.get('description') or config.name}.",
        "",
        *([f"![samples]({picture})", ""] if picture else []),
        "```",
        f"curl --json '{json.dumps(request)}' localhost:8000/sample"
        + (" -o sample.png" if data.kind == "images" else ""),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data.dataset}: {data.kind} of shape {'×'.join(map(str, data.shape))}"
        + (f", labels {', '.join(data.labels)}" if data.labels else "")
        + " |",
        f"| network | {_inline(config.network.model_dump(mode='json'))} |",
        *(_text_rows(config.text) if config.text is not None else []),
        f"| schedule | {config.schedule.name}, T = {config.schedule.T} |",
        f"| prediction | {config.prediction.target}, "
        f"{'learned' if config.prediction.learned_variance else 'fixed'} variance |",
        f"| trained on | {options.get('steps', 0):,} steps, {seen:,} rows in all, per process"
        + (f", from the weights of {started}" if started else "")
        + "; averaged weights |",
        f"| advised | {sampling.sampler}, {sampling.steps} steps"
        + (f", guidance scale {sampling.guidance_scale:g}" if config.reads else "")
        + " |",
        f"| precisions | {', '.join(config.precisions)} |",
        "",
        "The recipe that made it is in `config.json`. Made again by",
        f"`python -m training train {config.name}{f' --from {started}' if started else ''}` and measured by",
        f"`python -m training evaluate {config.name}`.",
        "",
    ]
    lines += _measured(config.metrics)
    if (folder / LIKELIHOOD).is_file():
        lines += ["", f"![where the bits come from]({LIKELIHOOD})"]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def write_judge_card(folder: Path, config: JudgeConfig) -> None:
    options = config.recipe.get("optimisation", {})
    steps, rows = options.get("steps", 0), options.get("steps", 0) * options.get("batch_size", 0)
    lines = [
        f"# {config.name}",
        "",
        f"{config.recipe.get('description') or config.name}. It is not served.",
        "",
        "| | |",
        "|---|---|",
        f"| data | {config.data.dataset}: training images, slightly moved, turned, scaled, sheared; never flipped |",
        f"| network | residual, group norm; {config.width}, {2 * config.width}, {4 * config.width} channels |",
        f"| feature layer | {config.features} wide; Fréchet distances and neighbours are taken there |",
        f"| trained on | {steps:,} steps, {rows:,} images in all, per process; averaged weights |",
        "",
        *_measured(config.metrics),
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def write_guide_card(folder: Path, config: ClassifierConfig | ClipConfig) -> None:
    """Of what steers denoisers: a classifier, or CLIP."""
    data, options = config.data, config.recipe.get("optimisation", {})
    steps, rows = options.get("steps", 0), options.get("steps", 0) * options.get("batch_size", 0)
    if config.role == "classifier":
        request, steered = {"label": data.labels[-1], "guidance": "classifier"}, "a label"
    else:
        request, steered = {"prompt": config.text.vocabulary.examples[0], "guidance": "clip"}, "a prompt"
    lines = [
        f"# {config.name}",
        "",
        f"{config.recipe.get('description') or config.name}. Its gradient steers a denoiser of the same data and "
        f"schedule to {steered}.",
        "",
        "```",
        f"curl --json '{json.dumps({'dataset': data.dataset} | request)}' http://127.0.0.1:8000/sample -o "
        f"{data.dataset}.png",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data.dataset}, with noise of every level |",
        f"| network | {_inline(config.network.model_dump(mode='json'))} |",
        *(_text_rows(config.text) if config.role == "clip" else []),
        f"| schedule | {config.schedule.name}, T = {config.schedule.T} |",
        f"| advised | guidance scale {config.guidance_scale:g} |",
        f"| trained on | {steps:,} steps, {rows:,} rows in all, per process; averaged weights |",
        "",
        *([f"![accuracy against noise]({ACCURACY})", ""] if (folder / ACCURACY).is_file() else []),
        *_measured(config.metrics),
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def write_control_card(folder: Path, config: ControlConfig) -> None:
    data, options = config.data, config.recipe.get("optimisation", {})
    steps, rows = options.get("steps", 0), options.get("steps", 0) * options.get("batch_size", 0)
    what = {"canny": "the edges of a picture", "sketch": "a rough drawing"}[config.hint]
    lines = [
        f"# {config.name}",
        "",
        f"{config.recipe.get('description') or config.name}. Given {what}, it makes {config.base.name} follow it.",
        "",
        "```",
        f"""curl --json '{{"dataset": "{data.dataset}", "control": {{"kind": "{config.hint}", "image": "'$(base64 """
        """-w0 drawing.png)'"}}' localhost:8000/sample -o followed.png""",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| beside | {config.base.name}, with the weights {config.base.weights} and no others |",
        f"| network | a copy of the downward half of its UNet, {_inline(config.network.model_dump(mode='json'))} |",
        f"| hint | {config.hint}, {'×'.join(map(str, data.shape[1:]))} |",
        f"| advised | control scale {config.control_scale:g} |",
        f"| trained on | {steps:,} steps, {rows:,} rows in all, per process; averaged weights |",
        "",
        *([f"![hints, and what is made of them]({CONTROL_SHEET})", ""] if (folder / CONTROL_SHEET).is_file() else []),
        *_measured(config.metrics),
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def _text_rows(text: TextConfig) -> list[str]:
    return [
        f"| text encoder | transformer, {text.layers} layers, {text.width} wide; vectors of {text.outputs} numbers |",
        f"| words | {', '.join(text.vocabulary.words)} |",
    ]


def save_accuracy_picture(
    folder: Path, config: ClassifierConfig | ClipConfig, t: np.ndarray, accuracy: np.ndarray
) -> None:
    """How much of the label can be read at each noise level."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4), dpi=100)
    axes.plot(t / config.schedule.T, 100 * accuracy, "o-", color="#084594", linewidth=1.5, markersize=3)
    axes.axhline(100 / len(config.data.labels), color="black", linewidth=0.8, linestyle=":")
    axes.text(0, 100 / len(config.data.labels), "by chance", va="bottom", fontsize=8)
    axes.set(xlabel="t/T", ylabel="read right, %", ylim=(0, 102))
    axes.set_title(f"{config.name}: accuracy against noise", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / ACCURACY, bbox_inches="tight")
    plt.close(figure)


def save_image_sheet(folder: Path, config: Config, images: Tensor) -> None:
    """The first samples of each class, as they came: nothing is picked."""
    classes = max(1, len(config.data.labels))
    per_class = len(images) // classes
    if per_class < SHEET_COLUMNS:
        return
    starts = torch.linspace(0, len(images), classes + 1).long()[:-1] + per_class // 4
    chosen = torch.cat([images[start : start + SHEET_COLUMNS] for start in starts])
    labels = torch.arange(classes).repeat_interleave(SHEET_COLUMNS).numpy()
    save_picture(folder / "samples.png", config.data, chosen, labels)


def save_control_sheet(folder: Path, seen: Followed, drawn: Followed) -> None:
    """Source, hint, what became of it with the label, and without: of the first test images, and of drawings."""
    count = 2 * SHEET_COLUMNS
    every_other = slice(None, None, max(1, len(drawn.hints) // count))
    lines = [
        lines[rows][:count]
        for followed, rows in ((seen, slice(None)), (drawn, every_other))
        for lines in (followed.sources.float(), 255 * followed.hints, followed.labelled, followed.alone)
    ]
    save_image(torch.cat(lines) / 255, folder / CONTROL_SHEET, nrow=len(lines[0]), padding=2, pad_value=0.3)


def save_points_picture(folder: Path, config: Config, points: Tensor, labels: Tensor) -> None:
    """Samples beside real points, coloured by label."""
    real, real_labels = trained_on(config).draw(len(points), torch.Generator().manual_seed(1))
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), dpi=100, sharex=True, sharey=True)
    for panel, title, xy, colour in (
        (axes[0], "real", real, real_labels),
        (axes[1], f"{config.name}, {config.sampling.sampler}", points, labels),
    ):
        panel.scatter(xy[:, 0], xy[:, 1], c=colour, cmap="viridis", s=2, linewidths=0)
        panel.set_title(title, fontsize=10)
        panel.set_aspect("equal")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "points.png", bbox_inches="tight")
    plt.close(figure)


def save_likelihood_picture(folder: Path, config: Config, chains: dict[int, Likelihood]) -> None:
    """Where the bits come from: the terms over t, a panel a chain."""
    figure, panels = plt.subplots(1, len(chains), figsize=(5 * len(chains), 3.6), dpi=100, squeeze=False)
    for panel, (steps, likelihood) in zip(panels[0], chains.items(), strict=True):
        for variance, bits in likelihood.bits.items():
            label = f"{variance}: {bits.mean:.3f} ± {bits.standard_error:.3f}"
            panel.plot(likelihood.timesteps, bits.terms.clamp(min=1e-9), label=label, linewidth=1.2)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("t (log)")
        panel.set_ylabel("bits per dimension")
        panel.set_title(f"{config.name}, {steps} steps", fontsize=10)
        panel.legend(frameon=False, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / LIKELIHOOD, bbox_inches="tight")
    plt.close(figure)


def _measured(metrics: dict) -> list[str]:
    return ["## Measured", "", *_table(metrics), "", *_meanings(metrics)] if metrics else []


def _table(metrics: dict) -> list[str]:
    """One column a measurement: the settings, then the figures."""
    names = list(metrics)
    keys = list(dict.fromkeys(key for name in names for key in metrics[name]))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key in keys:
        lines.append(
            f"| {key.replace('_', ' ')} | " + " | ".join(_cell(metrics[name].get(key)) for name in names) + " |"
        )
    return lines


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _meanings(metrics: dict) -> list[str]:
    present = {key for figures in metrics.values() for key in figures}
    return [f"- **{key.replace('_', ' ')}**: {text}." for key, text in MEANING.items() if key in present]


def _inline(config: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items())
