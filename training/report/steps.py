"""What do steps buy? Every sampler at every step count, and the settings that follow."""

from training.pictures import plt
from training.report import grid, sample_sheets
from training.report.pipeline import Library, Subject
from training.report.section import (
    IMAGE_COLUMNS,
    POINT_COLUMNS,
    Chapter,
    Desk,
    Wanted,
    plain_ticks,
    settings,
    table,
)

COLOURS = {
    "ddpm, fixed-small": "#9ecae1",
    "ddpm, fixed-large": "#4292c6",
    "ddpm, learned": "#084594",
    "renoise": "#bdbdbd",
    "ddim": "#e6550d",
    "dpmpp-2m": "#31a354",
}


def wants(library: Library) -> Wanted:
    found = []
    for subject in library.plain():
        config = subject.checkpoint.config
        found.append((subject, list(dict.fromkeys([*grid.by_steps(config), *grid.headline(config)]))))
    return found


def tells(desk: Desk) -> list[str]:
    lines = ["## Steps", ""]
    for subject in desk.library.plain():
        lines += _section(desk, subject)
    return lines


def _section(desk: Desk, subject: Subject) -> list[str]:
    config, measured = subject.checkpoint.config, desk.measured(subject)
    lines = [f"### {config.name}", ""]
    if best := grid.cheapest(config, measured):
        lines += [
            f"Advised: **{best.method}, {best.steps} steps**: of the cells of {grid.SAMPLES:,} samples the fewest "
            f"steps within {grid.WITHIN:.0%} of the best"
            + (", or of real points where the best is nearer than that" if config.data.kind == "points" else "")
            + (f", at guidance scale {config.sampling.guidance_scale:g}" if config.reads else "")
            + ".",
            "",
        ]
    if len({cell.steps for cell in desk.known(subject, grid.by_steps(config))}) > 1:
        lines += [desk.plot(_against_steps(subject, measured), f"{config.name}-steps.png"), ""]
    if subject.asked != "prompts":  # whose pictures are in a chapter of their own
        for told, (name, draw) in sample_sheets.of_steps(subject, desk.device).items():
            lines += [told, "", desk.sheet(subject, name, draw), ""]
    for title, cells in (
        (f"{grid.HEADLINE_SAMPLES:,} samples", grid.headline(config)),
        ("Sampler × steps", grid.by_steps(config)),
    ):
        rows = [
            (settings(cell, scaled=config.reads is not None), measured[cell]) for cell in desk.known(subject, cells)
        ]
        if rows:
            lines += [f"**{title}**", "", *table(rows, POINT_COLUMNS if subject.asked == "points" else IMAGE_COLUMNS)]
    return lines


def _against_steps(subject: Subject, measured: grid.Measured):
    config = subject.checkpoint.config
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=110)
    known = {cell: grid.quality(measured[cell]) for cell in grid.by_steps(config) if cell in measured}
    lines: dict[str, list[tuple[int, float]]] = {}
    for cell, value in known.items():
        if cell.samples == grid.SAMPLES:
            lines.setdefault(cell.method, []).append((cell.steps, value))
        else:  # not joined to the others: the floor of fewer samples is higher
            axes.plot(cell.steps, value, "o", color=COLOURS[cell.method], markersize=4, markerfacecolor="none")
    for method, points in lines.items():
        steps, values = zip(*sorted(points), strict=True)
        axes.plot(steps, values, "o-", color=COLOURS[method], label=method, linewidth=1.8, markersize=4)
    if any(cell.samples < grid.SAMPLES for cell in known):
        hollow = dict(color="grey", markersize=4, markerfacecolor="none")
        axes.plot([], [], "o", label=f"of {grid.FULL_CHAIN_SAMPLES:,} samples", **hollow)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.text(0.01, 1.02, "real data", va="bottom", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    ticks = sorted({cell.steps for cell in known})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("steps")
    axes.set_ylabel("sliced Wasserstein ÷ real" if subject.asked == "points" else "Fréchet distance ÷ floor")
    axes.set_title(f"{config.name}: quality against steps", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    return figure


CHAPTER = Chapter("steps", wants, tells)
