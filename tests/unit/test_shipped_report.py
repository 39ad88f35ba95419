"""The shipped report: it tells of the shipped weights, and shows what it says that it shows."""

import re
from dataclasses import replace
from pathlib import Path

import torch

from training.report import command, grid
from training.report.command import SECTIONS
from training.report.evaluator import Evaluator
from training.report.pipeline import read_checkpoints

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"


def test_all_that_is_wanted_was_measured_of_these_weights():
    """Where weights, judge or precision are others, a store has forgotten its cells."""
    library, evaluator = (
        read_checkpoints(ROOT / "checkpoints"),
        Evaluator(ROOT / "checkpoints", REPORTS, torch.device("cpu")),
    )
    wanted = [
        (pipeline, settings) for section in SECTIONS.values() for pipeline, settings in section.wanted_settings(library)
    ]
    unknown = [
        (pipeline.name, setting)
        for pipeline, settings in wanted
        for setting in settings
        if setting not in evaluator.store(pipeline)
    ]
    assert wanted and unknown == []


def test_what_is_advised_is_the_cheapest_that_is_good_enough():
    library, evaluator = (
        read_checkpoints(ROOT / "checkpoints"),
        Evaluator(ROOT / "checkpoints", REPORTS, torch.device("cpu")),
    )
    compared = {}
    for pipeline in library.plain():
        config = pipeline.checkpoint.config
        if config.sampling.guidance_interval is not None:
            continue  # chosen among intervals, by hand: samplers and steps are compared without one
        if best := grid.cheapest(config, evaluator.store(pipeline).measured):
            compared[pipeline.name] = grid.as_advised(config.sampling) == replace(
                best, samples=grid.HEADLINE_SAMPLES, captioned=False
            )
    assert len(compared) >= 5 and all(compared.values()), compared


def test_the_page_explains_its_numbers_as_the_report_does():
    evaluator = Evaluator(ROOT / "checkpoints", REPORTS, torch.device("cpu"))
    written = command.introduction(read_checkpoints(ROOT / "checkpoints"), evaluator, REPORTS)
    assert (REPORTS / "quality.md").read_text().startswith(written)


def test_every_picture_is_there_and_none_besides():
    shown = set(re.findall(r"!\[[^]]*\]\(([^)]+\.png)\)", (REPORTS / "quality.md").read_text()))
    assert shown == {path.name for path in REPORTS.glob("*.png")}


def test_every_picture_of_samples_was_drawn_as_the_cards_advise_now():
    library = read_checkpoints(ROOT / "checkpoints")
    evaluator = Evaluator(ROOT / "checkpoints", REPORTS, torch.device("cpu"))
    drawn = [
        (picture, sampling == pipeline.overrides)
        for pipeline in (*library.plain(), *library.guided(), *library.autoguided(), *library.hinted())
        for picture, sampling in evaluator.store(pipeline).pictures.items()
    ]
    assert len(drawn) >= 20 and [picture for picture, as_advised in drawn if not as_advised] == []
