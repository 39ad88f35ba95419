"""`report`: measure the missing settings, draw, write the page, and set the defaults that follow."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import torch

from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.weights import CheckpointError
from model.samplers import SAMPLERS
from training.card import card
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.stale_columns import without_stale
from training.evaluate.point_evaluation import POINT_SEEDS
from training.metrics.image_metrics import NEIGHBOURS
from training.metrics.nearest_neighbours import REAL_SHARE
from training.recipe import RecipeError
from training.report import control, grid, guidance, prompts, step_counts
from training.report.evaluator import Evaluator, console
from training.report.pipeline import Checkpoints, Pipeline, read_checkpoints
from training.report.section import ReportWriter, Section, WantedSettings

SECTIONS = {module.SECTION.name: module.SECTION for module in (step_counts, guidance, prompts, control)}

INTRODUCTION = """# Quality

`python -m training report` makes this page: every number and every picture. Seeds are fixed: samples have the seeds 0,
1, 2, … Nobody picked them. The numbers compare with each other, and with nothing outside this page.

**Images.** A judge is a classifier that reads real test images and never guides a sample. Its card says how well it
reads, and how wide its features are{cards}. Networks run in bfloat16 if their cards allow it.

- *Fréchet ÷ floor* compares two distances on the judge's features. The first is from the samples to the real training
  images, with labels in the training proportions. The floor is the same distance for as many real test images. So 1
  means that samples are as near as real images are. Both distances shrink with more samples, though not alike. With
  labels, the floor's images keep the test images' own proportions: chance in the classes' counts is most of the floor
  of a random draw. Where these are not the training proportions, as with data split by group, the floor is higher and
  the ratio looks better. So ratios compare only if counts and floors are equal.
- *Precision* is the share of samples that lie among real images. *Recall* is the share of real images that lie among
  the samples. Both use {neighbours} nearest neighbours.
- *Accuracy* is how often the judge reads the label that was asked for.
- *Captions true*: a text-conditioned model is asked for the captions of real images. This is the share of samples for
  which everything in the caption is true.

**Points.** Numbers are means over {draws} draws.

- *Sliced Wasserstein* is the distance from samples to real points, with its standard error. *Real* is the distance from
  real points to as many other real points. A ratio below 1 is luck, mostly in how many points fall to each class.
- *MMD* has the 95th percentile of its permutation null beside it. Two draws of one distribution stay below that.
- *Energy ÷ real* is the energy distance, as a ratio like the first.
- *Precision* is the share of samples that are no farther from real points than {near:.0%} of other real points.
  *Recall* is the share of real points that are as near to the samples. Either is about {near:g} for real points. A few
  strays hardly change a distance, but they change the precision.
- *Beyond* are shares of samples farther than that from the curve of the data. *Farthest* is the farthest of all.
"""


def make_report(
    checkpoints: Path,
    reports: Path,
    device: torch.device,
    *,
    full: bool = False,
    only: Collection[str] = (),
    sections: Collection[str] = (),
    compile: bool = False,
) -> None:
    """Measure the settings that sections want and that are not known yet. Write quality.md with all that is known.

    only      names of denoisers. The page tells of the others, but does not measure them
    sections  names of sections, likewise
    full      measure known settings again
    compile   compile the networks of images for measuring

    Raises RecipeError if there is nothing to measure, a checkpoint is broken, or images have no judge.
    """
    library = _library(checkpoints)
    names = [checkpoint.config.name for checkpoint in library.denoisers]
    unknown = sorted(set(only) - set(names))
    if unknown or not names:
        raise RecipeError(
            f"no checkpoint {', '.join(unknown)} in {checkpoints}: there are {', '.join(names) or 'none'}"
        )
    if strange := sorted(set(sections) - set(SECTIONS)):
        raise RecipeError(f"no section {', '.join(strange)}: there are {', '.join(SECTIONS)}")

    if library.without_data:
        console.print(f"left out, for its data are not here: {', '.join(library.without_data)}")
    evaluator = Evaluator(checkpoints, reports, device, compile=compile)
    chosen = [section for name, section in SECTIONS.items() if not sections or name in sections]

    def wanted(section: Section) -> WantedSettings:
        return [
            (of, settings)
            for of, settings in section.wanted_settings(library)
            if not only or of.checkpoint.config.name in only
        ]

    for section in chosen:
        for pipeline, settings in wanted(section):  # said now, hours before their turn comes
            evaluator.prepare(pipeline, settings)
    for section in chosen:
        for pipeline, settings in wanted(section):
            evaluator.measure(pipeline, settings, anew=full)
        if section is step_counts.SECTION:  # the first, because the others' settings follow from its advice
            for pipeline in library.plain():
                _advise(checkpoints / pipeline.name, pipeline, evaluator)
            library = _library(checkpoints)

    reports.mkdir(parents=True, exist_ok=True)
    writer = ReportWriter(library, evaluator, reports, device)
    lines = [line for section in SECTIONS.values() for line in section.markdown(writer)]
    page = "\n".join([introduction(library, evaluator, reports), *lines])
    (reports / "quality.md").write_text(page.rstrip() + "\n", encoding="utf-8")
    console.print(f"written to {reports / 'quality.md'}")


def introduction(library: Checkpoints, evaluator: Evaluator, reports: Path) -> str:
    """What the page says before its sections: how to read the numbers."""
    return INTRODUCTION.format(
        cards=_cards_of_judges(library, evaluator, reports), neighbours=NEIGHBOURS, draws=POINT_SEEDS, near=REAL_SHARE
    )


def _cards_of_judges(library: Checkpoints, evaluator: Evaluator, reports: Path) -> str:
    """Links to the judges' cards, in brackets."""
    found = (evaluator.judge(pipeline) for pipeline in library.plain() if pipeline.asked != "points")
    judges = {judge for judge in found if judge is not None}
    links = (f"[{judge.name}]({os.path.relpath(judge / 'README.md', reports)})" for judge in sorted(judges))
    return f" ({', '.join(links)})" if judges else ""


def _library(checkpoints: Path) -> Checkpoints:
    try:
        return read_checkpoints(checkpoints)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error


def _advise(folder: Path, pipeline: Pipeline, evaluator: Evaluator) -> None:
    """Write the settings that follow from sampler × steps into config.json and the card, without what was measured as
    advised before. A card that guides within an interval keeps its own."""
    if pipeline.checkpoint.config.sampling.guidance_interval is not None:
        return
    best = grid.cheapest(pipeline.checkpoint.config, evaluator.store(pipeline).measured)
    if best is None:
        return
    evaluator.check_unchanged(pipeline)
    config = load_config(folder, DenoiserConfig)
    update = CardUpdate(folder, config)
    learned = config.prediction.learned_variance
    to_ddpm = "learned" if learned else "fixed-small"  # where it is not the best, and a request asks for it
    advice = {
        "sampler": best.sampler,
        "steps": best.steps,
        "eta": best.options.eta,
        "variance": best.variance if SAMPLERS[best.sampler].takes("variance") else to_ddpm,
    }
    if config.sampling.model_dump(include=set(advice)) != advice:
        written = update.write({}, lambda now: without_stale(_sampled_by(now, advice)))
        lost = [precision for precision in config.precisions if precision not in written.precisions]
        console.print(
            f"{pipeline.name}: now advises {best.method}, {best.steps} steps: evaluate it again"
            + "".join(f", then with --precision {precision}" for precision in lost)
        )
        card.write_denoiser_card(folder, written)


def _sampled_by(config: DenoiserConfig, advice: Mapping[str, object]) -> DenoiserConfig:
    return config.model_copy(update={"sampling": config.sampling.model_copy(update=advice)})
