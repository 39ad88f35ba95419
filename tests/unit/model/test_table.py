"""Columns of a table in dimensions: what is encoded comes back, and what is drawn is something the table can have."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.data import DataConfig
from model.measured_columns import CellError, DateColumn, NumberColumn
from model.table import CategoryColumn, LabelColumn, decoded, snapped

AGE = NumberColumn(name="age", whole=True, low=0, high=99, missing=True, fill=31)
FARE = NumberColumn(name="fare", low=0.5, high=512.25, fill=32.0)
PORT = CategoryColumn(name="port", categories=("Cherbourg", "Queenstown"), missing=True)
ALIVE = CategoryColumn(name="alive", categories=("False", "True"), boolean=True)
BORN = DateColumn(name="born", format="%d.%m.%Y", origin="1850-01-01T00:00:00", low=0, high=36_000, fill=100)
CLASS = LabelColumn(name="class", written="whole")
COLUMNS = (AGE, CLASS, FARE, PORT, ALIVE, BORN)
DIMENSIONS = (
    "age", "age missing", "fare", "port=Cherbourg", "port=Queenstown", "port missing", "alive=False", "alive=True",
    "born",
)  # fmt: skip


def data(**fields) -> DataConfig:
    return DataConfig(
        dataset="ship", kind="points", shape=(len(DIMENSIONS),), labels=("1", "2"), names=DIMENSIONS, table=COLUMNS,
        **fields,
    )  # fmt: skip


def encoded() -> np.ndarray:
    parts = [
        AGE.encoded(np.array([22, np.nan, 99])),
        FARE.encoded(np.array([7.25, 0.5, 512.25])),
        PORT.encoded(np.array([1, 0, np.nan])),
        ALIVE.encoded(np.array([0, 1, 1])),
        BORN.encoded(np.array([0, 31, 59.0])),
    ]
    return np.concatenate(parts, axis=1)


def test_what_is_encoded_comes_back_in_the_table_s_order_and_types():
    table = decoded(COLUMNS, encoded().astype(np.float32), ["1", "2", "2"])
    assert table == {
        "age": [22, None, 99], "class": [1, 2, 2], "fare": [7.25, 0.5, 512.25],
        "port": ["Queenstown", "Cherbourg", None], "alive": [False, True, True],
        "born": ["01.01.1850", "01.02.1850", "01.03.1850"],
    }  # fmt: skip
    assert list(table) == [column.name for column in COLUMNS]
    assert "class" not in decoded(COLUMNS, encoded(), None)


def test_whatever_is_drawn_becomes_what_the_table_can_have_and_stays_so():
    noise = 100 * torch.randn(500, len(DIMENSIONS), generator=torch.Generator().manual_seed(0))
    found = snapped(COLUMNS, noise)
    assert torch.equal(snapped(COLUMNS, found), found)
    table = decoded(COLUMNS, found.numpy(), None)
    assert set(table["port"]) == {"Cherbourg", "Queenstown", None} and set(table["alive"]) == {True, False}
    assert {type(age) for age in table["age"]} == {int, type(None)}
    assert all(0.5 <= fare <= 512.25 for fare in table["fare"])
    exact = torch.from_numpy(encoded()).float()
    near = snapped(COLUMNS, exact + 0.4 * (torch.rand(exact.shape) - 0.5))
    assert torch.equal(near[:, [0, 1, 3, 4, 5]], exact[:, [0, 1, 3, 4, 5]])


def test_no_number_lies_beyond_the_training_tables_and_each_may_be_given_back():
    """Bounds are float64, samples float32: rounded, the greatest one would lie beyond its bound."""
    share = NumberColumn(name="share", low=0.02345679101, high=0.12345678901, fill=0.05)
    ends = share.snapped(torch.tensor([[-1.0], [1.0]]))
    low, high = ends[:, 0].numpy().astype(str).astype(float)
    assert low < share.low and high > share.high
    assert share.cells(ends.numpy()) == [share.low, share.high]
    for value in (*share.cells(ends.numpy()), low, high):
        assert share.low <= share.dimensions_of(float(value))[0] <= share.high
    with pytest.raises(CellError, match=r"0\.02345679101 … 0\.12345678901"):
        share.dimensions_of(0.1234569)


def test_restored_points_are_snapped():
    config = data(mean=(0.0,), std=(2.0,))
    x = torch.randn(20, len(DIMENSIONS), generator=torch.Generator().manual_seed(1))
    assert torch.equal(config.restore(x), snapped(COLUMNS, 2 * x))


SOLD = DateColumn(name="sold", format="%Y-%m-%d %H:%M:%S", origin="2014-01-01", low=0, high=3652.5, fill=1800)
NUMBER = NumberColumn(name="number", whole=True, low=1, high=999_999_999, fill=500_000_000)


def test_a_date_before_the_year_1000_is_written_as_it_is_read():
    column = SOLD.model_copy(update={"format": "%Y-%m-%d", "origin": "0900-01-01", "fill": 5})
    (cell,) = column.cells(np.array([[5.0]]))
    assert cell == "0900-01-06" and column.dimensions_of(cell) == (5.0,)
    with pytest.raises(CellError, match="a date such as 0900-01-01"):
        column.dimensions_of("900-01-06")


def of_columns(*columns) -> DataConfig:
    """Rows of columns of one dimension each, spread over their range."""
    spread = {"mean": [one.fill for one in columns], "std": [(one.high - one.low) / 4 for one in columns]}
    names = tuple(one.name for one in columns)
    return DataConfig(
        dataset="shop", kind="points", shape=(len(columns),), names=names, table=columns,
        **{name: tuple(values) for name, values in spread.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("column", "needs"),
    [
        (SOLD, True),
        (SOLD.model_copy(update={"high": 120, "fill": 60}), False),
        (SOLD.model_copy(update={"format": "%Y-%m-%d %H:%M"}), False),  # minutes of ten years
        (SOLD.model_copy(update={"format": "%Y-%m-%d %H:%M", "high": 36_525}), True),
        (SOLD.model_copy(update={"format": "%Y-%m-%d", "high": 365_250}), False),
        (NUMBER, True),
        (NUMBER.model_copy(update={"low": -999_999_999, "high": 1}), True),
        (NUMBER.model_copy(update={"high": 2**24 - 1}), False),
        (NUMBER.model_copy(update={"whole": False}), False),
        (AGE, False),
        (PORT, False),
    ],
)
def test_values_that_float32_would_merge_need_float64(column, needs):
    assert column.needs_float64 == needs


def test_every_drawn_value_is_one_that_its_column_takes():
    config = of_columns(SOLD, NUMBER)
    assert config.needs_float64
    points = config.restore(torch.tensor([[9.0, 9.0], [-9.0, -9.0], [0.3, 0.3]])).numpy()
    points[2] = [*SOLD.dimensions_of("2019-03-04 12:19:13"), *NUMBER.dimensions_of(123_456_789)]  # as what is given
    table = decoded(config.table, points, None)
    assert table["sold"] == ["2024-01-01 12:00:00", "2014-01-01 00:00:00", "2019-03-04 12:19:13"]
    assert table["number"] == [999_999_999, 1, 123_456_789]
    for column in (SOLD, NUMBER):
        for cell in table[column.name]:
            column.dimensions_of(cell)


@pytest.mark.parametrize(
    ("column", "changed", "says"),
    [
        (SOLD, {"origin": "nonsense"}, "sold: origin is a date in ISO 8601, not 'nonsense'"),
        (SOLD, {"origin": "2014-01-01T00:00:00+02:00"}, "sold: origin has no time zone"),
        (SOLD, {"high": 1e9}, "sold: low and high are days from 2014-01-01 on, in the years 1 … 9999"),
        (SOLD, {"low": -1e300}, "sold: low and high are days"),
        (NUMBER, {"high": float("inf")}, "high"),
    ],
)
def test_a_column_that_could_not_be_read_back_is_refused(column, changed, says):
    with pytest.raises(ValidationError, match=says):
        type(column).model_validate(column.model_dump() | changed)


@pytest.mark.parametrize(
    ("column", "cell", "dimensions"),
    [
        (AGE, 30, (30, 0)),
        (AGE, None, (31, 1)),
        (FARE, 7.5, (7.5,)),
        (PORT, "Queenstown", (0, 1, 0)),
        (PORT, None, (0, 0, 1)),
        (ALIVE, True, (0, 1)),
        (ALIVE, "false", (1, 0)),
        (BORN, "02.01.1850", (1,)),
    ],
)
def test_a_given_value_is_its_dimensions(column, cell, dimensions):
    assert column.dimensions_of(cell) == dimensions


@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        (AGE, "old", "a number, or null"),
        (AGE, True, "a number"),
        (AGE, 10**400, "a number, or null"),
        (AGE, 30.5, "a whole number, or null"),
        (AGE, 120, "0 … 99, the least and the most of the training table, or null"),
        (FARE, "7", "a number$"),
        (BORN, "01.01.1990", r"01\.01\.1850 … 26\.07\.1948, the least"),
        (FARE, None, "no value is missing in the training table"),
        (PORT, "Southampton", "one of Cherbourg, Queenstown, or null"),
        (ALIVE, None, "one of False, True$"),
        (BORN, "1850-01-02", r"a date such as 01\.01\.1850"),
    ],
)
def test_a_value_that_a_column_cannot_have_says_what_it_may_be(column, cell, says):
    with pytest.raises(CellError, match=says):
        column.dimensions_of(cell)


@pytest.mark.parametrize("fields", [{"names": (*DIMENSIONS[:-1], "died")}, {"table": COLUMNS[:-1]}])
def test_a_table_that_does_not_fit_its_dimensions_is_refused(fields):
    with pytest.raises(ValidationError, match="names are those of the dimensions"):
        DataConfig.model_validate(data().model_dump() | fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"table": (CLASS,), "names": ()}, "a table has a column besides that of its labels"),
        ({"std": (1e-50,)}, "std is 1e-30 … 1e"),
        ({"std": (1e300,)}, "std is 1e-30 … 1e"),
        ({"mean": (-1e300,)}, "mean within"),
    ],
)
def test_data_that_cannot_be_restored_are_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        DataConfig.model_validate(data().model_dump() | fields)
