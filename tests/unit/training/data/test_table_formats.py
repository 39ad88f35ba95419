"""Tables as programs and people write them: each is read with the values that its writer meant, and says so."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.folders import noise
from training.data import training_set
from training.data.data_section import TableSection
from training.data.parquet_table import columns_of
from training.data.table_file import read_columns
from training.data.training_set import DataError, FiniteSet

N = 60
A, B, C = ([0.5 + i % 7 for i in range(N)], [0.25 + i for i in range(N)], [float(i * i % 11) for i in range(N)])
KINDS = ["red" if i % 2 else "blue" for i in range(N)]


def lines(pattern: str, *columns, end: str = "\n") -> str:
    """A line of this pattern for each of the rows."""
    return "".join(pattern.format(*row) + end for row in zip(*columns, strict=True))


def comma(values: list[float], digits: int = 2) -> list[str]:
    return [f"{value:.{digits}f}".replace(".", ",") for value in values]


def points(path: Path, **options) -> FiniteSet:
    return training_set(TableSection(dataset="mine", table=str(path), **options))


def in_order(data: FiniteSet) -> np.ndarray:
    """The points in the order of their lines."""
    names = data.examples.names + data.held_out.names
    rows = torch.cat([data.examples.rows, data.held_out.rows]).numpy()
    return rows[np.argsort([int(name.removeprefix("line ")) for name in names])]


PLAIN = lines("{:g},{:g}", A, B)
AB = ("a", "b")
HEADLESS = ("x", "y")
FORMATS = {
    # an index column, named by nobody
    "pandas' index": (",a,b\n" + lines("{},{:g},{:g}", range(N), A, B), AB),
    "R's row names": ('"","a","b"\n' + lines('"{}",{:g},{:g}', range(1, N + 1), A, B), AB),
    "R's row names without a cell above": ('"a" "b"\n' + lines('"car {}" {:g} {:g}', range(N), A, B), AB),
    "two nameless columns": (",,a,b\n" + lines("{},{},{:g},{:g}", KINDS, range(N), A, B), AB),
    "a comma at the end of the head": ("a,b,\n" + PLAIN, AB),
    "a comma at the end of every line": ("a,b,\n" + lines("{:g},{:g},", A, B), AB),
    "a comma at the end of lines alone": ("a,b\n" + lines("{:g},{:g},", A, B), AB),
    # delimiters and decimal commas
    "decimal commas": ("a;b\n" + lines("{};{}", comma(A), comma(B)), AB),
    "decimal commas and tabs": ("a\tb\n" + lines("{}\t{}", comma(A), comma(B)), AB),
    "decimal commas in quotes": ("a,b\n" + lines('"{}","{}"', comma(A), comma(B)), AB),
    "decimal commas of three digits": ("a;b\n" + lines("{};{}", comma(A, 3), comma(B)), AB),
    "decimal commas of two columns without a head": (lines("{};{}", comma(A), comma(B)), HEADLESS),
    "pipes": ("a|b\n" + lines("{:g}|{:g}", A, B), AB),
    "tabs": ("a\tb\n" + lines("{:g}\t{:g}", A, B), AB),
    "numpy.savetxt": (lines("{:.18e} {:.18e}", A, B), HEADLESS),
    "numpy.savetxt with a head": ("# a b\n" + lines("{:.18e} {:.18e}", A, B), AB),
    "numpy.savetxt with a head and commas": ("# written by hand\n# a,b\n" + lines("{:.9e},{:.9e}", A, B), AB),
    "columns of blanks": ("     a       b\n" + lines("{:6.2f}  {:6.2f}  ", A, B), AB),
    "Excel's sep=": ("sep=;\r\n" + ("a;b\n" + lines("{:g};{:g}", A, B)).replace("\n", "\r\n"), AB),
    "UTF-16": (("a\tb\n" + lines("{:g}\t{:g}", A, B)).encode("utf-16"), AB),
    "old Macintosh line ends": (("a,b\n" + PLAIN).replace("\n", "\r"), AB),
    # heads
    "numbers as names": ("0,1\n" + PLAIN, ("0", "1")),
    "a name that is a year": ("a,1990\n" + PLAIN, ("a", "1990")),
    "commas and semicolons in quoted names": ('"a, %; x";"b, ibu"\n' + lines("{:g};{:g}", A, B), ("a, %; x", "b, ibu")),
    "a line break in a name": ('"a\n(m)",b\n' + PLAIN, ("a (m)", "b")),
    "a title": ("Beers of the year\n\na,b\n" + PLAIN, AB),
    "titles with more in them": ("Report\nDate: 2020\n\na;b\n" + lines("{:g};{:g}", A, B), AB),
    "a title as Excel writes it": ("Beers of the year,\n,\na,b\n" + PLAIN, AB),
    "a title above no names": ("Measured in 2020\n" + PLAIN, HEADLESS),
    "no value in the first line": ("NA,5\n" + PLAIN, HEADLESS),
}


@pytest.mark.parametrize(("text", "names"), FORMATS.values(), ids=FORMATS)
def test_the_numbers_are_those_that_were_meant(tmp_path, text, names):
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    data = points(path)
    assert data.config.columns == names
    np.testing.assert_array_equal(in_order(data), np.array([A, B], dtype=np.float32).T)
    assert len(data.left_out) == (text[:2] == "NA")


@pytest.mark.parametrize(
    ("text", "names", "label"),
    [
        ("a;b;kind\n" + lines("{};{};{}", comma(A), comma(B), KINDS), AB, "kind"),
        ("a,b,2020,kind\n" + lines("{:g},{:g},{:g},{}", A, B, C, KINDS), (*AB, "2020"), "kind"),
        ("0,1,2,target\n" + lines("{:g},{:g},{:g},{}", A, B, C, [i % 2 for i in range(N)]), ("0", "1", "2"), "target"),
        ("kind,1990\n" + lines("{},{:g}", KINDS, A), ("1990",), "kind"),
        ("kind,1990,1991,1992\n" + lines("{},{:g},{:g},{:g}", KINDS, A, B, C), ("1990", "1991", "1992"), "kind"),
    ],
)
def test_names_above_a_column_of_classes(tmp_path, text, names, label):
    (tmp_path / "t.csv").write_text(text)
    data = points(tmp_path / "t.csv", label=label)
    assert data.config.columns == names
    assert not data.left_out


def test_a_line_of_values_is_no_head(tmp_path):
    for text in (lines("{},{:g}", KINDS, A), lines("{},{}", range(N), range(1, N + 1)), lines("{:g}", C)):
        (tmp_path / "t.csv").write_text(text)
        assert not read_columns(tmp_path / "t.csv").headed


@pytest.mark.parametrize(
    ("cells", "values", "says"),
    [
        (["1,004", "992", "12"], [1004, 992, 12], "commas between thousands: p"),
        (["1,004.5", "992.25", "1,000,000"], [1004.5, 992.25, 1e6], "commas between thousands: p"),
        (["1.004,5", "992,25", "1.234"], [1004.5, 992.25, 1234], "decimal commas: p"),
        (["1.004", "2.5", "1.234"], [1.004, 2.5, 1.234], None),
        (["00501", "00502", "10001"], [501, 502, 10001], "lose their leading zeros: p"),
        (["12345678901234567", "1", "2"], [12345678901234568, 1, 2], "so many digits that they are rounded: p"),
    ],
)
def test_what_is_understood_of_numbers_is_said(tmp_path, cells, values, says):
    text = "p,b\n" + lines('"{}",{:g}', cells * (N // 3), A)
    (tmp_path / "t.csv").write_text(text)
    data = points(tmp_path / "t.csv")
    assert in_order(data)[:3, 0].tolist() == np.float32(values).tolist()
    format = list(read_columns(tmp_path / "t.csv").format())
    assert any(says in line for line in format) if says else len(format) == 1
    pq.write_table(pa.table({"p": cells, "b": [1.5] * len(cells)}), tmp_path / "t.parquet")
    assert list(columns_of(tmp_path / "t.parquet").format())[1:] == format[1:]


@pytest.mark.parametrize(
    "cell", ["1_000", "１２", "٣", "0x1A", "1e", "1 000", "1,5", "1,0", "1e5,5", "--1", "1.2.3", "5%", "$5"]
)
def test_what_python_or_nobody_takes_for_a_number_is_none(tmp_path, cell):
    """1,5 stands among numbers with decimal points, so it has two meanings."""
    text = "p,b\n" + lines("{:g},{:g}", B, A) + f'"{cell}",3\n'
    (tmp_path / "t.csv").write_text(text)
    data = points(tmp_path / "t.csv")
    assert [(one.name, one.reason) for one in data.left_out] == [
        (f"line {N + 2}", f"column 'p': {cell!r} is no number")
    ]


def test_a_stray_quote_costs_its_own_line(tmp_path):
    (tmp_path / "t.csv").write_text('p,b\n"beer "1" special",2\n' + PLAIN + '1,"2"3\n')
    data = points(tmp_path / "t.csv")
    assert [one.name for one in data.left_out] == ["line 2", f"line {N + 3}"]
    np.testing.assert_array_equal(in_order(data), np.array([A, B], dtype=np.float32).T)


def spreadsheet() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return target.getvalue()


def saved(save, *arguments, **options) -> bytes:
    target = io.BytesIO()
    save(target, *arguments, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "this is compressed by gzip: unpack it"),
        (spreadsheet(), "this is a spreadsheet: save its sheet as CSV"),
        (saved(np.savez, a=np.arange(3)), "this is an archive of NumPy"),
        (saved(np.save, np.arange(3)), "this is an array of NumPy"),
        (saved(noise(0).save, "jpeg"), "this is an image: give the folder that it lies in"),
        (saved(noise(0).save, "bmp"), "this is an image: give the folder that it lies in"),
        (saved(noise(0).save, "webp"), "this is an image"),
        (bytes(range(200)), "this is no text"),
        (json.dumps([{"a": 1}]).encode(), "this is JSON: save it as CSV"),
        (b"<table><tr><td>1</td></tr></table>", "this is XML or HTML"),
        (b"a,b\n", "there is no line below the names"),
        (b"a,b\n" + b"1%,2%\n" * 40, r"column 'a' is no column of numbers \(line 2: '1%' is no number"),
        (b",\n" + b"1,2\n" * 40, "no line below|too few|the same number"),
        (b"a,b\n" + b"1e-40,1\n2e-40,2\n" * 40, "the numbers of 'a' differ by less than 1e-30"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, says):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        points(tmp_path / "t.csv")


def test_a_column_that_is_refused_is_refused_for_its_own_cells(tmp_path):
    """The first line that is left out is left out for another column."""
    text = "ticket,cabin,age\n" + "".join(
        f"{'A/5 ' * (i % 3 == 0)}{2000 + i},{'C85' if i % 5 == 0 else ''},{20 + i % 40}\n" for i in range(60)
    )
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(
        DataError, match=r"column 'cabin' is no column of numbers \(line 2: 'C85' is no number; .*60 of 60"
    ):
        points(tmp_path / "t.csv")


def test_a_column_that_is_constant_where_others_have_values_names_these(tmp_path):
    text = "x,y\n" + "".join(f"{i % 2},{i if i % 2 else 'NA'}\n" for i in range(100))
    (tmp_path / "t.csv").write_text(text)
    says = r"the usable lines all have the same number in 'x'; .* 50 of them for column 'y': .*--without y.*--without x"
    with pytest.raises(DataError, match=says):
        points(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("first", "step", "count"),
    [(1_700_000_000, 1, 60), (1_700_000_000, 2, 1800), (1_234_567, 1, 30), (5_300_000, 0.01, 455), (52.37, 1e-6, 100)],
    ids=["a minute", "an hour", "counted", "northing", "degrees"],
)
def test_differences_survive_far_from_zero(tmp_path, first, step, count):
    numbers = np.round(first + step * np.arange(count), 6)
    (tmp_path / "t.csv").write_text(
        "t,p\n" + "".join(f"{value!r},{i % 7}.5\n" for i, value in enumerate(numbers.tolist()))
    )
    data = points(tmp_path / "t.csv")
    rows = in_order(data)
    np.testing.assert_array_equal(rows[:, 0], numbers)
    assert len(np.unique(rows[:, 0])) == count
    seen = data.config.standardise(data.examples.rows)
    assert seen.dtype == torch.float32
    assert seen.mean(0).abs().max() < 1e-3
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(2), rtol=1e-3, atol=0)
    back = data.config.restore(data.config.standardise(torch.from_numpy(rows)))
    assert back.dtype == torch.float64
    assert np.abs(back.numpy()[:, 0] - numbers).max() < step / 20
    drawn, _ = data.draw(100, torch.Generator().manual_seed(0))
    assert set(drawn[:, 0].tolist()) <= set(numbers.tolist())
