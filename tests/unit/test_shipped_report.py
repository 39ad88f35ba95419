"""The shipped report: it tells of the shipped weights, and shows what it says that it shows."""

import re
from dataclasses import replace
from pathlib import Path

import torch

from training.report import grid
from training.report.command import CHAPTERS
from training.report.evaluator import Bench
from training.report.pipeline import load_library

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"


def test_all_that_is_wanted_was_measured_of_these_weights():
    """Where weights, judge or precision are others, a store has forgotten its cells."""
    library, bench = load_library(ROOT / "checkpoints"), Bench(ROOT / "checkpoints", REPORTS, torch.device("cpu"))
    wanted = [(subject, cells) for chapter in CHAPTERS.values() for subject, cells in chapter.wants(library)]
    unknown = [(subject.name, cell) for subject, cells in wanted for cell in cells if cell not in bench.store(subject)]
    assert wanted and unknown == []


def test_what_is_advised_is_the_cheapest_that_is_good_enough():
    library, bench = load_library(ROOT / "checkpoints"), Bench(ROOT / "checkpoints", REPORTS, torch.device("cpu"))
    compared = {}
    for subject in library.plain():
        config = subject.checkpoint.config
        if best := grid.cheapest(config, bench.store(subject).measured):
            compared[subject.name] = grid.as_advised(config.sampling) == replace(
                best, samples=grid.HEADLINE_SAMPLES, captioned=False
            )
    assert len(compared) >= 6 and all(compared.values()), compared


def test_every_picture_is_there_and_none_besides():
    shown = set(re.findall(r"!\[[^]]*\]\(([^)]+\.png)\)", (REPORTS / "quality.md").read_text()))
    assert shown == {path.name for path in REPORTS.glob("*.png")}
