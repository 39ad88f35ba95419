"""Are hints followed? Edges and strokes of what was drawn, against those that were asked for."""

from matplotlib.figure import Figure

from training.plotting import plt
from training.report import grid, sample_sheets
from training.report.grid import Setting
from training.report.pipeline import Checkpoints, HintedPipeline
from training.report.section import Column, ReportWriter, Section, WantedSettings, share, table

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
        lines += table([(_settings(setting), measured[setting]) for setting in [*scales, *guidances]], COLUMNS)
        for text, (file, draw) in sample_sheets.of_hints(pipeline, writer.device).items():
            lines += [text, "", writer.sheet(pipeline, file, draw), ""]
    if not lines:
        return []
    _, steps = grid.SCALES_AT
    told = (
        f"Hints of real test images, given with their label and alone, {steps} steps. *Agreement*: F1 of the edges of "
        "what was drawn with the hint, within one pixel (for a sketch, whose lines have no edges of their own, of the "
        "strokes); *real image*: of the image that the hint is from, the ceiling; *with another's hint*: of what was "
        "drawn with the hint of another image of its class, the lower bound. *Guidance scale* is of the label; where "
        "the hint is alone, of the hint: from what is drawn without it towards what is drawn with it, and beyond. "
        "Alone at control scale 0 nothing is given, and labels are right by chance."
    )
    return ["## Hints", "", told, "", *lines]


def _by_scale(pipeline: HintedPipeline) -> list[Setting]:
    return grid.by_control_scale(pipeline.checkpoint.config, pipeline.control.config)


def _by_guidance(pipeline: HintedPipeline) -> list[Setting]:
    """But for the one that stands among the control scales."""
    settings = grid.by_hint_guidance(pipeline.checkpoint.config, pipeline.control.config)
    return [setting for setting in settings if setting not in _by_scale(pipeline)]


def _settings(setting: Setting) -> dict[str, str]:
    return {
        "given": "the hint alone" if setting.alone else "hint and label",
        "sampler": setting.method,
        "steps": f"{setting.steps:,}",
        "control scale": f"{setting.control_scale:g}",
        "guidance scale": f"{setting.guidance_scale:g}",
        "samples": f"{setting.samples:,}",
    }


def _plotted(writer: ReportWriter, pipeline: HintedPipeline, scales: list[Setting], guidances: list[Setting]) -> Figure:
    measured, control = writer.measured(pipeline), pipeline.control.config
    advised = [c for c in scales if c.alone and c.control_scale == control.control_scale]
    sampler = control.sampling.applied_to(pipeline.checkpoint.config.sampling).sampler
    of_advised = [c for c in guidances if c.sampler == sampler]
    along = sorted([*of_advised, *advised], key=lambda setting: setting.guidance_scale)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), dpi=110, sharey=True)
    for panel, settings, x, styles in (
        (panels[0], [c for c in scales if not c.alone], "control_scale", ("o-", "o:", "s-", ", with the label")),
        (panels[0], [c for c in scales if c.alone], "control_scale", ("o--", None, "s--", ", alone")),
        (panels[1], along, "guidance_scale", ("o--", "o:", "s--", ", alone")),
    ):
        of_agreement, of_floor, of_label, given = styles
        for key, label, style in (
            ("agreement", f"agreement{given}", of_agreement),
            ("agreement_floor", "… with another's hint", of_floor),
            ("label_accuracy", f"label accuracy{given}", of_label),
        ):
            if style is not None and all(key in measured[setting] for setting in settings):
                at, of = [getattr(setting, x) for setting in settings], [measured[setting][key] for setting in settings]
                panel.plot(at, of, style, label=label, linewidth=1.6, markersize=4)
    panels[0].set(xlabel="control scale", ylim=(0, 1.02), title=pipeline.control.name)
    panels[1].set(xlabel="guidance scale of the hint, alone")
    for panel in panels:
        panel.legend(frameon=False, fontsize=8)
    return figure


SECTION = Section("control", wanted_settings, markdown)
