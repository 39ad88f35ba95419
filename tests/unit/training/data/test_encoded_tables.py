"""Tables with categories, dates, whole numbers and missing values: from the file to the file, in the same types."""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from model.data import DataConfig
from model.measured_columns import DateFormat
from model.table import decoded
from service.jobs.formats import csv_rows, parquet
from service.jobs.formats.shard import Shard
from service.media import encoding
from training.data import training_set
from training.data.data_section import TableSection
from training.data.parquet_table import columns_of
from training.data.table_encoding import unseen_in_training
from training.data.training_set import DataError, FiniteSet
from training.init.choices import plain
from training.init.own_data import InitOptions, table_section

LINES = 240


def ship(seed: int = 0) -> pd.DataFrame:
    """People on a ship: whole numbers and fractions, categories, booleans, dates, and values that are missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(1, 80, LINES),
            "fare": rng.gamma(2, 15, LINES).round(2),
            "port": rng.choice(["Cherbourg", "Queenstown", "Southampton"], LINES, p=[0.2, 0.1, 0.7]),
            "survived": rng.choice([True, False], LINES),
            "deck": rng.choice(["A", "B", "C"], LINES),
            "boarded": pd.Timestamp("1912-04-01") + pd.to_timedelta(rng.integers(0, 14, LINES), unit="D"),
            "class": rng.choice([1, 2, 3], LINES),
        }
    )
    frame["boarded"] = frame["boarded"].dt.strftime("%Y-%m-%d")
    frame.loc[rng.choice(LINES, 48, replace=False), "fare"] = np.nan
    frame.loc[rng.choice(LINES, 120, replace=False), "deck"] = None
    return frame


def proposed(path: Path, **options) -> tuple[dict, FiniteSet]:
    section, points = table_section(str(path), "mine", InitOptions(**options), lambda line: None)
    return plain(section), points


def all_rows(data: FiniteSet) -> tuple[np.ndarray, list[str] | None, list[int]]:
    """Of the training rows and the held-out ones, in the file's order: points, labels, and the lines' numbers."""
    parts = (data.examples, data.held_out)
    lines = np.array([int(name.removeprefix("line ")) for part in parts for name in part.names])
    order = lines.argsort()
    points = torch.cat([part.rows for part in parts]).numpy()[order]
    labels = torch.cat([part.labels for part in parts]).numpy()[order]
    names = [data.config.labels[label] for label in labels.tolist()] if data.config.labels else None
    return points, names, lines[order].tolist()


def test_a_table_comes_back_with_its_columns_types_categories_and_missing_values(tmp_path):
    frame = ship()
    frame.to_csv(tmp_path / "ship.csv", index=False)
    section, data = proposed(tmp_path / "ship.csv")
    assert section["label"] == "class"
    assert section["categories"] == ["port", "survived", "deck"] and section["dates"] == ["boarded"]
    assert section["whole"] == ["age"] and section["missing"] == ["fare"]
    assert not data.left_out and data.config.shape == (1 + 2 + 3 + 2 + 4 + 1,)
    points, labels, _ = all_rows(data)
    cells = decoded(data.config.table, points, labels)
    back = pd.read_csv(io.BytesIO(encoding.csv_of(cells, zip(*cells.values(), strict=True))))
    pd.testing.assert_frame_equal(back, pd.read_csv(tmp_path / "ship.csv"), rtol=1e-5)


def test_jobs_write_the_table_in_both_formats(tmp_path):
    ship().to_csv(tmp_path / "ship.csv", index=False)
    _, data = proposed(tmp_path / "ship.csv")
    points, labels, _ = all_rows(data)
    classes = np.array([data.config.labels.index(label) for label in labels])
    n = len(points)
    shard = Shard(
        points, np.arange(n), np.arange(n), classes, data.config.labels, data.config.columns, None, data.config.table
    )
    real = pd.read_csv(tmp_path / "ship.csv")
    written = pd.read_csv(io.BytesIO(csv_rows.write(shard)[".csv"]))
    assert list(written.columns) == [*real.columns, "seed"]
    pd.testing.assert_frame_equal(written.drop(columns="seed"), real, rtol=1e-5)
    table = pq.read_table(io.BytesIO(parquet.write(shard)[".parquet"]))
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "age": "int64", "fare": "double", "port": "string", "survived": "bool", "deck": "string",
        "boarded": "date32[day]", "class": "int64", "seed": "int64",
    }  # fmt: skip
    assert table["deck"].null_count == 120 and table["fare"].null_count == 48
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert {name: feature["dtype"] for name, feature in features.items()} == types | {
        "fare": "double", "boarded": "date32",
    }  # fmt: skip


def test_a_parquet_file_is_read_as_a_csv_is(tmp_path):
    frame = ship()
    frame.to_csv(tmp_path / "ship.csv", index=False)
    table = pa.Table.from_pandas(frame.assign(port=frame["port"].astype("category")), preserve_index=False)
    pq.write_table(table.append_column("list", pa.array([[1]] * LINES)), tmp_path / "ship.parquet")
    (of_csv, first), (of_parquet, second) = proposed(tmp_path / "ship.csv"), proposed(tmp_path / "ship.parquet")
    assert of_parquet | {"table": ""} == of_csv | {"table": ""}
    assert second.config == first.config
    np.testing.assert_array_equal(all_rows(second)[0], all_rows(first)[0])
    assert list(columns_of(tmp_path / "ship.parquet").format()) == [
        "Parquet, 8 columns", "left out: 1 columns that hold lists, structs or bytes",
    ]  # fmt: skip
    far = pa.table({"day": pa.array([4_000_000], pa.int32()).cast(pa.date32()), "n": pa.array([1])})  # in year 12,921
    pq.write_table(far, tmp_path / "far.parquet")
    with pytest.raises(DataError, match=r"far.parquet: no Parquet that can be read: .*out of range"):
        list(columns_of(tmp_path / "far.parquet").lines())
    numbers, kinds = pa.array(range(3)), (pa.binary(), pa.large_binary(), pa.binary(4), pa.binary_view())
    of_bytes = {str(kind): pa.array([b"1234"] * 3, kind) for kind in kinds}
    pq.write_table(pa.table({"n": numbers, **of_bytes}), tmp_path / "bytes.parquet")
    assert pq.read_schema(tmp_path / "bytes.parquet").types[1:] == list(kinds)
    assert columns_of(tmp_path / "bytes.parquet").names == ("n",)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"broken.parquet: no Parquet that can be read"):
        columns_of(tmp_path / "broken.parquet")


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes])
def test_scikit_learn_s_own_tables_come_back(tmp_path, load):
    bunch = load(as_frame=True)
    frame = bunch.frame
    if "target_names" in bunch:
        frame = frame.assign(target=bunch.target_names[frame["target"]])
    frame.to_csv(tmp_path / "t.csv", index=False)
    _, data = proposed(tmp_path / "t.csv")
    assert not data.left_out
    real, (points, labels, _) = pd.read_csv(tmp_path / "t.csv"), all_rows(data)
    table = decoded(data.config.table, points, labels) if data.config.table else None
    if table is None:  # fractions alone: each dimension is a column
        table = {name: points[:, index].tolist() for index, name in enumerate(data.config.columns)}
        table |= {} if labels is None else {"target": labels}
    back = pd.read_csv(io.BytesIO(encoding.csv_of(table, zip(*table.values(), strict=True))))
    pd.testing.assert_frame_equal(back, real, rtol=1e-5)


def write(path: Path, **columns) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


NUMBERS = np.random.default_rng(1).normal(size=LINES).round(3)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([f"person {i}" for i in range(LINES)], "holds 240 different words in 240 lines"),
        ([None] * LINES, "is empty"),
        ([None] * (LINES - 2) + ["a", "b"], "has no value in 238 of 240 lines"),
        (["same"] * LINES, "is the same in every line"),
        ([f"w{i % 60}" for i in range(LINES)], "holds 60 different words"),
        (
            [f"{1 + i % 12}/{1 + i % 28}/2024" for i in range(LINES)],
            "holds dates, it seems, in a form that is not read",
        ),
        ([f"{i % 7}%" for i in range(LINES)], "writes its numbers as '0%'"),
    ],
)
def test_a_column_that_cannot_be_encoded_is_left_out_with_the_reason(tmp_path, column, reason):
    said = []
    path = write(tmp_path / "t.csv", x=NUMBERS, y=-NUMBERS, odd=column)
    section, data = table_section(str(path), "mine", InitOptions(labels=False), said.append)
    assert plain(section)["without"] == ["odd"] and data.config.columns == ("x", "y")
    assert reason in "\n".join(said)


@pytest.mark.parametrize("form", get_args(DateFormat))
def test_dates_come_back_as_they_are_written(tmp_path, form):
    dates = [(datetime(2024, 12, 30, 19, 30) + timedelta(days=i // 9, minutes=i)).strftime(form) for i in range(LINES)]
    _, data = proposed(write(tmp_path / "t.csv", x=NUMBERS, day=dates), labels=False)
    points, _, _ = all_rows(data)
    assert decoded(data.config.table, points, None)["day"] == dates


def test_every_category_and_missing_value_is_trained_on(tmp_path):
    rare = ["often"] * (LINES - 1) + ["once"]
    gone = [None if i == 5 else float(i % 17) for i in range(LINES)]
    path = write(tmp_path / "t.csv", x=NUMBERS, rare=rare, gone=gone)
    _, data = proposed(path, labels=False)
    names = data.config.columns
    trained = data.examples.rows
    assert trained[:, names.index("rare=once")].sum() == 1
    assert trained[:, names.index("gone missing")].sum() == 1


def test_the_few_values_of_a_column_that_mostly_lacks_them_are_trained_on():
    """Held out at random, both would be so in a quarter of the tables, and nothing would be left to learn."""
    numbers = np.stack([np.arange(40.0), np.full(40, np.nan)], 1)
    numbers[[3, 30], 1] = 1.0, 2.0
    held = np.zeros(40, dtype=bool)
    held[[3, 30, 31]] = True
    assert np.flatnonzero(unseen_in_training(numbers, held, [False, False])).tolist() == [3, 30]
    held[3] = False
    assert not unseen_in_training(numbers, held, [False, False]).any()


def test_the_split_does_not_depend_on_the_order_of_the_lines(tmp_path):
    frame = ship()
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "b.csv", index=False)
    (_, first), (_, second) = proposed(tmp_path / "a.csv"), proposed(tmp_path / "b.csv")
    assert first.config.table == second.config.table
    one, other = (sorted(map(tuple, data.held_out.rows.tolist())) for data in (first, second))
    assert one == other


def test_a_column_of_numbers_may_be_asked_for_as_categories(tmp_path):
    path = write(tmp_path / "t.csv", x=NUMBERS, code=np.arange(LINES) % 4)
    section, data = proposed(path, labels=False, categories=("code",))
    assert section["categories"] == ["code"] and "whole" not in section
    assert data.config.columns == ("x", "code=0", "code=1", "code=2", "code=3")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"categories": ("nothing",)}, "no column 'nothing'; there are: x, word"),
        ({"dates": ("word",)}, "column 'word' is no column of dates"),
    ],
)
def test_a_recipe_that_does_not_fit_the_table_says_so(tmp_path, fields, says):
    path = write(tmp_path / "t.csv", x=NUMBERS, word=["a", "b"] * (LINES // 2))
    with pytest.raises(DataError, match=says):
        training_set(TableSection(dataset="mine", table=str(path), **fields))


def test_jitter_leaves_categories_alone(tmp_path):
    ship().to_csv(tmp_path / "ship.csv", index=False)
    _, data = proposed(tmp_path / "ship.csv", jitter=0.5)
    rows, _ = data.draw(500, torch.Generator().manual_seed(0))
    moved = {
        name for name, column in zip(data.config.columns, rows.T, strict=True) if not set(column.tolist()) <= {0, 1}
    }
    assert moved == {"age", "fare", "boarded"}


def test_a_config_of_before_is_read_as_it_was():
    config = DataConfig(dataset="wine", kind="points", shape=(2,), names=("a", "b"))
    assert config.table == () and config.restore(torch.ones(1, 2)).tolist() == [[1, 1]]
