"""The model card, checkpoints/<name>/README.md: its figures are those of config.json, measured by `evaluate`."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from model.checkpoints.classifier import ClassifierConfig
from model.checkpoints.clip import ClipConfig
from model.checkpoints.config import SamplingConfig, SamplingOverrides
from model.checkpoints.control import ControlConfig
from model.checkpoints.denoiser import DenoiserConfig
from model.samplers import SAMPLERS, samplers_with
from model.text_encoder import TextConfig
from training.metrics.image_metrics import NEIGHBOURS
from training.metrics.judge import JudgeConfig
from training.metrics.point_metrics import DIRECTIONS
from training.metrics.prompt_adherence import FOLLOWED

SAMPLES, LIKELIHOOD = ("samples.png", "points.png"), "likelihood.png"  # of images or points; the bound over t
NEAREST = "nearest.png"  # samples that are nearest to what was trained on, beside it
PICTURES = (*SAMPLES, LIKELIHOOD, NEAREST)
NAMED = 100  # labels or words that a card lists
ACCURACY = "accuracy.png"  # of a classifier, against t
CONTROL_SHEET = "followed.png"  # hints, and what a ControlNet makes of them

MEANING = {
    "compiled": "by compiled networks, whose last bits differ from those of others",
    "test_accuracy": "share of the real images that were held out which are read right",
    "label_accuracy": "share of samples that are what was asked for (images: as the judge reads them; points: by the "
    "nearest real point)",
    "compared": "how many samples, and as many real images, what follows was measured of (energy: of their pixels)",
    "frechet": "Fréchet distance, on the judge's features, between the samples and the real training images",
    "frechet_floor": "the same between as many real test images and the training images",
    "frechet_ratio": "the one over the other: 1 is as near as real images are",
    "precision": f"share of samples that lie among real images ({NEIGHBOURS} nearest neighbours)",
    "recall": "share of real images that lie among the samples",
    "sliced_wasserstein": f"mean 1-Wasserstein distance over {DIRECTIONS} projections, samples against real points",
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
    "bits_learned": "bits per dimension of real data that was not trained on, by the learned variance: the variational "
    "bound, no label given",
    "bits_fixed_small": "bits per dimension of that data by the variance β̃",
    "bits_fixed_large": "bits per dimension of that data by the variance β",
    "standard_error_learned": "of the bits by the learned variance, over the rows",
    "standard_error_fixed_small": "of the bits by β̃, over the rows",
    "standard_error_fixed_large": "of the bits by β, over the rows",
    "digit": "share of held-out prompts whose digit the judge reads",
    "thickness": "share whose strokes are in the asked third of that digit's real images",
    "slant": "the same of the slant",
    "thickness and slant": "share in which both are",
    "all three": "share in which the digit is right besides",
    "among real": f"share of samples that lie among as many real images ({NEIGHBOURS} nearest neighbours)",
    FOLLOWED: "share that shows all three and lies there",
    "all three, new combinations": "share that shows all three among prompts whose combination of the three training "
    "never said",
    "caption recall at 1": "share of held-out images of whose captions, in phrasings that training never used if there "
    "are such, the nearest is true",
    "image recall at 1": "share of such captions that are true of the nearest image",
    "agreement": "F1 of the sample's edges (or strokes) with the hint's, within one pixel",
    "sampler_alone": "the sampler where no label was given with the hint",
    "steps_alone": "its steps",
    "variance_alone": "its variance",
    "guidance_scale_alone": "how strongly the hint itself guided there",
    "agreement_ceiling": "the same of the image that the hint was made from",
    "agreement_floor": "the same of the sample with the hint of another image of its class",
    "agreement_alone": "the agreement where no label was given",
    "label_accuracy_alone": "share of samples that are what the hint was made from, where no label was given (as the "
    "judge reads them)",
    "drawings_alone": "the same of drawings by hand that are not from the data",
    "drawings": "the same of those, with the label given",
    "energy": "energy distance",
    "energy_floor": "the same between two real draws",
    "two_sample_accuracy": "share of points of which a small network, trained to tell samples from real points, says "
    "rightly what they are, cross-validated: 0.5 is by chance",
    "prompt_recall": "share of samples with which, as CLIP sees it, their own prompt goes best of all different ones",
    "prompt_recall_of_real": "the same of real images that were held out, and their own captions",
    "prompt_recall_by_chance": "the same of guessing",
    "nearest_training": "median distance of samples to the nearest row that was trained on (root mean square, as the "
    "network sees them), and the first percentile of it",
    "nearest_training_of_real": "the same of real rows that were held out: samples that are much nearer are copies",
    "nearer_than_real": "share of samples that are nearer to a training row than 99 % of the held-out rows are",
    "nearer_than_real_by_chance": "what is expected of it where nothing is remembered: the fewer rows are held out, "
    "the more",
}


def write_denoiser_card(folder: Path, config: DenoiserConfig) -> None:
    """README.md from the config alone, so that it never says what was not measured."""
    data, sampling, recipe = config.data, config.sampling, config.recipe
    request = {"dataset": data.dataset} | ({"label": data.labels[-1]} if data.labels else {})
    if config.text is not None:
        request["prompt"] = config.text.vocabulary.examples[0]
    started = recipe.get("started_from")
    again = started == config.name
    picture = next((name for name in SAMPLES if (folder / name).is_file()), None)
    lines = [
        f"# {config.name}",
        "",
        f"{recipe.get('description') or config.name}.",
        "",
        *([f"![samples]({picture})", ""] if picture else []),
        "```",
        f"curl --json {_quoted(request)} localhost:8000/sample" + (" -o sample.png" if data.kind == "images" else ""),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data.dataset}: {data.kind} of shape {'×'.join(map(str, data.shape))}"
        + (f", labels {_listed(data.labels)}" if data.labels else "")
        + (f"; {_listed(data.names)}" if data.names else "")
        + " |",
        f"| network | {_inline(config.network.model_dump(mode='json'))} |",
        *(_text_rows(config.text) if config.text is not None else []),
        f"| schedule | {config.schedule.name}, T = {config.schedule.T} |",
        f"| prediction | {config.prediction.target}, "
        f"{'learned' if config.prediction.learned_variance else 'fixed'} variance |",
        _trained_on(config),
        f"| advised | {_sampler(sampling)}, {sampling.steps} steps"
        + (f", guidance scale {sampling.guidance_scale:g}" if config.conditioning else "")
        + (
            f"; {' and '.join(samplers_with('variance'))} with the learned variance"
            if sampling.variance == "learned" and not SAMPLERS[sampling.sampler].takes("variance")
            else ""
        )
        + " |",
        f"| precisions | {', '.join(config.precisions)} |",
        "",
        "The recipe that it was trained by is in `config.json`. "
        + ("It went on from earlier weights of its own, which are not kept, by" if again else "Made again by"),
        f"`python -m training train {config.name}{f' --from {started}' if started else ''}`; measured by",
        f"`python -m training evaluate {config.name}`.",
        "",
    ]
    lines += _measured(config.metrics)
    if config.data.kind == "images" and config.metrics and not any("judge" in of for of in config.metrics.values()):
        lines += ["", _without_judge(config)]
    if (folder / NEAREST).is_file():
        lines += [
            "",
            "The samples that are nearest to an image that was trained on, and that one below each; then the same of "
            "real images that were held out:",
            "",
            f"![samples and their nearest training images]({NEAREST})",
        ]
    if (folder / LIKELIHOOD).is_file():
        lines += ["", f"![where the bits come from]({LIKELIHOOD})"]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def _without_judge(config: DenoiserConfig) -> str:
    """Which figures are not there, and how to get them."""
    dataset, images = config.data.dataset, config.recipe.get("data", {}).get("images")
    init = f"`python -m training init {images} --name {dataset} --role judge` and " if images else ""
    return (
        "There was no judge of such images: label accuracy, Fréchet distance, precision and recall are not measured. "
        f"Where they have classes, make one by {init}`python -m training train {dataset}-judge`, then evaluate again."
    )


def write_judge_card(folder: Path, config: JudgeConfig) -> None:
    lines = [
        f"# {config.name}",
        "",
        f"{config.recipe.get('description') or config.name}. It is not served.",
        "",
        "| | |",
        "|---|---|",
        f"| data | {config.data.dataset}: training images, {_distorted(config)} |",
        f"| network | residual, group norm; {config.width}, {2 * config.width}, {4 * config.width} channels |",
        f"| feature layer | {config.features} wide; Fréchet distances and neighbours are taken there |",
        _trained_on(config),
        "",
        *_measured(config.metrics),
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def _distorted(config: JudgeConfig) -> str:
    by = config.recipe.get("distortion", {})
    names = {"shift": "moved", "rotation": "turned", "scale": "scaled", "shear": "sheared"}
    ways = [name for way, name in names.items() if by.get(way, True)]
    return f"slightly {', '.join(ways)}; never flipped" if ways else "as they are"


def write_guide_card(folder: Path, config: ClassifierConfig | ClipConfig) -> None:
    """Of what steers denoisers: a classifier, or CLIP."""
    data = config.data
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
        f"curl --json {_quoted({'dataset': data.dataset} | request)} http://127.0.0.1:8000/sample -o "
        f"{data.dataset}.png",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| data | {data.dataset}, with noise of every level |",
        f"| network | {_inline(config.network.model_dump(mode='json'))} |",
        *(_text_rows(config.text) if config.role == "clip" else []),
        f"| schedule | {config.schedule.name}, T = {config.schedule.T} |",
        f"| advised | {_advised(config.sampling)}"
        + ("; also where a request names no guidance" if getattr(config, "default_for_prompts", False) else "")
        + " |",
        _trained_on(config),
        "",
        *([f"![accuracy against noise]({ACCURACY})", ""] if (folder / ACCURACY).is_file() else []),
        *_measured(config.metrics),
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def write_control_card(folder: Path, config: ControlConfig) -> None:
    data = config.data
    what = {"canny": "the edges of a picture", "sketch": "a rough drawing"}[config.hint]
    lines = [
        f"# {config.name}",
        "",
        f"{config.recipe.get('description') or config.name}. Given {what}, it makes {config.base.name} follow it.",
        "",
        "```",
        f"""curl --json '{{"dataset": "{data.dataset}", "control": {{"kind": "{config.hint}", "image": "'$(base64 < """
        """drawing.png | tr -d '\\n')'"}}' localhost:8000/sample -o followed.png""",
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| beside | {config.base.name}, with the weights {config.base.weights} and no others |",
        f"| network | a copy of the downward half of its UNet, {_inline(config.network.model_dump(mode='json'))} |",
        f"| hint | {config.hint}, {'×'.join(map(str, data.shape[1:]))} |",
        f"| advised | control scale {config.control_scale:g}; "
        f"without a label {_advised(config.sampling, ' of the hint')} |",
        _trained_on(config),
        "",
        *([f"![hints, and what is made of them]({CONTROL_SHEET})", ""] if (folder / CONTROL_SHEET).is_file() else []),
        *_measured(config.metrics),
    ]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def _sampler(sampling: SamplingConfig) -> str:
    of = {"learned": "the learned variance", "fixed-small": "the variance β̃", "fixed-large": "the variance β"}
    return sampling.sampler + (f" with {of[sampling.variance]}" if SAMPLERS[sampling.sampler].takes("variance") else "")


def _advised(advice: SamplingOverrides, of: str = "") -> str:
    told = [f"guidance scale {advice.guidance_scale:g}{of}"]
    told += [f"the sampler {advice.sampler}"] if advice.sampler else []
    told += [f"{advice.steps} steps"] if advice.steps else []
    return ", ".join(told)


def _trained_on(config: DenoiserConfig | JudgeConfig | ClassifierConfig | ClipConfig | ControlConfig) -> str:
    options, started = config.recipe.get("optimisation", {}), config.recipe.get("started_from")
    steps, rows = options.get("steps", 0), options.get("steps", 0) * options.get("batch_size", 0)
    whose = "earlier weights of its own" if started == config.name else f"the weights of {started}"
    begun = f", from {whose}" if started else ""
    return f"| trained on | {steps:,} steps, {rows:,} rows in all, per process{begun}; averaged weights |"


def _text_rows(text: TextConfig) -> list[str]:
    return [
        f"| text encoder | transformer, {text.layers} layers, {text.width} wide; vectors of {text.outputs} numbers |",
        f"| words | {_listed(text.vocabulary.words)} |",
    ]


def _quoted(request: dict) -> str:
    """As an argument of a shell, whatever the labels are called."""
    return shlex.quote(json.dumps(request, ensure_ascii=False))


def _listed(names: Sequence[str]) -> str:
    """In a cell of a table, at most NAMED of them."""
    shown = ", ".join(name.replace("|", "\\|") for name in names[:NAMED])
    return shown + (f" … ({len(names):,} in all)" if len(names) > NAMED else "")


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
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _meanings(metrics: dict) -> list[str]:
    present = {key for column in metrics.values() for key in column}
    return [f"- **{key.replace('_', ' ')}**: {text}." for key, text in MEANING.items() if key in present]


def _inline(config: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items())
