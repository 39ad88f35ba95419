"""`report`: measure what has not been measured, draw, write, and set the defaults that follow."""

import os
from collections.abc import Collection
from pathlib import Path

import torch

from model.checkpoints.denoiser import DenoiserConfig, load_config, save_config
from model.checkpoints.weights import CheckpointError
from training.card import card
from training.evaluate.point_evaluation import POINT_SEEDS
from training.metrics.image_metrics import NEIGHBOURS
from training.recipe import RecipeError
from training.report import control, grid, guidance, prompts, steps
from training.report.evaluator import Evaluator, console
from training.report.pipeline import Checkpoints, Pipeline, load_library
from training.report.section import ReportWriter, Section, WantedSettings

SECTIONS = {module.SECTION.name: module.SECTION for module in (steps, guidance, prompts, control)}

INTRODUCTION = """# Quality

Made by `python -m training report`; every number and picture here comes from that command, seeds are fixed (samples
have seed 0 and those that follow), and samples are not picked. The numbers compare with each other and with nothing
else.

**Images.** A judge is a classifier that reads real test images and never guides a sample; its card tells how well, and
how wide its features are{cards}. *Fréchet ÷ floor*: the distance on the judge's features between the samples and the
real training images, labels in the training proportions, over that of as many real test images, so that 1 is as near as
those are. Both shrink the more samples there are, though not alike; and where labels are asked for, the test images too
are in proportion, since how many fall to each class is most of the floor of a random draw. So ratios compare where
counts and floors are the same. *Precision*: the share of samples that lie among real images; *recall*: the share of
real images that lie among the samples ({neighbours} nearest neighbours). *Accuracy*: how often the judge reads what was
asked for. *Captions true*: of what reads prompts, asked for as real images are captioned, the share of samples of which
everything is true that was said. Networks run in bfloat16 where their cards allow it.

**Points.** Means of {draws} draws. *Sliced Wasserstein*: samples against real points, and its standard error;
*real*: real points against as many real points. A ratio is no surer than either: below 1 is luck, mostly that of how
many points fall to each class. *MMD*: beside it the 95th percentile of its permutation null, below which draws of one
distribution stay. *Energy ÷ real*: as the first.
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
    """Measure what the sections want and is not known yet; write quality.md with all that is known.

    only      names of denoisers; others are told of, but not measured
    sections  likewise
    compile   the networks of images, for measuring

    Raises RecipeError where there is nothing to measure, a checkpoint is broken, or there is no judge for images.
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

    evaluator = Evaluator(checkpoints, reports, device, compile=compile)
    chosen = [section for name, section in SECTIONS.items() if not sections or name in sections]

    def wanted(section: Section) -> WantedSettings:
        return [
            (of, settings)
            for of, settings in section.wanted_settings(library)
            if not only or of.checkpoint.config.name in only
        ]

    for section in chosen:
        for pipeline, settings in wanted(section):  # hours before their turn comes
            evaluator.prepare(pipeline, settings)
    for section in chosen:
        for pipeline, settings in wanted(section):
            evaluator.measure(pipeline, settings, anew=full)
        if section is steps.SECTION:  # the first: what the others want follows from what it advises
            for pipeline in library.plain():
                _advise(checkpoints / pipeline.name, pipeline, evaluator)
            library = _library(checkpoints)

    reports.mkdir(parents=True, exist_ok=True)
    writer = ReportWriter(library, evaluator, reports, device)
    told = [line for section in SECTIONS.values() for line in section.markdown(writer)]
    introduction = INTRODUCTION.format(
        cards=_cards_of_judges(library, evaluator, reports), neighbours=NEIGHBOURS, draws=POINT_SEEDS
    )
    (reports / "quality.md").write_text("\n".join([introduction, *told]).rstrip() + "\n")
    console.print(f"written to {reports / 'quality.md'}")


def _cards_of_judges(library: Checkpoints, evaluator: Evaluator, reports: Path) -> str:
    """Links to them, in brackets."""
    found = (evaluator.judge(pipeline) for pipeline in library.plain() if pipeline.asked != "points")
    judges = {judge for judge in found if judge is not None}
    links = (f"[{judge.name}]({os.path.relpath(judge / 'README.md', reports)})" for judge in sorted(judges))
    return f" ({', '.join(links)})" if judges else ""


def _library(checkpoints: Path) -> Checkpoints:
    try:
        return load_library(checkpoints)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error


def _advise(folder: Path, pipeline: Pipeline, evaluator: Evaluator) -> None:
    """Write the settings that follow from sampler × steps into config.json and the card."""
    best = grid.cheapest(pipeline.checkpoint.config, evaluator.store(pipeline).measured)
    if best is None:
        return
    config = load_config(folder, DenoiserConfig)
    learned = config.prediction.learned_variance
    to_ddpm = "learned" if learned else "fixed-small"  # where it is not the best, and a request asks for it
    advice = {
        "sampler": best.sampler,
        "steps": best.steps,
        "eta": best.options.eta,
        "variance": best.variance if best.sampler == "ddpm" else to_ddpm,
    }
    if config.sampling.model_dump(include=set(advice)) != advice:
        console.print(f"{config.name}: now advises {best.method}, {best.steps} steps")
        config = config.model_copy(update={"sampling": config.sampling.model_copy(update=advice)})
        save_config(folder, config)
        card.write_denoiser_card(folder, config)
