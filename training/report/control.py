"""Are hints followed? Edges and strokes of what was drawn, against those that were asked for."""

from training.pictures import plt
from training.report import grid, sheets
from training.report.chapter import Chapter, Column, Desk, Wanted, share, table
from training.report.grid import Cell
from training.report.subject import Library, Subject

COLUMNS: tuple[Column, ...] = (
    ("agreement", lambda f: f"**{f['agreement']:.3f}**"),
    ("with another's hint", lambda f: f"{f['agreement_floor']:.3f}"),
    ("real image", lambda f: f"{f['agreement_ceiling']:.3f}"),
    share("label accuracy", "label_accuracy"),
    ("agreement, no label", lambda f: f"{f['agreement_alone']:.3f}"),
    share("accuracy, no label", "label_accuracy_alone"),
)


def wants(library: Library) -> Wanted:
    return [(subject, grid.by_control_scale(subject.checkpoint.config)) for subject in library.following()]


def tells(desk: Desk) -> list[str]:
    lines = []
    for subject, cells in wants(desk.library):
        measured = desk.measured(subject)
        rows = [({"control scale": f"{cell.control_scale:g}", "samples": f"{cell.samples:,}"}, measured[cell])
                for cell in cells if cell in measured]  # fmt: skip
        if not rows:
            continue
        name = subject.control.name
        lines += [f"### {name}", "", desk.plot(_against_scale(desk, subject, cells), f"{name}-scale.png"), ""]
        lines += table(rows, COLUMNS)
        for text, (file, draw) in sheets.of_hints(subject, desk.device).items():
            lines += [text, "", desk.sheet(subject, file, draw), ""]
    if not lines:
        return []
    told = (
        "Hints of real test images, given with their label and with none. *Agreement*: F1 of the edges of what was "
        "drawn with the hint, within one pixel (for a sketch, whose lines have no edges of their own, of the "
        "strokes); *real image*: of the image that the hint is from, the ceiling; *with another's hint*: of what "
        "was drawn with the hint of another image of its class, the lower bound."
    )
    return ["## Hints", "", told, "", *lines]


def _against_scale(desk: Desk, subject: Subject, cells: list[Cell]):
    measured = {cell.control_scale: desk.measured(subject)[cell] for cell in cells if cell in desk.measured(subject)}
    figure, axes = plt.subplots(figsize=(7, 4), dpi=110)
    for key, label, style in (
        ("agreement", "agreement with the hint", "o-"),
        ("agreement_floor", "… with another's of the class", "o:"),
        ("label_accuracy", "label accuracy", "s-"),
        ("label_accuracy_alone", "label accuracy, no label given", "s--"),
    ):
        axes.plot(
            list(measured), [of[key] for of in measured.values()], style, label=label, linewidth=1.6, markersize=4
        )
    axes.set(xlabel="control scale", ylim=(0, 1.02), title=subject.control.name)
    axes.legend(frameon=False, fontsize=8)
    return figure


CHAPTER = Chapter("control", wants, tells)
