"""What does guidance buy? Fidelity against diversity along the scale, classifier-free and by a classifier."""

from itertools import cycle

from training.pictures import plt
from training.report import grid, sample_sheets, score_fields
from training.report.grid import Cell
from training.report.pipeline import Library, Subject
from training.report.section import IMAGE_COLUMNS, Chapter, Desk, Wanted, plain_ticks, settings, table


def wants(library: Library) -> Wanted:
    pictured = [(subject, []) for subject in _in_the_plane(library)]
    return [(subject, cells) for subject, cells, _ in _ways(library)] + pictured


def _ways(library: Library) -> list[tuple[Subject, list[Cell], str]]:
    """(who is guided, along which scales, what that is called), for images; of points there are pictures."""
    found = []
    for subject in library.plain():
        config = subject.checkpoint.config
        if subject.asked == "labels" and config.reads == "label":
            cells = grid.by_scale(config, grid.SCALES, config.sampling.guidance_scale)
            found.append((subject, cells, f"{config.name}, classifier-free"))
    for subject in library.steered():
        if subject.asked == "labels":
            config, advice = subject.checkpoint.config, subject.guide.advice
            cells = grid.by_scale(config, grid.GRADIENT_SCALES, advice.guidance_scale)
            if config.reads is None:  # DN21 steer an unconditional one, by ancestral sampling
                cells += grid.by_scale_with_noise(config, grid.GRADIENT_SCALES, advice.guidance_scale)
            found.append((subject, [*cells, grid.as_advised(advice.over(config.sampling))], subject.title))
    return found


def _in_the_plane(library: Library) -> list[Subject]:
    """Unconditional denoisers of points, with the classifier that steers them: both of their arrows can be drawn."""
    return [
        subject
        for subject in library.steered()
        if subject.asked == "points"
        and subject.checkpoint.config.reads is None
        and len(subject.checkpoint.config.data.columns) == 2
    ]


def tells(desk: Desk) -> list[str]:
    lines = []
    ways = [(subject, desk.known(subject, cells), title) for subject, cells, title in _ways(desk.library)]
    ways = [way for way in ways if way[1]]
    if ways:
        sampler, steps = grid.SCALES_AT
        lines += [
            f"Along the scale, {steps} steps, by {sampler} unless it says otherwise. The scales that cards advise are "
            "chosen by hand, between being right and covering what there is. Where every sample was read right, half a "
            "one is drawn as misread, since a logarithm has no place for none. Hollow is what no label was asked of: "
            "its floor is another.",
            "",
            desk.plot(_trade_off(desk, ways), "guidance.png"),
            "",
        ]
    for subject, cells, title in ways:
        rows = [(settings(cell, scaled=True), desk.measured(subject)[cell]) for cell in cells]
        lines += [f"### {title}", "", *table(rows, IMAGE_COLUMNS)]
        if subject.guide is not None:
            name, draw = sample_sheets.of_scales(subject, desk.device)
            lines += [f"The same seeds at the scales {', '.join(f'{s:g}' for s in sample_sheets.SCALES)}:", ""]
            lines += [desk.sheet(subject, name, draw), ""]
    for subject in _in_the_plane(desk.library):
        name, draw = score_fields.of_points(subject, desk.device)
        lines += [f"### {subject.title}", "", score_fields.TOLD, "", desk.sheet(subject, name, draw), ""]
    return ["## Guidance", "", *lines] if lines else []


def _trade_off(desk: Desk, ways: list[tuple[Subject, list[Cell], str]]):
    """As DN21 figure 4, a line for each way of guiding and each sampler."""
    figure, (trade_off, distance) = plt.subplots(1, 2, figsize=(11, 4.2), dpi=110)
    lines, colours = [], plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for subject, cells, title in ways:
        along = [cell for cell in cells if cell.samples < grid.HEADLINE_SAMPLES]
        for method in dict.fromkeys(cell.method for cell in along):
            called = title if method == grid.SCALES_AT[0] else f"{title}, {method}"
            lines.append((subject, [cell for cell in along if cell.method == method], called))
    for number, ((subject, cells, title), colour) in enumerate(zip(lines, cycle(colours), strict=False)):
        measured = {cell: desk.measured(subject)[cell] for cell in cells}
        asked = {cell: of for cell, of in measured.items() if "label_accuracy" in of}
        unasked = {cell: of for cell, of in measured.items() if cell not in asked}
        recall = [of["recall"] for of in asked.values()]
        misread = [100 * max(1 - of["label_accuracy"], 0.5 / of["samples"]) for of in asked.values()]
        trade_off.plot(recall, misread, "o-", color=colour, linewidth=1.6, markersize=4, label=title)
        for cell, x, y in zip(asked, recall, misread, strict=True):
            place = (4, 4) if number % 2 == 0 else (-4, -9)  # where two lines meet, both can be read
            offset = dict(textcoords="offset points", xytext=place, fontsize=7, color=colour)
            trade_off.annotate(f"{cell.guidance_scale:g}", (x, y), **offset)
        for of, style in ((asked, dict(linestyle="-")), (unasked, dict(linestyle="", markerfacecolor="none"))):
            scales, ratios = [cell.guidance_scale for cell in of], [found["frechet_ratio"] for found in of.values()]
            distance.plot(scales, ratios, marker="o", color=colour, linewidth=1.6, markersize=4, **style)
    trade_off.set(xlabel="recall: how much of the real data is covered", ylabel="misread by the judge, %", yscale="log")
    trade_off.invert_yaxis()  # up is better, as along the recall
    trade_off.legend(frameon=False, fontsize=8, loc="lower left")
    distance.set(xlabel="guidance scale", ylabel="Fréchet distance ÷ floor", yscale="log")
    for axes in (trade_off, distance):
        plain_ticks(axes.yaxis)
    figure.suptitle("fidelity against diversity along the guidance scale", fontsize=11)
    return figure


CHAPTER = Chapter("guidance", wants, tells)
