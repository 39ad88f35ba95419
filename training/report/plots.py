"""Plots of what was measured."""

from pathlib import Path

from model.checkpoint import Config
from training.pictures import plt
from training.report import grid
from training.report.grid import Measured
from training.report.write import Line

COLOURS = {
    "ddpm, fixed-small": "#9ecae1",
    "ddpm, fixed-large": "#4292c6",
    "ddpm, learned": "#084594",
    "renoise": "#bdbdbd",
    "ddim": "#e6550d",
    "dpmpp-2m": "#31a354",
}


def draw(config: Config, measured: Measured, reports: Path) -> list[str]:
    """The names of the pictures that there was something for, relative to `reports`."""
    reports.mkdir(parents=True, exist_ok=True)
    names = []
    if any(cell in measured for cell in grid.by_steps(config)):
        names.append(_against_steps(config, measured, reports))
    return names


def _against_steps(config: Config, measured: Measured, reports: Path) -> str:
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=110)
    lines: dict[str, list[tuple[int, float]]] = {}
    for cell in grid.by_steps(config):
        if cell in measured:
            lines.setdefault(cell.method, []).append((cell.steps, grid.quality(measured[cell])))
    for method, points in lines.items():
        steps, values = zip(*sorted(points), strict=True)
        axes.plot(steps, values, "o-", color=COLOURS[method], label=method, linewidth=1.8, markersize=4)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.text(0.99, 1.02, "real data", ha="right", va="bottom", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = sorted({step for points in lines.values() for step, _ in points})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("steps")
    axes.set_ylabel("Fréchet distance ÷ floor" if config.data.kind == "images" else "sliced Wasserstein ÷ real")
    axes.set_title(f"{config.name}: quality against steps", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    return _save(figure, axes, reports, f"{config.name}-steps.png")


def draw_trade_off(lines: list[Line], reports: Path) -> str:
    """Fidelity against diversity along the guidance scale (as DN21 figure 4), a line each way of guiding."""
    figure, (trade_off, distance) = plt.subplots(1, 2, figsize=(11, 4.2), dpi=110)
    for line, colour in zip(lines, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False):
        cells = [cell for cell in line.known if cell.samples == grid.SAMPLES]
        asked = [cell for cell in cells if "label_accuracy" in line.measured[cell]]
        recall = [line.measured[cell]["recall"] for cell in asked]
        accuracy = [100 * line.measured[cell]["label_accuracy"] for cell in asked]
        trade_off.plot(recall, accuracy, "o-", color=colour, linewidth=1.6, markersize=4, label=line.title)
        for cell, x, y in zip(asked, recall, accuracy, strict=True):
            trade_off.annotate(
                f"{cell.guidance_scale:g}", (x, y), textcoords="offset points", xytext=(5, -9), fontsize=7
            )
        ratio = [line.measured[cell]["frechet_ratio"] for cell in cells]
        distance.plot([cell.guidance_scale for cell in cells], ratio, "o-", color=colour, linewidth=1.6, markersize=4)
    sampler, steps = grid.SCALES_AT
    trade_off.set(xlabel="recall: how much of the real data is covered", ylabel="label accuracy, %")
    trade_off.legend(frameon=False, fontsize=8)
    distance.set(xlabel="guidance scale", ylabel="Fréchet distance ÷ floor", yscale="log")
    figure.suptitle(f"fidelity against diversity along the guidance scale: {sampler}, {steps} steps", fontsize=11)
    for axes in (trade_off, distance):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.savefig(reports / "guidance.png", bbox_inches="tight")
    plt.close(figure)
    return "guidance.png"


def _save(figure, axes, reports: Path, name: str) -> str:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    figure.savefig(reports / name, bbox_inches="tight")
    plt.close(figure)
    return name
