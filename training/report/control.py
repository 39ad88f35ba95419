"""The section on hints: edges and strokes of samples, compared with their hints."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from training.plotting import plt
from training.report import grid, sample_sheets
from training.report.grid import Setting
from training.report.pipeline import Checkpoints, HintedPipeline
from training.report.section import (
    Column,
    ReportWriter,
    Section,
    WantedSettings,
    described_samples,
    described_scale,
    share,
    table,
)

COLUMNS: tuple[Column, ...] = (
    ("agreement", lambda f: f"**{f['agreement']:.3f}**"),
    ("with another's hint", lambda f: f"{f['agreement_floor']:.3f}"),
    ("real image", lambda f: f"{f['agreement_ceiling']:.3f}"),
    share("label accuracy", "label_accuracy"),
)


def wanted_settings(library: Checkpoints) -> WantedSettings:
    return [(pipeline, [*_by_scale(pipeline), *_by_guidance(pipeline)]) for pipeline in library.hinted()]


def markdown(writer: ReportWriter) -> list[str]:
    lines = []
    for pipeline in writer.library.hinted():
        measured = writer.measured(pipeline)
        scales, guidances = writer.known(pipeline, _by_scale(pipeline)), writer.known(pipeline, _by_guidance(pipeline))
        if not scales:
            continue
        name = pipeline.control.name
        lines += [
            f"### {name}",
            "",
            writer.plot(_plotted(writer, pipeline, scales, guidances), f"{name}-scale.png"),
            "",
        ]
        lines += table(
            [(_settings(setting, measured[setting]), measured[setting]) for setting in [*scales, *guidances]], COLUMNS
        )
        for text, (file, draw) in sample_sheets.of_hints(pipeline, writer.device).items():
            lines += [text, "", writer.sheet(pipeline, file, draw), ""]
    if not lines:
        return []
    _, steps = grid.SCALES_AT
    explanation = (
        f"Hints come from real test images. They are given with the image's label and alone, in {steps} steps. "
        "*Agreement* is the F1 score between the hint and the edges of the sample, within one pixel. For a sketch it "
        "compares strokes, because lines have no edges of their own. *Real image* is the agreement of the hint's own "
        "image: the ceiling. *With another's hint* compares with the hint of another image of the class: the "
        "lower bound. The *guidance scale* applies to the label, or to the hint if the hint is alone. A hint alone at "
        "control scale 0 gives the model nothing, so labels are right by chance."
    )
    return ["## Hints", "", explanation, "", *lines]


def _by_scale(pipeline: HintedPipeline) -> list[Setting]:
    return grid.by_control_scale(pipeline.checkpoint.config, pipeline.control.config)


def _by_guidance(pipeline: HintedPipeline) -> list[Setting]:
    """Settings along the guidance scale, except the one that stands among the control scales."""
    settings = grid.by_hint_guidance(pipeline.checkpoint.config, pipeline.control.config)
    return [setting for setting in settings if setting not in _by_scale(pipeline)]


def _settings(setting: Setting, metrics: Mapping[str, Any]) -> dict[str, str]:
    return {
        "given": "the hint alone" if setting.alone else "hint and label",
        "sampler": setting.method,
        "steps": f"{setting.steps:,}",
        "control scale": f"{setting.control_scale:g}",
        "guidance scale": described_scale(setting),
        "samples": described_samples(metrics),
    }


def _plotted(writer: ReportWriter, pipeline: HintedPipeline, scales: list[Setting], guidances: list[Setting]) -> Figure:
    measured, control = writer.measured(pipeline), pipeline.control.config
    advised = [c for c in scales if c.alone and c.control_scale == control.control_scale]
    sampler = control.sampling.applied_to(pipeline.checkpoint.config.sampling).sampler
    with_sampler = [c for c in guidances if c.sampler == sampler]
    along = sorted([*with_sampler, *advised], key=lambda setting: setting.guidance_scale)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), dpi=110, sharey=True)
    for panel, settings, x, styles in (
        (panels[0], [c for c in scales if not c.alone], "control_scale", ("o-", "o:", "s-", ", with the label")),
        (panels[0], [c for c in scales if c.alone], "control_scale", ("o--", None, "s--", ", alone")),
        (panels[1], along, "guidance_scale", ("o--", "o:", "s--", ", alone")),
    ):
        agreement_style, floor_style, label_style, suffix = styles
        for key, label, style in (
            ("agreement", f"agreement{suffix}", agreement_style),
            ("agreement_floor", "… with another's hint", floor_style),
            ("label_accuracy", f"label accuracy{suffix}", label_style),
        ):
            if style is not None and all(key in measured[setting] for setting in settings):
                xs = [getattr(setting, x) for setting in settings]
                ys = [measured[setting][key] for setting in settings]
                panel.plot(xs, ys, style, label=label, linewidth=1.6, markersize=4)
    panels[0].set(xlabel="control scale", ylim=(0, 1.02), title=pipeline.control.name)
    panels[1].set(xlabel="guidance scale of the hint, alone")
    for panel in panels:
        panel.legend(frameon=False, fontsize=8)
    return figure


SECTION = Section("control", wanted_settings, markdown)
