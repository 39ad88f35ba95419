"""What does guidance buy? Fidelity against diversity along the scale, classifier-free and by a classifier."""

from itertools import cycle

from matplotlib.figure import Figure

from training.plotting import plt
from training.report import grid, sample_sheets, score_fields
from training.report.grid import Setting
from training.report.pipeline import Checkpoints, GuidedPipeline, Pipeline
from training.report.section import IMAGE_COLUMNS, ReportWriter, Section, WantedSettings, described, plain_ticks, table


def wanted_settings(library: Checkpoints) -> WantedSettings:
    pictured: WantedSettings = [(pipeline, []) for pipeline in _in_the_plane(library)]
    return [(pipeline, settings) for pipeline, settings, _ in _ways(library)] + pictured


def _ways(library: Checkpoints) -> list[tuple[Pipeline, list[Setting], str]]:
    """(pipeline, settings along the scale, title) for images. Points have pictures instead."""
    found: list[tuple[Pipeline, list[Setting], str]] = []
    for pipeline in library.plain():
        config = pipeline.checkpoint.config
        if pipeline.asked == "labels" and config.conditioning == "label":
            settings = grid.by_scale(config, grid.SCALES, config.sampling.guidance_scale)
            found.append((pipeline, settings, f"{config.name}, classifier-free"))
    for guided in library.guided():
        if guided.asked == "labels":
            config, advice = guided.checkpoint.config, guided.guidance_model.overrides
            settings = grid.by_scale(config, grid.GRADIENT_SCALES, advice.guidance_scale)
            if config.conditioning is None:  # DN21 steer an unconditional one, by ancestral sampling
                settings += grid.by_scale_with_noise(config, grid.GRADIENT_SCALES, advice.guidance_scale)
            found.append((guided, [*settings, grid.as_advised(advice.applied_to(config.sampling))], guided.title))
    return found


def _in_the_plane(library: Checkpoints) -> list[GuidedPipeline]:
    """Unconditional denoisers of points in the plane, each with its classifier. Arrows show both gradients."""
    return [
        pipeline
        for pipeline in library.guided()
        if pipeline.asked == "points"
        and pipeline.checkpoint.config.conditioning is None
        and len(pipeline.checkpoint.config.data.columns) == 2
    ]


def markdown(writer: ReportWriter) -> list[str]:
    lines = []
    ways = [(pipeline, writer.known(pipeline, settings), title) for pipeline, settings, title in _ways(writer.library)]
    ways = [way for way in ways if way[1]]
    if ways:
        sampler, steps = grid.SCALES_AT
        lines += [
            f"Along the scale, {steps} steps, by {sampler} unless it says otherwise. The scales that cards advise are "
            "chosen by hand, between being right and covering what there is. Where every sample was read right, half a "
            "one is drawn as misread, since a logarithm has no place for none. Hollow is what no label was asked of: "
            "its floor is another.",
            "",
            writer.plot(_trade_off(writer, ways), "guidance.png"),
            "",
        ]
    for pipeline, settings, title in ways:
        rows = [(described(setting, scaled=True), writer.measured(pipeline)[setting]) for setting in settings]
        lines += [f"### {title}", "", *table(rows, IMAGE_COLUMNS)]
        if isinstance(pipeline, GuidedPipeline):
            name, draw = sample_sheets.of_scales(pipeline, writer.device)
            lines += [f"The same seeds at the scales {', '.join(f'{s:g}' for s in sample_sheets.SCALES)}:", ""]
            lines += [writer.sheet(pipeline, name, draw), ""]
    for pipeline in _in_the_plane(writer.library):
        name, draw = score_fields.of_points(pipeline, writer.device)
        lines += [f"### {pipeline.title}", "", score_fields.TOLD, "", writer.sheet(pipeline, name, draw), ""]
    return ["## Guidance", "", *lines] if lines else []


def _trade_off(writer: ReportWriter, ways: list[tuple[Pipeline, list[Setting], str]]) -> Figure:
    """As DN21 figure 4, a line for each way of guiding and each sampler."""
    figure, (trade_off, distance) = plt.subplots(1, 2, figsize=(11, 4.2), dpi=110)
    lines, colours = [], plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for pipeline, settings, title in ways:
        along = [setting for setting in settings if setting.samples < grid.HEADLINE_SAMPLES]
        for method in dict.fromkeys(setting.method for setting in along):
            called = title if method == grid.SCALES_AT[0] else f"{title}, {method}"
            lines.append((pipeline, [setting for setting in along if setting.method == method], called))
    for number, ((pipeline, settings, title), colour) in enumerate(zip(lines, cycle(colours), strict=False)):
        measured = {setting: writer.measured(pipeline)[setting] for setting in settings}
        asked = {setting: of for setting, of in measured.items() if "label_accuracy" in of}
        unasked = {setting: of for setting, of in measured.items() if setting not in asked}
        recall = [of["recall"] for of in asked.values()]
        misread = [100 * max(1 - of["label_accuracy"], 0.5 / of["samples"]) for of in asked.values()]
        trade_off.plot(recall, misread, "o-", color=colour, linewidth=1.6, markersize=4, label=title)
        for setting, x, y in zip(asked, recall, misread, strict=True):
            place = (4, 4) if number % 2 == 0 else (-4, -9)  # where two lines meet, both can be read
            offset = dict(textcoords="offset points", xytext=place, fontsize=7, color=colour)
            trade_off.annotate(f"{setting.guidance_scale:g}", (x, y), **offset)
        for of, style in ((asked, dict(linestyle="-")), (unasked, dict(linestyle="", markerfacecolor="none"))):
            scales, ratios = (
                [setting.guidance_scale for setting in of],
                [found["frechet_ratio"] for found in of.values()],
            )
            distance.plot(scales, ratios, marker="o", color=colour, linewidth=1.6, markersize=4, **style)
    trade_off.set(xlabel="recall: how much of the real data is covered", ylabel="misread by the judge, %", yscale="log")
    trade_off.invert_yaxis()  # up is better, as along the recall
    trade_off.legend(frameon=False, fontsize=8, loc="lower left")
    distance.set(xlabel="guidance scale", ylabel="Fréchet distance ÷ floor", yscale="log")
    for axes in (trade_off, distance):
        plain_ticks(axes.yaxis)
    figure.suptitle("fidelity against diversity along the guidance scale", fontsize=11)
    return figure


SECTION = Section("guidance", wanted_settings, markdown)
