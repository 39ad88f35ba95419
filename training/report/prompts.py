"""Are words followed? The digit as the judge reads it, thickness and slant as morphometry measures them."""

from training.metrics.prompt_adherence import FOLLOWED
from training.pictures import plt
from training.report import grid, sample_sheets
from training.report.grid import Cell
from training.report.pipeline import Library, Subject
from training.report.section import PROMPT_COLUMNS, SHOWN, Chapter, Desk, Wanted, settings, table


def wants(library: Library) -> Wanted:
    found = []
    for subject in _subjects(library):
        config, guide = subject.checkpoint.config, subject.guide
        scales = (grid.SCALES, config.sampling.guidance_scale) if guide is None else (
            grid.GRADIENT_SCALES, guide.advice.guidance_scale)  # fmt: skip
        found.append((subject, [*grid.by_scale(config, *scales), *grid.by_scale_with_noise(config, *scales)]))
    return found


def _subjects(library: Library) -> list[Subject]:
    """The denoisers that read words first: a request's default."""
    return [subject for subject in (*library.plain(), *library.steered()) if subject.traits_are_measured]


def tells(desk: Desk) -> list[str]:
    known = [(subject, desk.known(subject, cells)) for subject, cells in wants(desk.library)]
    known = [(subject, cells) for subject, cells in known if cells]
    if not known:
        return []
    _, steps = grid.SCALES_AT
    lines = [
        "## Prompts",
        "",
        f"Held-out prompts along the guidance scale, {steps} steps: the share that is followed. "
        "*Thickness*, *slant*: in the third of that digit's real images that was asked for. *All three*: these and the "
        "digit; *of new combinations*: where training never said those three of an image. *Among real*: precision, as "
        "above.",
        "",
        _verdict(desk, known),
        "",
        desk.plot(_against_scale(desk, known), "prompts.png"),
        "",
    ]
    for subject, cells in known:
        rows = [(settings(cell, scaled=True), desk.measured(subject)[cell]) for cell in cells]
        lines += [f"### {subject.title}", "", *table(rows, PROMPT_COLUMNS)]
        name, prompts, draw = sample_sheets.of_prompts(subject, desk.device)
        lines += [f"A line each: {'; '.join(prompts)}.", "", desk.sheet(subject, name, draw), ""]
        if subject.guide is not None:
            name, draw = sample_sheets.of_captions(subject, desk.device)
            lines += ["Images, and the captions that CLIP finds nearest:", "", desk.sheet(subject, name, draw), ""]
    return lines


def _verdict(desk: Desk, known: list[tuple[Subject, list[Cell]]]) -> str:
    """The best settings of each way, the best way first."""
    told = []
    for subject, cells in known:
        whole = {cell: desk.measured(subject)[cell][FOLLOWED] for cell in cells}
        best = max(whole, key=whole.get)
        by = f"by {best.method} at scale {best.guidance_scale:g} ({100 * whole[best]:.1f} %)"
        told.append((whole[best], f"**{subject.title}** {by}"))
    told.sort(key=lambda one: -one[0])
    ways = ", then with ".join(text for _, text in told)
    return (
        f"The share of images that show all three and lie among real ones is largest with {ways}. It does not see "
        "whether they vary as real ones do: the scales that cards advise are chosen by hand, not by it alone."
    )


def _against_scale(desk: Desk, known: list[tuple[Subject, list[Cell]]]):
    """A panel for each way and sampler."""
    shown = [(subject, [cell for cell in cells if cell.method == method])
             for subject, cells in known for method in dict.fromkeys(cell.method for cell in cells)]  # fmt: skip
    figure, panels = plt.subplots(1, len(shown), figsize=(4 * len(shown), 4), dpi=110, sharey=True, squeeze=False)
    for panel, (subject, cells) in zip(panels[0], shown, strict=True):
        scales = [cell.guidance_scale for cell in cells]
        for trait in (*SHOWN, FOLLOWED):
            shares = [100 * desk.measured(subject)[cell][trait] for cell in cells]
            style = dict(color="black", linewidth=2.2) if trait == FOLLOWED else dict(linewidth=1.6)
            panel.plot(scales, shares, "o-", label=trait, markersize=4, **style)
        panel.set_xlabel("guidance scale")
        panel.set_title(f"{subject.title}\n{cells[0].method}", fontsize=10)
    panels[0][0].set_ylabel("followed, %")
    panels[0][-1].legend(frameon=False, fontsize=8)
    return figure


CHAPTER = Chapter("prompts", wants, tells)
