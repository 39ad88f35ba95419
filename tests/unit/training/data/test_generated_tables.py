"""Tables of every dialect × head × kind of column: no traceback, and no value that changes without a word.

Thousands of them: `make test-slow` runs them all, and the quick suite a few.
"""

import csv
import io
import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.data.data_section import TableSection
from training.data.table import LARGEST, table_set
from training.data.table_file import read_columns
from training.data.training_set import DataError, FiniteSet
from training.init.table_survey import survey_table

LINES = 40
DIALECTS = {
    "commas": {"delimiter": ","},
    "semicolons": {"delimiter": ";"},
    "semicolons and decimal commas": {"delimiter": ";", "decimal": ","},
    "tabs": {"delimiter": "\t"},
    "tabs and decimal commas": {"delimiter": "\t", "decimal": ","},
    "pipes": {"delimiter": "|"},
    "blanks": {"delimiter": " "},
    "everything quoted": {"delimiter": ",", "quoting": csv.QUOTE_ALL},
    "quoted decimal commas": {"delimiter": ",", "decimal": ",", "quoting": csv.QUOTE_ALL},
    "Windows": {"delimiter": ";", "lineterminator": "\r\n", "encoding": "utf-8-sig"},
    "UTF-16": {"delimiter": "\t", "encoding": "utf-16"},
}
HEADS = {
    "names": ("{}", []),
    "names in two words": ("the {}", []),
    "names with delimiters": ("{}, %; of", []),
    "no names": (None, []),
    "numbers": ("number", []),
    "years": ("year", []),
    "a title": ("{}", ["A table of things"]),
    "titles and empty lines": ("{}", ["A table of things", "", "made by hand", ""]),
}
INDICES = ("none", "pandas", "R")


def numbers_of(kind: str, seed: int) -> list[str]:
    """LINES numbers as a program writes them, with a decimal point; the first differs from the second."""
    rng = np.random.default_rng(seed)
    values = {
        "floats": lambda: [repr(float(value)) for value in rng.normal(size=LINES)],
        "rounded": lambda: [f"{value:.2f}" for value in 10 * rng.normal(size=LINES)],
        "counts": lambda: [str(value) for value in rng.poisson(3, LINES)],
        "ages": lambda: [str(value) for value in rng.integers(18, 99, LINES)],
        "coin": lambda: [str(index % 2) for index in range(LINES)],
        "timestamps": lambda: [str(1_700_000_000 + int(value)) for value in rng.integers(0, 5000, LINES)],
        "degrees": lambda: [f"{52.37 + value / 1e6:.6f}" for value in rng.integers(0, 900, LINES)],
        "exponents": lambda: [f"{value:.6e}" for value in 1e9 * rng.normal(size=LINES)],
        "zero-inflated": lambda: [f"{value:.3f}" if value > 0 else "0" for value in rng.normal(size=LINES)],
    }[kind]()
    return values


KINDS = ("floats", "rounded", "counts", "ages", "coin", "timestamps", "degrees", "exponents", "zero-inflated")


def written(dialect: str, head: str, index: str, columns: list[list[str]]) -> bytes:
    """The table as text in that dialect."""
    options = dict(DIALECTS[dialect])
    decimal, encoding = options.pop("decimal", "."), options.pop("encoding", "utf-8")
    options.setdefault("lineterminator", "\n")
    target = io.StringIO()
    pattern, titles = HEADS[head]
    for title in titles:
        target.write(title + options["lineterminator"])
    table = csv.writer(target, **options)
    names = names_of(head, len(columns))
    if pattern is not None:
        table.writerow(([""] if index == "pandas" else []) + names)
    for number, row in enumerate(zip(*columns, strict=True), start=1):
        cells = [cell.replace(".", decimal) for cell in row]
        table.writerow(([str(number)] if index != "none" else []) + cells)
    return target.getvalue().encode(encoding)


def names_of(head: str, count: int) -> list[str]:
    pattern, _ = HEADS[head]
    if pattern == "number":
        return [str(number) for number in range(count)]
    if pattern == "year":
        return [str(1990 + number) for number in range(count)]
    return [] if pattern is None else [pattern.format("abcdef"[number]) for number in range(count)]


def is_written(dialect: str, head: str, index: str) -> bool:
    """Does any program write such a table?"""
    if dialect == "blanks" and (index == "pandas" or head in ("a title", "titles and empty lines")):
        return False  # an empty cell between blanks, and titles of as many words as columns, cannot be seen
    return index == "none" or head in ("names", "names in two words", "names with delimiters")


def read(content: bytes) -> tuple[FiniteSet, np.ndarray]:
    """(the set, its points in the order of their lines)"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        survey = survey_table(read_columns(path))
        counted = tuple(name for name, why in survey.without.items() if why == "counts the lines")
        data = table_set(TableSection(dataset="mine", table=str(path), without=counted))
    lines = [int(name.removeprefix("line ")) for name in data.examples.names + data.held_out.names]
    return data, torch.cat([data.examples.rows, data.held_out.rows]).numpy()[np.argsort(lines)]


def check(dialect: str, head: str, index: str, kinds: tuple[str, ...], seed: int) -> None:
    columns = [numbers_of(kind, seed + number) for number, kind in enumerate(kinds)]
    data, points = read(written(dialect, head, index, columns))
    meant = np.array([[float(cell) for cell in column] for column in columns]).T
    assert points.shape == meant.shape, (data.config.columns, data.left_out[:3])
    np.testing.assert_allclose(points, meant, rtol=1e-7 if points.dtype == np.float32 else 0)
    assert [len(np.unique(column)) for column in points.T] == [len(np.unique(column)) for column in meant.T]
    assert not data.left_out
    names = names_of(head, len(columns))
    assert data.config.names == tuple(names)
    again = data.config.restore(data.config.standardise(torch.from_numpy(points))).numpy()
    assert (np.abs(again - points) <= 1e-3 * np.array(data.config.std)).all()
    for column, kind in zip(data.examples.rows.T, kinds, strict=True):
        assert kind != "coin" or set(column.tolist()) == {0, 1}


ALL = [of for of in itertools.product(DIALECTS, HEADS, INDICES) if is_written(*of)]


@pytest.mark.slow
@pytest.mark.parametrize(("dialect", "head", "index"), ALL)
def test_every_dialect_head_and_index(dialect, head, index):
    """All pairs of kinds of columns, and all of them side by side."""
    for seed, kinds in enumerate([*itertools.combinations(KINDS, 2), KINDS[:6], KINDS[3:]]):
        if names_are_lost(head, kinds):
            continue
        check(dialect, head, index, kinds, seed)


def names_are_lost(head: str, kinds: tuple[str, ...]) -> bool:
    """Two whole numbers above whole numbers may be a line of the table: nothing tells."""
    whole = {"counts", "ages", "coin", "timestamps"}
    return head in ("numbers", "years") and len(kinds) < 3 and (head == "years" or bool(whole & {*kinds}))


@pytest.mark.parametrize(("dialect", "head", "index"), ALL[::9])
def test_some_dialects_heads_and_indices(dialect, head, index):
    check(dialect, head, index, ("rounded", "counts", "timestamps"), 7)


numerals = st.one_of(
    st.floats(-LARGEST, LARGEST, allow_nan=False).map(repr),
    st.integers(-(10**14), 10**14).map(str),
    st.decimals(-10_000, 10_000, places=3, allow_nan=False).map(str),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    dialect=st.sampled_from([name for name in DIALECTS if name != "blanks"]),
    head=st.sampled_from(["names", "no names"]),
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.tuples(*[numerals] * width), min_size=16, max_size=30, unique=True)
    ),
)
def test_any_numbers_are_read_as_they_are_or_refused(dialect, head, rows):
    """Whatever is accepted has the values that were written; what is refused, or left out, has a reason."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    try:
        data, points = read(written(dialect, head, "none", columns))
    except DataError as error:
        assert str(error)
        return
    meant = np.array(rows, dtype=np.float64)
    if points.shape[1] == len(columns):
        spread = np.array(data.config.std)
        for point in points:
            near = np.abs(meant - point) <= 1e-6 * (np.abs(meant) + spread)
            assert near.all(1).any(), point


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.text(max_size=400).map(str.encode),
        st.binary(max_size=400),
        st.lists(
            st.lists(
                st.one_of(st.text(max_size=5), numerals, st.sampled_from(['"', "", "NA", "1,5", "a"])), max_size=5
            ),
            max_size=40,
        ).map(lambda rows: "\n".join(",".join(row) for row in rows).encode()),
    )
)
def test_anything_else_is_a_table_or_is_refused(content):
    """No traceback; what is accepted is finite."""
    try:
        _, points = read(content)
    except DataError as error:
        assert str(error)
        return
    assert np.isfinite(points).all()
    assert math.isfinite(float(np.abs(points).max()))
