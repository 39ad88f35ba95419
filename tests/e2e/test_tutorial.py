"""The notebook in docs/ runs from top to bottom, and what it trains lies on the spiral."""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "spiral.ipynb"


def cells() -> list[str]:
    document = json.loads(NOTEBOOK.read_text())
    assert all(not cell["outputs"] for cell in document["cells"] if cell["cell_type"] == "code")
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


def test_its_code_is_python():
    assert len(cells()) == 5
    for number, source in enumerate(cells()):
        compile(source, f"cell {number}", "exec")


@pytest.mark.slow
def test_it_trains_the_spiral_and_draws_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", ["notebook"])
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    names: dict[str, object] = {}
    for source in cells():
        exec(source, names)
    points, curve = names["points"], names["task"].data.curve
    assert len(plt.get_fignums()) == 2
    plt.close("all")
    distance = torch.cdist(points, curve).min(1).values
    noise = torch.cdist(torch.randn(len(points), 2), curve).min(1).values
    assert distance.median() < noise.median() / 3
    turn = torch.cdist(points, curve).argmin(1) / len(curve) * 2.5  # turns, evenly along the curve
    assert (turn.long() == names["labels"]).float().mean() > 0.9
