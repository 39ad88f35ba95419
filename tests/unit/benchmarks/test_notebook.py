"""The load points that a comparison of servers keeps."""

import contextlib

from benchmarks.load import Answered
from benchmarks.peers import compare
from benchmarks.peers.notebook import Notebook


def test_a_kept_point_is_not_measured_again_and_another_load_is(tmp_path):
    measured = []

    def measure(rate):
        def now():
            measured.append(rate)
            return [Answered("10", 200, 0.25 * rate, 1.0)]

        return now

    path = tmp_path / "points.jsonl"
    first = Notebook(path).look_up(measure(1.0), system="a", rate=1.0, break_off=False)
    again = Notebook(path)
    assert again.look_up(measure(1.0), break_off=False, rate=1.0, system="a") == first
    assert again.look_up(measure(2.0), system="a", rate=2.0, break_off=False) != first
    again.look_up(measure(1.0), system="b", rate=1.0, break_off=False)
    again.look_up(measure(1.0), system="a", rate=1.0, break_off=True)
    assert measured == [1.0, 2.0, 1.0, 1.0]
    assert len(path.read_text().splitlines()) == 4


def test_a_point_is_measured_again_where_anything_differs_that_it_depends_on(tmp_path, monkeypatch):
    """The mix, the bound that breaks a load off, the weights, and what computes them."""
    measured = []

    async def poisson(*_):
        measured.append(1)
        return [Answered("10", 200, 0.25, 1.0)]

    monkeypatch.setattr(compare.load, "poisson", poisson)
    system = compare.System("a", lambda setting: contextlib.nullcontext(("http://a", None)), None)

    def point() -> int:
        """How many have been measured by now."""
        compare._point(system, {}, 1.0, 0.1, Notebook(tmp_path / "points.jsonl"))
        return len(measured)

    assert point() == point() == 1
    monkeypatch.setattr(compare, "MIX", {10: 0.5, 50: 0.25, 1000: 0.25})
    assert point() == point() == 2
    monkeypatch.setattr(compare, "BOUND", 1.0)
    assert point() == 3
    monkeypatch.setattr(compare, "MODEL", "mnist-fast")
    assert point() == 4
    monkeypatch.setattr(compare, "BACKEND", "onnx")
    assert point() == 5


def test_nothing_is_kept_without_a_path():
    notebook = Notebook(None)
    assert notebook.look_up(lambda: [Answered("10", 200, 1.0, 0.0)], rate=1.0) == [Answered("10", 200, 1.0, 0.0)]
