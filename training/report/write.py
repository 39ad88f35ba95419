"""quality.md."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Config
from training.report import grid
from training.report.grid import Cell, Measured

INTRODUCTION = """# Quality

Made by `python -m training report`; every number and picture here comes from that command, seeds are fixed, and
samples are not picked.

**Images.** The judge is a classifier that reads real test images and never guides a sample
([its card](../checkpoints/mnist-judge/README.md)). *Fréchet ÷ floor*: the distance on the judge's features between the
samples and the 60,000 real training images, labels in the training proportions, over that of as many real test images:
1 is as near as real images are. *Precision*: the share of samples that lie among real images; *recall*: the share of
real images that lie among the samples (3 nearest neighbours). *Accuracy*: how often the judge reads what was asked
for. The numbers compare with each other and with nothing else.

**Points.** *Sliced Wasserstein ÷ real*: samples against real points, over real points against real points of the same
count. *MMD*: beside it the 95th percentile of its permutation null, below which draws of one distribution stay.
*Energy ÷ real*: as the first.
"""


@dataclass(frozen=True)
class Section:
    """What the report has of one checkpoint. `pictures` are names beside the document."""

    config: Config
    measured: Measured
    pictures: list[str]


@dataclass(frozen=True)
class Line:
    """One way of guiding, along its scale."""

    config: Config
    title: str
    cells: list[Cell]
    measured: Measured

    @property
    def known(self) -> list[Cell]:
        return [cell for cell in self.cells if cell in self.measured]


def write_report(path: Path, sections: Iterable[Section], lines: list[Line], trade_off: str | None) -> None:
    """`lines` are the ways of guiding, `trade_off` their picture."""
    parts = [INTRODUCTION, *map(_section, sections)]
    if trade_off is not None:
        sampler, steps = grid.SCALES_AT
        parts += ["## Guidance", "", f"Along the scale, {sampler}, {steps} steps.", "", f"![trade-off]({trade_off})"]
        for line in lines:
            parts += ["", f"### {line.title}", "", *_table(line.config, line.known, line.measured, scaled=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts).rstrip() + "\n")


def _section(section: Section) -> str:
    config, measured = section.config, section.measured
    sampling = config.sampling
    lines = [f"## {config.name}", ""]
    if measured:
        chosen = f"**{sampling.sampler}, {sampling.steps} steps**"
        lines += [
            f"Advised: {chosen}: of sampler × steps the fewest steps within {grid.WITHIN:.0%} of the best"
            + (f", at guidance scale {sampling.guidance_scale:g}." if config.data.labels else "."),
            "",
        ]
    for name in section.pictures:
        lines += [f"![{name.removesuffix('.png').replace('-', ' ')}]({name})", ""]
    for title, cells in (
        (f"{grid.HEADLINE_SAMPLES:,} samples", grid.headline(config)),
        ("Sampler × steps", grid.by_steps(config)),
    ):
        known = [cell for cell in cells if cell in measured]
        if known:
            lines += [f"### {title}", "", *_table(config, known, measured, scaled=bool(config.data.labels)), ""]
    return "\n".join(lines)


def _table(config: Config, cells: list[Cell], measured: Measured, *, scaled: bool) -> list[str]:
    figures = IMAGE_FIGURES if config.data.kind == "images" else POINT_FIGURES
    columns = [(title, show) for title, needs, show in figures if any(needs in measured[cell] for cell in cells)]
    head = ["sampler", "steps", *(["scale"] if scaled else []), "samples", *(title for title, _ in columns)]
    lines = ["| " + " | ".join(head) + " |", "|---" * 2 + "|--:" * (len(head) - 2) + "|"]
    for cell in cells:
        settings = [cell.method, f"{cell.steps:,}", *([f"{cell.guidance_scale:g}"] if scaled else [])]
        values = [_shown(show, measured[cell]) for _, show in columns]
        lines.append("| " + " | ".join([*settings, f"{cell.samples:,}", *values]) + " |")
    return lines


def _shown(show, figures) -> str:
    try:
        return show(figures)
    except KeyError:  # an accuracy where nothing was asked for
        return ""


IMAGE_FIGURES = (
    ("accuracy", "label_accuracy", lambda f: f"{100 * f['label_accuracy']:.2f} %"),
    ("Fréchet", "frechet", lambda f: f"{f['frechet']:.4f}"),
    ("floor", "frechet_floor", lambda f: f"{f['frechet_floor']:.4f}"),
    ("Fréchet ÷ floor", "frechet_ratio", lambda f: f"**{f['frechet_ratio']:.2f}**"),
    ("precision", "precision", lambda f: f"{f['precision']:.3f}"),
    ("recall", "recall", lambda f: f"{f['recall']:.3f}"),
)
POINT_FIGURES = (
    ("sliced Wasserstein", "sliced_wasserstein", lambda f: f"{f['sliced_wasserstein']:.4f}"),
    ("÷ real", "sliced_wasserstein_ratio", lambda f: f"**{f['sliced_wasserstein_ratio']:.2f}**"),
    ("MMD", "mmd", lambda f: f"{f['mmd']:.4f}"),
    ("null, 95 %", "mmd_null", lambda f: f"{f['mmd_null']:.4f}"),
    ("energy ÷ real", "energy", lambda f: f"{f['energy'] / f['energy_floor']:.2f}"),
)
