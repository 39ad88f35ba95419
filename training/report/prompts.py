"""The section on prompts: the digit as the judge reads it, thickness and slant as morphometry measures them."""

from matplotlib.figure import Figure

from training.metrics.prompt_adherence import FOLLOWED
from training.plotting import plt
from training.report import grid, sample_sheets
from training.report.grid import Setting
from training.report.pipeline import Checkpoints, GuidedPipeline, Pipeline
from training.report.section import PROMPT_COLUMNS, SHOWN, ReportWriter, Section, WantedSettings, described, table


def wanted_settings(library: Checkpoints) -> WantedSettings:
    found = []
    for pipeline in _text_pipelines(library):
        config, guidance_model = pipeline.checkpoint.config, pipeline.guidance_model
        scales = (grid.SCALES, config.sampling.guidance_scale) if guidance_model is None else (
            grid.GRADIENT_SCALES, guidance_model.overrides.guidance_scale)  # fmt: skip
        found.append((pipeline, [*grid.by_scale(config, *scales), *grid.by_scale_with_noise(config, *scales)]))
    return found


def _text_pipelines(library: Checkpoints) -> list[Pipeline]:
    """Pipelines whose digits, thickness and slant can be measured, the text-conditioned denoisers first."""
    return [pipeline for pipeline in (*library.plain(), *library.guided()) if pipeline.traits_are_measured]


def markdown(writer: ReportWriter) -> list[str]:
    known = [(pipeline, writer.known(pipeline, settings)) for pipeline, settings in wanted_settings(writer.library)]
    known = [(pipeline, settings) for pipeline, settings in known if settings]
    if not known:
        return []
    _, steps = grid.SCALES_AT
    lines = [
        "## Prompts",
        "",
        f"Each number is the share of held-out prompts that samples follow, in {steps} steps. *Thickness* and *slant* "
        "count if they lie in the third of that digit's real images that the prompt asks for. *All three* are these "
        "and the digit. *New combinations* are triples that no training caption had. *Among real* is precision.",
        "",
        _verdict(writer, known),
        "",
        writer.plot(_against_scale(writer, known), "prompts.png"),
        "",
    ]
    for pipeline, settings in known:
        measured = writer.measured(pipeline)
        rows = [(described(setting, measured[setting], scaled=True), measured[setting]) for setting in settings]
        lines += [f"### {pipeline.title}", "", *table(rows, PROMPT_COLUMNS)]
        name, prompts, draw = sample_sheets.of_prompts(pipeline, writer.device)
        lines += [f"A line each: {'; '.join(prompts)}.", "", writer.sheet(pipeline, name, draw), ""]
        if isinstance(pipeline, GuidedPipeline):
            name, draw = sample_sheets.of_captions(pipeline, writer.device)
            lines += ["Images, and the captions that CLIP finds nearest:", "", writer.sheet(pipeline, name, draw), ""]
    return lines


def _verdict(writer: ReportWriter, known: list[tuple[Pipeline, list[Setting]]]) -> str:
    """The best setting of each pipeline, the best pipeline first."""
    best_settings = []
    for pipeline, settings in known:
        whole = {setting: writer.measured(pipeline)[setting][FOLLOWED] for setting in settings}
        best = max(whole, key=lambda setting: whole[setting])
        by = f"by {best.method} at scale {best.guidance_scale:g} ({100 * whole[best]:.1f} %)"
        best_settings.append((whole[best], f"**{pipeline.title}** {by}"))
    best_settings.sort(key=lambda entry: -entry[0])
    pipelines = ", then with ".join(text for _, text in best_settings)
    return (
        f"The share of images that show all three and lie among real ones is largest with {pipelines}. This share does "
        "not see whether samples vary as real images do. So people choose the scales that cards advise, not this share "
        "alone."
    )


def _against_scale(writer: ReportWriter, known: list[tuple[Pipeline, list[Setting]]]) -> Figure:
    """A panel for each pipeline and sampler."""
    shown = [
        (pipeline, [setting for setting in settings if setting.method == method])
        for pipeline, settings in known
        for method in dict.fromkeys(setting.method for setting in settings)
    ]
    figure, panels = plt.subplots(1, len(shown), figsize=(4 * len(shown), 4), dpi=110, sharey=True, squeeze=False)
    for panel, (pipeline, settings) in zip(panels[0], shown, strict=True):
        scales = [setting.guidance_scale for setting in settings]
        for trait in (*SHOWN, FOLLOWED):
            shares = [100 * writer.measured(pipeline)[setting][trait] for setting in settings]
            style = dict(color="black", linewidth=2.2) if trait == FOLLOWED else dict(linewidth=1.6)
            panel.plot(scales, shares, "o-", label=trait, markersize=4, **style)
        panel.set_xlabel("guidance scale")
        panel.set_title(f"{pipeline.title}\n{settings[0].method}", fontsize=10)
    panels[0][0].set_ylabel("followed, %")
    panels[0][-1].legend(frameon=False, fontsize=8)
    return figure


SECTION = Section("prompts", wanted_settings, markdown)
