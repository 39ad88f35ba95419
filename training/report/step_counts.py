"""What do steps buy? Every sampler at every step count, and the settings that follow."""

import math
from functools import partial
from pathlib import Path

import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from model.checkpoints.denoiser import DenoiserConfig
from model.sampler_spec import Variance
from model.samplers import SAMPLERS
from training.card.pictures import WORST
from training.data import trained_on
from training.evaluate import farthest_samples
from training.evaluate.sampling_run import SamplingRun
from training.metrics.image_reference import ImageReference
from training.plotting import plt
from training.report import grid, sample_formation
from training.report.pipeline import Checkpoints, Pipeline
from training.report.section import (
    IMAGE_COLUMNS,
    POINT_COLUMNS,
    ReportWriter,
    Section,
    WantedSettings,
    described,
    plain_ticks,
    table,
)

_WITHIN_AN_INTERVAL = (
    "The card advises guidance within an interval of noise levels, which the section on guidance compares. Guided at "
    "every step, this would be advised"
)

TINTS: dict[Variance, float] = {"fixed-small": 0.6, "fixed-large": 0.3, "learned": 0.0}
"""How much white is in the line of a sampler with this variance, so that its lines differ."""


def wanted_settings(library: Checkpoints) -> WantedSettings:
    found = []
    for pipeline in library.plain():
        config = pipeline.checkpoint.config
        found.append((pipeline, list(dict.fromkeys([*grid.by_steps(config), *grid.headline(config)]))))
    return found


def markdown(writer: ReportWriter) -> list[str]:
    lines = ["## Steps", ""]
    for pipeline in writer.library.plain():
        lines += _section(writer, pipeline)
    return lines


def _section(writer: ReportWriter, pipeline: Pipeline) -> list[str]:
    config, measured = pipeline.checkpoint.config, writer.measured(pipeline)
    lines = [f"### {config.name}", ""]
    if best := grid.cheapest(config, measured):
        follows = "Advised" if config.sampling.guidance_interval is None else _WITHIN_AN_INTERVAL
        lines += [
            f"{follows}: **{best.method}, {best.steps} steps**: the fewest network evaluations, "
            f"of the settings with {grid.SAMPLES:,} samples, within {grid.WITHIN:.0%} of the best"
            + (
                f", or of real points where the best is nearer than that, and within {100 * grid.PRECISION_WITHIN:g} % "
                "of the best precision, with as few samples far off the data's curve, if it has one"
                if config.data.kind == "points"
                else ""
            )
            + (f", at guidance scale {best.guidance_scale:g}" if config.conditioning else "")
            + ".",
            "",
        ]
    if len({setting.steps for setting in _with_a_quality(config, measured)}) > 1:
        lines += [writer.plot(_against_steps(pipeline, measured), f"{config.name}-steps.png"), ""]
    if pipeline.asked != "prompts":  # whose pictures are in a section of their own
        for told, (name, draw) in sample_formation.of_steps(pipeline, writer.device).items():
            lines += [told, "", writer.sheet(pipeline, name, draw), ""]
    if pipeline.asked == "points":
        lines += [
            f"Of {farthest_samples.SAMPLES['points']:,} samples as advised, the {WORST} that are farthest from "
            "real points:",
            "",
            writer.sheet(pipeline, pipeline.picture("farthest"), partial(_draw_farthest, pipeline, writer.device)),
            "",
        ]
    for title, settings in (
        (f"{grid.HEADLINE_SAMPLES:,} samples", grid.headline(config)),
        ("Sampler × steps", grid.by_steps(config)),
    ):
        rows = [
            (described(setting, measured[setting], scaled=config.conditioning is not None), measured[setting])
            for setting in writer.known(pipeline, settings)
        ]
        if rows:
            lines += [f"**{title}**", "", *table(rows, POINT_COLUMNS if pipeline.asked == "points" else IMAGE_COLUMNS)]
    return lines


def _draw_farthest(pipeline: Pipeline, device: torch.device, path: Path) -> None:
    reference = ImageReference(trained_on(pipeline.checkpoint.config), None)
    farthest_samples.draw_farthest(pipeline.checkpoint, reference, SamplingRun(device), path)


def colour(setting: grid.Setting) -> str:
    """The colour of a setting's line: its sampler's, tinted by the variance where the sampler takes one."""
    spec = SAMPLERS[setting.sampler]
    tint = TINTS[setting.variance] if spec.takes("variance") else 0.0
    red, green, blue = ((1 - tint) * part + tint for part in to_rgb(spec.colour))
    return to_hex((red, green, blue))


def _with_a_quality(config: DenoiserConfig, measured: grid.Measured) -> dict[grid.Setting, float]:
    """What can be drawn."""
    known = {setting: grid.quality(measured[setting]) for setting in grid.by_steps(config) if setting in measured}
    return {setting: value for setting, value in known.items() if math.isfinite(value)}


def _against_steps(pipeline: Pipeline, measured: grid.Measured) -> Figure:
    config = pipeline.checkpoint.config
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=110)
    known = _with_a_quality(config, measured)
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for setting, value in known.items():
        if setting.samples == grid.SAMPLES:
            lines.setdefault((setting.method, colour(setting)), []).append((setting.evaluations, value))
        else:  # not joined to the others: the floor of fewer samples is higher
            shade = colour(setting)
            axes.plot(setting.evaluations, value, "o", color=shade, markersize=4, markerfacecolor="none")
    for (method, shade), points in lines.items():
        evaluations, values = zip(*sorted(points), strict=True)
        axes.plot(evaluations, values, "o-", color=shade, label=method, linewidth=1.8, markersize=4)
    if any(setting.samples < grid.SAMPLES for setting in known):
        label = f"of {grid.FULL_CHAIN_SAMPLES:,} samples"
        axes.plot([], [], "o", label=label, color="grey", markersize=4, markerfacecolor="none")
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.text(0.01, 1.02, "real data", va="bottom", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    ticks = sorted({setting.evaluations for setting in known})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("network evaluations a sample")
    axes.set_ylabel("sliced Wasserstein ÷ real" if pipeline.asked == "points" else "Fréchet distance ÷ floor")
    axes.set_title(f"{config.name}: quality against steps", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    return figure


SECTION = Section("steps", wanted_settings, markdown)
