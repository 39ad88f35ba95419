"""The section on guidance: fidelity against diversity along the scale, of each kind of guidance."""

from itertools import cycle

from matplotlib.figure import Figure

from training.plotting import plt
from training.report import grid, sample_sheets, score_fields
from training.report.grid import Setting
from training.report.pipeline import AutoguidedPipeline, Checkpoints, GuidedPipeline, Pipeline
from training.report.section import IMAGE_COLUMNS, ReportWriter, Section, WantedSettings, described, plain_ticks, table


def wanted_settings(library: Checkpoints) -> WantedSettings:
    pictured: WantedSettings = [(pipeline, []) for pipeline in _in_the_plane(library)]
    along = [(pipeline, settings) for pipeline, settings, _ in _ways(library)]
    return along + _intervals(library) + pictured


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
            if config.conditioning is None:  # DN21 guide an unconditional model, by ancestral sampling
                settings += grid.by_scale_with_noise(config, grid.GRADIENT_SCALES, advice.guidance_scale)
            found.append((guided, [*settings, grid.as_advised(advice.applied_to(config.sampling))], guided.title))
    for autoguided in library.autoguided():
        if autoguided.asked == "labels":
            advised = autoguided.guidance_model.overrides.guidance_scale
            settings = grid.by_scale(autoguided.checkpoint.config, grid.AUTOGUIDANCE_SCALES, advised)
            found.append((autoguided, settings, f"{autoguided.title}, autoguidance"))
    return found


def _intervals(library: Checkpoints) -> WantedSettings:
    """Denoisers of images that classifier-free guidance guides, within intervals of noise levels."""
    return [
        (pipeline, grid.by_interval(pipeline.checkpoint.config))
        for pipeline in library.plain()
        if pipeline.asked != "points" and grid.by_interval(pipeline.checkpoint.config)
    ]


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
            f"Scales are compared in {steps} steps, by {sampler} unless a title names another sampler. The scales that "
            "cards advise are chosen by hand: they balance accuracy and recall. A logarithm has no place for zero, so "
            "half a misread sample is drawn if there is none. Hollow points had no label, and so have another floor.",
            "",
            writer.plot(_trade_off(writer, ways), "guidance.png"),
            "",
        ]
    for pipeline, settings, title in ways:
        measured = writer.measured(pipeline)
        rows = [(described(setting, measured[setting], scaled=True), measured[setting]) for setting in settings]
        lines += [f"### {title}", "", *table(rows, IMAGE_COLUMNS)]
        if isinstance(pipeline, GuidedPipeline):
            name, draw = sample_sheets.of_scales(pipeline, writer.device)
            lines += [f"The same seeds at the scales {', '.join(f'{s:g}' for s in sample_sheets.SCALES)}:", ""]
            lines += [writer.sheet(pipeline, name, draw), ""]
        if isinstance(pipeline, AutoguidedPipeline):
            name, draw = sample_sheets.of_autoguidance(pipeline, writer.device)
            scales = ", ".join(f"{scale:g}" for scale in sample_sheets.AUTOGUIDANCE_SCALES)
            lines += [f"The same seeds at the scales {scales}, of which 1 is {pipeline.checkpoint.name} alone:", ""]
            lines += [writer.sheet(pipeline, name, draw), ""]
    lines += _interval_tables(writer)
    for pipeline in _in_the_plane(writer.library):
        name, draw = score_fields.of_points(pipeline, writer.device)
        lines += [f"### {pipeline.title}", "", score_fields.EXPLANATION, "", writer.sheet(pipeline, name, draw), ""]
    return ["## Guidance", "", *lines] if lines else []


def _interval_tables(writer: ReportWriter) -> list[str]:
    lines = []
    for pipeline, wanted in _intervals(writer.library):
        config, rows = pipeline.checkpoint.config, []
        for setting in writer.known(pipeline, wanted):
            interval = setting.guidance_interval
            columns = {
                "scale": f"{setting.guidance_scale:g}",
                "interval of σ": "everywhere" if interval is None else f"{interval[0]:g} … {interval[1]:g}",
                "network evaluations": f"{grid.guided_evaluations(config, setting)}",
            }
            rows.append((columns, writer.measured(pipeline)[setting]))
        if rows:
            lines += [
                f"### {config.name}, classifier-free within an interval",
                "",
                "Guidance holds at the noise levels of the interval, and a step outside is plain conditional and costs "
                f"one evaluation (Kynkäänniemi 2024). All samples take {wanted[0].steps} steps of {wanted[0].method}.",
                "",
                *table(rows, IMAGE_COLUMNS),
            ]
    return lines


def _trade_off(writer: ReportWriter, ways: list[tuple[Pipeline, list[Setting], str]]) -> Figure:
    """Recall against misread samples, as DN21 figure 4. Each line is one pipeline with one sampler."""
    figure, (trade_off, distance) = plt.subplots(1, 2, figsize=(11, 4.2), dpi=110)
    lines, colours = [], plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for pipeline, settings, title in ways:
        along = [setting for setting in settings if setting.samples < grid.HEADLINE_SAMPLES]
        for method in dict.fromkeys(setting.method for setting in along):
            name = title if method == grid.SCALES_AT[0] else f"{title}, {method}"
            lines.append((pipeline, [setting for setting in along if setting.method == method], name))
    for number, ((pipeline, settings, title), colour) in enumerate(zip(lines, cycle(colours), strict=False)):
        measured = {setting: writer.measured(pipeline)[setting] for setting in settings}
        labelled = {setting: metrics for setting, metrics in measured.items() if "label_accuracy" in metrics}
        unlabelled = {setting: metrics for setting, metrics in measured.items() if setting not in labelled}
        recall = [metrics["recall"] for metrics in labelled.values()]
        misread = [100 * max(1 - m["label_accuracy"], 0.5 / m["samples"]) for m in labelled.values()]
        trade_off.plot(recall, misread, "o-", color=colour, linewidth=1.6, markersize=4, label=title)
        for setting, x, y in zip(labelled, recall, misread, strict=True):
            place = (4, 4) if number % 2 == 0 else (-4, -9)  # both can be read if two lines meet
            offset = dict(textcoords="offset points", xytext=place, fontsize=7, color=colour)
            trade_off.annotate(f"{setting.guidance_scale:g}", (x, y), **offset)
        for group, style in ((labelled, dict(linestyle="-")), (unlabelled, dict(linestyle="", markerfacecolor="none"))):
            scales = [setting.guidance_scale for setting in group]
            ratios = [metrics["frechet_ratio"] for metrics in group.values()]
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
