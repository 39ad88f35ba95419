"""A file does one thing, and its name says which: no module is long, and no two names are mistaken for each other."""

import itertools
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("model", "service", "training", "ops", "benchmarks")
LONGEST = 300  # lines of a module
FIELDS_OWN = {("ddim", "ddpm")}  # names that the field gave
SUFFIXES = ("s", "es", "d", "ed", "r", "er", "ing")


def modules() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [Path(line) for line in listed.splitlines()]
    return [path for path in paths if path.parts[0] in PACKAGES]


def alike(one: str, other: str) -> bool:
    """Do the names differ by one letter, or by a suffix alone?"""
    short, long = sorted((one, other), key=len)
    stem = short.removesuffix("e")
    if any(long in (short + suffix, stem + suffix) for suffix in SUFFIXES):
        return True
    if len(short) == len(long):
        return sum(a != b for a, b in zip(short, long, strict=True)) == 1
    return len(long) == len(short) + 1 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("control", "controls", True),
        ("control", "controlling", False),  # a doubled letter: caught by eye
        ("denoiser", "denoise", True),
        ("answer", "answering", True),
        ("reader", "readers", True),
        ("schedule", "scheduler", True),
        ("noise_schedule", "scheduler", False),
        ("cells", "bells", True),
        ("clip", "card", False),
    ],
)
def test_what_alike_means(one, other, expected):
    assert alike(one, other) == alike(other, one) == expected


def test_no_two_modules_have_names_that_are_nearly_the_same():
    names = sorted({path.stem for path in modules()} - {"__init__", "__main__"})
    assert len(names) > 100
    assert {pair for pair in itertools.combinations(names, 2) if alike(*pair)} == FIELDS_OWN


def test_no_module_is_long():
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in modules()}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}
