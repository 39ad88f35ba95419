"""Somebody's own table: lines that cannot be used are left out by name, tables that cannot be are refused by reason."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.folders import make_table
from training.data import training_set
from training.data.data_section import TableSection
from training.data.training_set import DataError, FiniteSet


def points(path: Path, **options) -> FiniteSet:
    return training_set(TableSection(dataset="mine", table=str(path), **options))


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


GOOD = "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(40))


def test_points_labels_and_names_are_those_of_the_table(tmp_path):
    of = points(make_table(tmp_path / "t.csv", lines=200, columns=5), label="kind")
    assert of.config.labels == ("blue", "red")
    assert of.config.names == ("c0", "c1", "c2", "c3", "c4")
    assert of.config.shape == (5,)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    for part in (of.examples, of.held_out):
        for name, row, label in zip(part.names, part.rows, part.labels.tolist(), strict=True):
            *numbers, kind = lines[int(name.removeprefix("line ")) - 1].split(",")
            assert row.tolist() == pytest.approx([float(number) for number in numbers])
            assert of.config.labels[label] == kind
    assert np.bincount(of.held_out.labels).tolist() == [10, 10]
    seen = of.config.standardise(of.examples.rows)
    assert seen.mean(0).abs().max() < 1e-4
    assert (seen.std(0, correction=0) - 1).abs().max() < 1e-4


def test_what_is_held_out_is_never_drawn_and_jitter_is_noise(tmp_path):
    path = make_table(tmp_path / "t.csv", lines=100)
    of = points(path, label="kind")
    drawn, _ = of.draw(2000, torch.Generator().manual_seed(0))
    assert {tuple(row) for row in drawn.tolist()} == {tuple(row) for row in of.examples.rows.tolist()}
    jittered, _ = points(path, label="kind", jitter=0.1).draw(2000, torch.Generator().manual_seed(0))
    assert ((jittered - drawn).std(0) / torch.tensor(of.config.std)).tolist() == pytest.approx([0.1] * 3, rel=0.1)


def test_classes_are_in_natural_order_whatever_they_are(tmp_path):
    text = "x,kind\n" + "".join(f"{i}.5,{['10', '9', '2'][i % 3]}\n" for i in range(60))
    assert points(write(tmp_path / "t.csv", text), label="kind").config.labels == ("2", "9", "10")


@pytest.mark.parametrize(
    "text",
    [
        "p,q,kind\n" + GOOD,
        "\ufeffp,q,kind\r\n" + GOOD.replace("\n", "\r\n"),
        "p;q;kind\n" + GOOD.replace(",", ";"),
        "p\tq\tkind\n" + GOOD.replace(",", "\t"),
        'p,q,"kind"\n' + GOOD.replace("a\n", '"a"\n'),
        "p , q, kind\n\n" + GOOD.replace(",", " , "),
    ],
    ids=["plain", "bom and crlf", "semicolons", "tabs", "quotes", "spaces"],
)
def test_tables_as_programs_write_them(tmp_path, text):
    of = points(write(tmp_path / "t.csv", text), label="kind")
    assert of.config.labels == ("a", "b")
    assert len(of.examples) + len(of.held_out) == 40
    assert not of.left_out


def test_a_table_without_a_head(tmp_path):
    of = points(write(tmp_path / "t.csv", "".join(f"{i},{-i}\n" for i in range(40))))
    assert len(of.examples) + len(of.held_out) == 40
    assert of.config.names == ()
    of = points(write(tmp_path / "l.csv", "".join(f"{i},{-i},{i % 2}\n" for i in range(40))), label="x2")
    assert of.config.labels == ("0", "1")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("3,,a", "column 'q': nothing there"),
        ("three,4,a", "column 'p': 'three' is no number"),
        ("3,nan,a", "column 'q': 'nan' is no number"),
        ("inf,3,a", "column 'p': 'inf' is no number"),
        ("3,-1e39,a", "column 'q': '-1e39' is too large for float32"),
        ("3,4,", "column 'kind': no label"),
        ("3,4,NA", "column 'kind': no label ('NA')"),
        ("3,4", "2 cells, not 3"),
        ("3,4,a,5", "4 cells, not 3"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_left_out(tmp_path, line, says):
    of = points(write(tmp_path / "t.csv", f"p,q,kind\n{GOOD}{line}\n{GOOD}"), label="kind")
    assert [(one.name, one.reason) for one in of.left_out] == [("line 42", says)]
    assert len(of.examples) + len(of.held_out) == 80


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, "the file is empty"),
        ("p,q\n", {}, "too few usable lines to learn from, 0"),
        ("p,q\n1,2\n3,4\n", {}, "too few usable lines to learn from, 2"),
        (f"p,q,kind\n{GOOD}", {}, r"column 'kind' is no column of numbers \(line 2: .*--label kind"),
        (f"p,q,kind\n{GOOD}", {"label": "type"}, "no column 'type'; there are: p, q, kind"),
        (f"p,q,kind\n{GOOD}", {"label": "kind", "without": ("x",)}, "no column 'x'"),
        (f"p,q,kind\n{GOOD}", {"label": "kind", "without": ("p", "q")}, "0 columns of numbers"),
        (f"p,q,kind\n{GOOD}1,2,c\n", {"label": "kind"}, "line 42: nothing else has the label 'c'"),
        ("p,q\n" + "".join(f"{i},7\n" for i in range(40)), {}, r"same number in every line of 'q'.*--without q"),
        ("p,p\n" + "".join(f"{i},7\n" for i in range(40)), {}, "wants a name of its own, and 'p'"),
        ("x,y,kind\n" + "0,0,a\n1,2,b\n2,4,c\n" * 30, {"label": "kind"}, "all lines of a class are the same point"),
        (b"p,q\n" + b"1,caf\xe9\n", {}, r"not UTF-8 \(byte 9\): save it as UTF-8"),
        (",".join(f"p{i}" for i in range(70)) + "\n", {}, r"70 columns of numbers: points have 1 … 64; .*--without"),
        ('p,q\n1,"2\n' * 3, {}, "no CSV that can be read"),
    ],
)
def test_tables_that_cannot_be_trained_on_say_what_to_do(tmp_path, text, options, says):
    with pytest.raises(DataError, match=says) as refused:
        points(write(tmp_path / "t.csv", text), **options)
    assert "t.csv" in str(refused.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"gone.csv is not there: if the data were moved"):
        points(tmp_path / "gone.csv")


@pytest.mark.parametrize("text", ["x\n" + "1\n0\n" * 300, "x\n" + "0\n" * 599 + "1\n", "x,y\n" + "0,1\n1,0\n" * 20])
def test_two_values_are_enough_to_train_on(tmp_path, text):
    of = points(write(tmp_path / "t.csv", text))
    for column in of.examples.rows.T:
        assert set(column.tolist()) == {0, 1}
    assert len(of.held_out) > 0
