"""Are hints followed? Edges and strokes of what was drawn, against those that were asked for."""

from training.pictures import plt
from training.report import grid, sample_sheets
from training.report.grid import Cell
from training.report.pipeline import Library, Subject
from training.report.section import Chapter, Column, Desk, Wanted, share, table

COLUMNS: tuple[Column, ...] = (
    ("agreement", lambda f: f"**{f['agreement']:.3f}**"),
    ("with another's hint", lambda f: f"{f['agreement_floor']:.3f}"),
    ("real image", lambda f: f"{f['agreement_ceiling']:.3f}"),
    share("label accuracy", "label_accuracy"),
)


def wants(library: Library) -> Wanted:
    return [(subject, [*_by_scale(subject), *_by_guidance(subject)]) for subject in library.following()]


def tells(desk: Desk) -> list[str]:
    lines = []
    for subject in desk.library.following():
        measured = desk.measured(subject)
        scales, guidances = desk.known(subject, _by_scale(subject)), desk.known(subject, _by_guidance(subject))
        if not scales:
            continue
        name = subject.control.name
        lines += [f"### {name}", "", desk.plot(_plotted(desk, subject, scales, guidances), f"{name}-scale.png"), ""]
        lines += table([(_settings(cell), measured[cell]) for cell in [*scales, *guidances]], COLUMNS)
        for text, (file, draw) in sample_sheets.of_hints(subject, desk.device).items():
            lines += [text, "", desk.sheet(subject, file, draw), ""]
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


def _by_scale(subject: Subject) -> list[Cell]:
    return grid.by_control_scale(subject.checkpoint.config, subject.control.config)


def _by_guidance(subject: Subject) -> list[Cell]:
    """But for the one that stands among the control scales."""
    cells = grid.by_hint_guidance(subject.checkpoint.config, subject.control.config)
    return [cell for cell in cells if cell not in _by_scale(subject)]


def _settings(cell: Cell) -> dict[str, str]:
    return {
        "given": "the hint alone" if cell.alone else "hint and label",
        "sampler": cell.method,
        "steps": f"{cell.steps:,}",
        "control scale": f"{cell.control_scale:g}",
        "guidance scale": f"{cell.guidance_scale:g}",
        "samples": f"{cell.samples:,}",
    }


def _plotted(desk: Desk, subject: Subject, scales: list[Cell], guidances: list[Cell]):
    measured, control = desk.measured(subject), subject.control.config
    advised = [c for c in scales if c.alone and c.control_scale == control.control_scale]
    sampler = control.sampling.over(subject.checkpoint.config.sampling).sampler
    of_advised = [c for c in guidances if c.sampler == sampler]
    along = sorted([*of_advised, *advised], key=lambda cell: cell.guidance_scale)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), dpi=110, sharey=True)
    for panel, cells, x, styles in (
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
            if style is not None and all(key in measured[cell] for cell in cells):
                at, of = [getattr(cell, x) for cell in cells], [measured[cell][key] for cell in cells]
                panel.plot(at, of, style, label=label, linewidth=1.6, markersize=4)
    panels[0].set(xlabel="control scale", ylim=(0, 1.02), title=subject.control.name)
    panels[1].set(xlabel="guidance scale of the hint, alone")
    for panel in panels:
        panel.legend(frameon=False, fontsize=8)
    return figure


CHAPTER = Chapter("control", wants, tells)
