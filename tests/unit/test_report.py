"""The report's cells, what follows from them, and the whole of it on tiny checkpoints."""

import json

import pytest
from PIL import Image

from model.checkpoint import load_config, save_config
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_checkpoint
from training.recipe import RecipeError
from training.report import command, grid, sheets
from training.report.cells import CellStore, weights_hash
from training.report.grid import SAMPLES, Cell
from training.report.write import Line, Section, write_report

CONFIG = tiny_checkpoint(IMAGES, T=1000).config
UNCONDITIONAL = tiny_checkpoint(
    IMAGES.model_copy(update={"labels": ()}), name="tiny-ddpm", T=1000, learned_variance=True
).config


def of_quality(value: float) -> dict:
    return {"frechet_ratio": value, "frechet": value, "frechet_floor": 1.0, "precision": 0.9, "recall": 0.8}


def test_the_grid_has_every_sampler_and_variance_at_every_step_count():
    cells = grid.by_steps(UNCONDITIONAL)
    found = {(cell.sampler, cell.variance, cell.steps): cell.samples for cell in cells}
    assert len(found) == len(cells) == 6 * 5 + 3 * 2
    assert found["ddpm", "learned", 1000] == 1000
    assert found["ddpm", "learned", 100] == SAMPLES
    assert ("ddim", "fixed-small", 100) not in found
    assert not any(cell.variance == "learned" for cell in grid.by_steps(CONFIG))


def test_scales_are_for_what_can_be_guided_and_the_headline_for_images():
    assert [cell.guidance_scale for cell in grid.by_scale(CONFIG)] == [0, 1, 1.5, 2, 3, 5, 8]
    assert grid.by_scale(UNCONDITIONAL) == []
    assert {cell.samples for cell in grid.headline(CONFIG)} == {10_000}
    assert grid.headline(tiny_checkpoint(POINTS).config) == []
    short = tiny_checkpoint(POINTS, T=20).config
    assert max(cell.steps for cell in grid.cells(short)) == 20


def test_the_cheapest_is_the_fewest_steps_within_a_tenth_of_the_best():
    ten, twenty, fifty = (Cell("dpmpp-2m", steps, 1.5) for steps in (10, 20, 50))
    other = Cell("ddim", 20, 1.5)
    measured = {ten: of_quality(1.3), twenty: of_quality(1.08), fifty: of_quality(1.0), other: of_quality(1.05)}
    assert grid.cheapest(CONFIG, measured) == other  # of as many steps the better
    # A figure of fewer samples is no measure for the others, and another scale is another question.
    measured |= {
        Cell("ddpm", 1000, 1.5, "fixed-small", 1000): of_quality(0.1),
        Cell("dpmpp-2m", 20, 3.0): of_quality(0.1),
    }
    assert grid.cheapest(CONFIG, measured) == other
    assert grid.cheapest(CONFIG, {}) is None


def test_cells_outlive_the_process_until_what_they_measure_changes(tmp_path):
    cell = Cell("ddpm", 10, 1.5, "fixed-large")
    first = CellStore(tmp_path / "a.json", {"weights": "1"})
    first.put(cell, of_quality(2.0))
    again = CellStore(tmp_path / "a.json", {"weights": "1"})
    assert cell in again
    assert again.measured[cell]["frechet_ratio"] == 2.0
    assert Cell("ddpm", 10, 1.5, "fixed-small") not in again
    assert cell not in CellStore(tmp_path / "a.json", {"weights": "2"})
    assert cell not in CellStore(tmp_path / "a.json", {"weights": "1"}, forget=True)
    (tmp_path / "a.json").write_text("{ half")
    assert cell not in CellStore(tmp_path / "a.json", {"weights": "1"})


def test_the_hash_is_of_the_weights_and_their_meaning_not_of_the_advice(tmp_path):
    folder = save_tiny(tmp_path, POINTS)
    before = weights_hash(folder)
    config = load_config(folder)
    save_config(folder, config.model_copy(update={"metrics": {"a": {"b": 1}}}))
    assert weights_hash(folder) == before
    save_config(folder, config.model_copy(update={"schedule": config.schedule.model_copy(update={"name": "linear"})}))
    assert weights_hash(folder) != before
    save_config(folder, config)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert weights_hash(folder) != before


def test_the_document_says_what_was_measured_and_nothing_of_what_was_not(tmp_path):
    measured = {
        Cell("dpmpp-2m", 20, 1.5): of_quality(1.234) | {"label_accuracy": 0.9876},
        Cell("dpmpp-2m", 20, 0.0): of_quality(2.5),
    }
    line = Line(CONFIG, "guided", grid.by_scale(CONFIG), measured)
    write_report(tmp_path / "quality.md", [Section(CONFIG, measured, ["a-b.png"])], [line], "guidance.png")
    text = (tmp_path / "quality.md").read_text()
    assert "| dpmpp-2m | 20 | 1.5 | 2,000 | 98.76 % | 1.2340 | 1.0000 | **1.23** | 0.900 | 0.800 |" in text
    assert "| dpmpp-2m | 20 | 0 | 2,000 |  | 2.5000 |" in text
    assert "![a b](a-b.png)" in text and "](guidance.png)" in text
    assert "10,000 samples" not in text.split("## mnist-tiny")[1]
    write_report(tmp_path / "quality.md", [Section(CONFIG, measured, [])], [], None)
    assert "## Guidance" not in (tmp_path / "quality.md").read_text()


@pytest.fixture
def small(monkeypatch):
    """A report in seconds."""
    monkeypatch.setattr(grid, "STEPS", (2, 3))
    monkeypatch.setattr(grid, "DDPM_STEPS", (5,))
    monkeypatch.setattr(command, "POINT_SEEDS", 2)
    monkeypatch.setattr(sheets, "FORMING", {"points": ("ddpm", 6), "images": ("ddpm", 50)})
    monkeypatch.setattr(sheets, "POINTS", 50)
    monkeypatch.setattr(sheets, "FRAMES", 4)
    original = grid.by_steps
    monkeypatch.setattr(grid, "by_steps", lambda config: [Cell(c.sampler, c.steps, c.guidance_scale, c.variance, 40)
                                                          for c in original(config)])  # fmt: skip
    monkeypatch.setattr(grid, "SAMPLES", 40)


def test_a_report_of_points_resumes_is_made_anew_on_demand_and_sets_the_advice(tmp_path, small, monkeypatch):
    folder = save_tiny(
        tmp_path / "checkpoints", POINTS.model_copy(update={"dataset": "gaussian"}), learned_variance=True
    )
    made = []
    evaluate = command.evaluate_points

    def counted(checkpoint, options, **rest):
        made.append(options)
        if len(made) == 3:
            raise KeyboardInterrupt
        return evaluate(checkpoint, options, **rest)

    monkeypatch.setattr(command, "evaluate_points", counted)

    def report(full=False):
        command.make_report(tmp_path / "checkpoints", tmp_path / "reports", "cpu", full=full, only=[])

    with pytest.raises(KeyboardInterrupt):
        report()
    report()
    cells = len(grid.cells(load_config(folder)))
    assert len(made) == cells + 1  # the two that were done before the interruption are not made again
    text = (tmp_path / "reports" / "quality.md").read_text()
    assert text.count("| ddpm, learned |") == 3
    for name in ("gaussian-tiny-steps.png", "gaussian-tiny-forming.png", "gaussian-tiny-forming-animated.png"):
        assert f"({name})" in text
        assert Image.open(tmp_path / "reports" / name).width > 100
    assert Image.open(tmp_path / "reports" / "gaussian-tiny-forming-animated.png").n_frames == 4

    store = json.loads((tmp_path / "reports" / "cells" / "gaussian-tiny.json").read_text())
    quality = {
        (c["cell"]["sampler"], c["cell"]["variance"], c["cell"]["steps"]): c["figures"]["sliced_wasserstein_ratio"]
        for c in store["cells"]
    }
    advised = load_config(folder).sampling
    value = quality[advised.sampler, advised.variance, advised.steps]
    assert value <= 1.1 * min(quality.values())
    assert not any(of <= 1.1 * min(quality.values()) for key, of in quality.items() if key[2] < advised.steps)
    assert f"{advised.steps} steps" in (folder / "README.md").read_text()

    report()
    assert len(made) == cells + 1
    report(full=True)
    assert len(made) == 2 * cells + 1


def test_an_unknown_checkpoint_is_named(tmp_path):
    save_tiny(tmp_path, POINTS)
    with pytest.raises(RecipeError, match=r"no checkpoint spiral-cfg .* there are spiral-tiny"):
        command.make_report(tmp_path, tmp_path / "reports", "cpu", full=False, only=["spiral-cfg"])
