"""A model of a table with categories and missing values: what it answers, what it may be given, what it tells."""

import csv
import io

import pytest

from model.data import DataConfig
from model.measured_columns import DateColumn, NumberColumn
from model.table import CategoryColumn, LabelColumn
from service.media import plots
from tests.tiny import save_tiny

SHIP = DataConfig(
    dataset="ship",
    kind="points",
    shape=(6,),
    labels=("1", "2"),
    names=("age", "age missing", "fare", "port=Cherbourg", "port=Queenstown", "port missing"),
    mean=(30.0, 0.2, 30.0, 0.5, 0.3, 0.2),
    std=(14.0, 0.5, 20.0, 0.5, 0.5, 0.5),
    table=(
        NumberColumn(name="age", whole=True, low=0, high=99, missing=True, fill=31),
        LabelColumn(name="class", written="whole"),
        NumberColumn(name="fare", low=0.5, high=512.25, fill=32.0),
        CategoryColumn(name="port", categories=("Cherbourg", "Queenstown"), missing=True),
    ),
)


@pytest.fixture
def client(make_client, tmp_path):
    save_tiny(tmp_path, SHIP)
    return make_client(checkpoints=tmp_path, precision="float32")


def ask(client, accept="application/json", **fields):
    body = {"dataset": "ship", "label": 1, "n": 200, "seed": 5} | fields
    return client.post("/sample", json=body, headers={"Accept": accept})


def test_csv_and_json_have_the_table_s_own_columns(client):
    lines = list(csv.reader(io.StringIO(ask(client, "text/csv").text)))
    assert lines[0] == ["age", "class", "fare", "port"]
    answer = ask(client).json()
    assert answer["table"]["columns"] == lines[0]
    assert [["" if cell is None else str(cell) for cell in row] for row in answer["table"]["rows"]] == lines[1:]
    assert {row[3] for row in answer["table"]["rows"]} <= {"Cherbourg", "Queenstown", None}
    assert {row[1] for row in answer["table"]["rows"]} == {1}
    assert answer["columns"] == list(SHIP.names)
    assert {value for point in answer["points"] for value in point[3:]} == {0, 1}


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        ({"port": "Queenstown"}, {"port": "Queenstown"}),
        ({"port": None, "age": 30}, {"port": None, "age": 30}),
        ({"age": None}, {"age": None}),
        ({"2": "Cherbourg"}, {"port": "Cherbourg"}),  # by its number among the columns
        ({"PORT": "cherbourg"}, {"port": "Cherbourg"}),  # names and categories, spelled in another case
    ],
)
def test_given_columns_are_in_every_row(client, given, cells):
    answer = ask(client, given=given, steps=4).json()
    assert answer["given"] == given
    for row in answer["table"]["rows"]:
        assert dict(zip(answer["table"]["columns"], row, strict=True)).items() >= cells.items()


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"port": "Southampton"}, "given.port", "one of Cherbourg, Queenstown, or null"),
        ({"fare": None}, "given.fare", "no value is missing in the training table"),
        ({"fare": "cheap"}, "given.fare", "a number"),
        ({"age missing": 1}, "given", "one or more of age, fare, port, each once"),
        ({"class": 1}, "given", "age, fare, port, each once; class is the class, which `label` asks for"),
        ({"age": 30, "fare": 7, "port": None}, "given", "leaves nothing to draw"),
        ({"age": 120}, "given.age", "0 … 99"),
    ],
)
def test_what_cannot_be_given_says_what_can(client, given, field, says):
    answer = ask(client, given=given)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field and says in error["detail"]


def test_a_picture_shows_measured_columns_first(client):
    """Dots at 0 and 1, of categories and of what is missing, are no picture of a table."""
    assert client.get("/models").json()["datasets"]["ship"]["axes"] == [0, 2]
    png = {"accept": "image/png", "n": 20}
    assert ask(client, **png).content == ask(client, **png, axes=["age", "fare"]).content
    assert ask(client, **png).content != ask(client, **png, axes=[0, 1]).content


def test_models_tells_of_the_columns(client):
    table = client.get("/models").json()["datasets"]["ship"]["table"]
    assert [column.pop("origin") for column in table] == [None] * 4
    assert table == [
        {"name": "age", "kind": "number", "categories": [], "missing": True},
        {"name": "class", "kind": "label", "categories": [], "missing": False},
        {"name": "fare", "kind": "number", "categories": [], "missing": False},
        {"name": "port", "kind": "category", "categories": ["Cherbourg", "Queenstown"], "missing": True},
    ]


def test_days_are_told_with_the_date_that_they_are_counted_from(make_client, tmp_path, monkeypatch):
    planted = DateColumn(name="planted", format="%Y-%m-%d", origin="2014-01-01T00:00:00", low=0, high=900, fill=100)
    trees = DataConfig(
        dataset="trees", kind="points", shape=(2,), names=("planted", "height"), std=(300.0, 5.0),
        table=(planted, NumberColumn(name="height", low=0, high=40)),
    )  # fmt: skip
    save_tiny(tmp_path, trees)
    client = make_client(checkpoints=tmp_path, precision="float32")
    table = client.get("/models").json()["datasets"]["trees"]["table"]
    assert [column["origin"] for column in table] == ["2014-01-01T00:00:00", None]
    scatter, named = plots.scatter, []
    monkeypatch.setattr(plots, "scatter", lambda *given, **how: named.append(given[3]) or scatter(*given, **how))
    assert client.get("/sample?dataset=trees&n=5", headers={"Accept": "image/png"}).status_code == 200
    assert named == [["planted (days since 2014-01-01)", "height"]]
