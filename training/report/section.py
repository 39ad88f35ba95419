"""The parts of the report's sections: settings to measure, Markdown, tables and plots."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from training.evaluate.point_evaluation import FAR_OFF_CURVE, OFF_CURVE
from training.metrics.prompt_adherence import FOLLOWED, PROMPTED_TRAITS
from training.plotting import plt
from training.report.evaluator import Evaluator
from training.report.grid import Measured, Setting
from training.report.pipeline import Checkpoints, Pipeline

WantedSettings = list[tuple[Pipeline, list[Setting]]]
"""The settings to measure, by pipeline."""


@dataclass(frozen=True)
class Section:
    """A question, the settings to measure for it, and the answer.

    wanted_settings  what the section needs measured
    markdown         the answer's lines; [] while nothing is measured
    """

    name: str
    wanted_settings: Callable[[Checkpoints], WantedSettings]
    markdown: Callable[["ReportWriter"], list[str]]


class ReportWriter:
    """Writes a section: it knows the measurements, and keeps the section's pictures."""

    def __init__(self, library: Checkpoints, evaluator: Evaluator, reports: Path, device: torch.device):
        self.library, self.reports, self.device = library, reports, device
        self._evaluator = evaluator

    def measured(self, pipeline: Pipeline) -> Measured:
        return self._evaluator.store(pipeline).measured

    def known(self, pipeline: Pipeline, settings: list[Setting]) -> list[Setting]:
        """The settings that have been measured."""
        return [setting for setting in settings if setting in self.measured(pipeline)]

    def plot(self, figure: Figure, name: str) -> str:
        """Save the plot as `name` and close it. Returns the Markdown that shows it."""
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.2)
        figure.savefig(self.reports / name, bbox_inches="tight")
        plt.close(figure)
        return shown(name)

    def sheet(self, pipeline: Pipeline, name: str, draw: Callable[[Path], None]) -> str:
        """Draw a picture of samples, unless it was drawn with the same weights and sampling settings.

        Returns the Markdown that shows it.
        """
        store, path = self._evaluator.store(pipeline), self.reports / name
        if not (store.has_picture(name, pipeline.overrides) and path.is_file()):
            draw(path)
            store.put_picture(name, pipeline.overrides)
        return shown(name)


def plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 3, 5, 10 …, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def shown(name: str) -> str:
    return f"![{name.removesuffix('.png').replace('-', ' ')}]({name})"


def described(setting: Setting, metrics: Mapping[str, Any], *, scaled: bool) -> dict[str, str]:
    """The columns that say how a setting was sampled."""
    columns = {"sampler": setting.method, "steps": f"{setting.steps:,}"}
    scale = {"scale": described_scale(setting)} if scaled else {}
    return columns | scale | {"samples": described_samples(metrics)}


def described_samples(metrics: Mapping[str, Any]) -> str:
    """How many there were, and how many of them distances tell of: no more than real rows are held out."""
    samples, compared = metrics["samples"], metrics.get("compared", metrics["samples"])
    return f"{samples:,}" + (f", {compared:,} compared" if compared != samples else "")


def described_scale(setting: Setting) -> str:
    if setting.guidance_interval is None:
        return f"{setting.guidance_scale:g}"
    low, high = setting.guidance_interval
    return f"{setting.guidance_scale:g} where σ is in {low:g} … {high:g}"


Column = tuple[str, Callable[[Mapping[str, Any]], str]]
"""(title, metrics → text). A missing metric, or a floor of 0 to divide by, leaves the place empty."""


def share(title: str, key: str) -> Column:
    return title, lambda metrics: f"{100 * metrics[key]:.2f} %"


def table(rows: list[tuple[dict[str, str], Mapping[str, Any]]], columns: tuple[Column, ...]) -> list[str]:
    """One line a row (setting, metrics). Columns that would be empty are left out."""

    def value(show: Callable[[Mapping[str, Any]], str], metrics: Mapping[str, Any]) -> str:
        try:
            return show(metrics)
        except (KeyError, ZeroDivisionError):
            return ""

    filled = [(title, show) for title, show in columns if any(value(show, metrics) for _, metrics in rows)]
    head = [*rows[0][0], *(title for title, _ in filled)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for own, metrics in rows:
        lines.append("| " + " | ".join([*own.values(), *(value(show, metrics) for _, show in filled)]) + " |")
    return [*lines, ""]


IMAGE_COLUMNS: tuple[Column, ...] = (
    share("accuracy", "label_accuracy"),
    share("captions true", "captions_true"),
    ("Fréchet", lambda f: f"{f['frechet']:.4f}"),
    ("floor", lambda f: f"{f['frechet_floor']:.4f}"),
    ("Fréchet ÷ floor", lambda f: f"**{f['frechet_ratio']:.2f}**"),
    ("precision", lambda f: f"{f['precision']:.3f}"),
    ("recall", lambda f: f"{f['recall']:.3f}"),
)
POINT_COLUMNS: tuple[Column, ...] = (
    ("sliced Wasserstein", lambda f: f"{f['sliced_wasserstein']:.4f}"),
    ("±", lambda f: f"{f['sliced_wasserstein_standard_error']:.4f}"),
    ("real", lambda f: f"{f['sliced_wasserstein_floor']:.4f}"),
    ("÷ real", lambda f: f"**{f['sliced_wasserstein_ratio']:.2f}**"),
    ("MMD", lambda f: f"{f['mmd']:.4f}"),
    ("null, 95 %", lambda f: f"{f['mmd_null']:.4f}"),
    ("energy ÷ real", lambda f: f"{f['energy'] / f['energy_floor']:.2f}"),
    ("precision", lambda f: f"{f['precision']:.4f}"),
    ("recall", lambda f: f"{f['recall']:.4f}"),
    share(f"beyond {OFF_CURVE:g}", "off_curve"),
    share(f"beyond {FAR_OFF_CURVE:g}", "far_off_curve"),
    ("farthest", lambda f: f"{f['farthest_from_curve']:.2f}"),
)
SHOWN = (*PROMPTED_TRAITS, "thickness and slant")  # of what prompts ask for
PROMPT_COLUMNS: tuple[Column, ...] = (
    *(share(trait, trait) for trait in (*SHOWN, "all three")),
    share("of new combinations", "all three, new combinations"),
    share("among real", "among real"),
    share(f"**{FOLLOWED}**", FOLLOWED),
)
