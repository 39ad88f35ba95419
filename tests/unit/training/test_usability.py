"""The first line of a card: noise is called noise, whatever the label accuracy says."""

import pytest

from model.checkpoints.denoiser import load_checkpoint
from tests.tiny import POINTS, save_tiny
from training.card.card import write_denoiser_card
from training.card.markdown import measured_section
from training.card.usability import usability

CELLS = {"label_accuracy": 0.992, "precision": 0.865, "recall": 0.19, "frechet_ratio": 149.0}
GOOD = {"label_accuracy": 0.995, "precision": 0.91, "recall": 0.9, "frechet_ratio": 1.7}


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        (GOOD, "Usable"),
        (CELLS, "Not usable"),
        (GOOD | {"frechet_ratio": 30.0}, "Rough"),
        (GOOD | {"frechet_ratio": 51.0}, "Not usable"),
        (GOOD | {"precision": 0.5}, "Rough"),
        (GOOD | {"precision": 0.1}, "Not usable"),
        (GOOD | {"recall": 0.4}, "Rough"),
        (GOOD | {"recall": 0.0}, "Not usable"),
        ({"sliced_wasserstein_ratio": 1.1, "two_sample_accuracy": 0.47}, "Usable"),
        ({"sliced_wasserstein_ratio": 1.1, "two_sample_accuracy": 0.99}, "Not usable"),
        ({"sliced_wasserstein_ratio": 5.0}, "Rough"),
        ({"sliced_wasserstein_ratio": 40.0}, "Not usable"),
    ],
)
def test_samples_are_judged_by_their_worst_metric(metrics, verdict):
    assert usability(metrics).startswith(f"**{verdict}**: ")


def test_the_verdict_names_metrics_and_thresholds():
    found = usability(CELLS)
    assert "Fréchet ratio 149 (at most 20), precision 0.865 (at least 0.6), recall 0.19 (at least 0.5)" in found
    assert "Label accuracy tells nothing here" in found
    assert "Label accuracy" not in usability(GOOD)


@pytest.mark.parametrize(("read", "doubted"), [(0.995, False), (0.62, True)])
def test_a_judge_that_misreads_real_images_is_doubted(read, doubted):
    found = usability(GOOD | {"label_accuracy_of_real": read})
    assert found.startswith("**Usable**: ") and ("reads only 62% of the held-out images right" in found) is doubted


@pytest.mark.parametrize("metrics", [{}, {"label_accuracy": 0.99}, {"recall": float("nan")}, {"precision": "high"}])
def test_without_metrics_there_is_no_verdict(metrics):
    assert usability(metrics) is None


@pytest.mark.parametrize(
    ("metrics", "first"),
    [
        ({}, "Whether its samples are usable has not been measured."),
        (
            {"measured": {"label_accuracy": 0.99}},
            "Whether its samples are usable has not been measured: label accuracy",
        ),
        ({"measured": CELLS}, "**Not usable**: samples are noise"),
    ],
)
def test_the_verdict_is_the_first_line_of_the_card(tmp_path, metrics, first):
    folder = save_tiny(tmp_path, POINTS)
    config = load_checkpoint(folder).config.model_copy(update={"metrics": metrics})
    write_denoiser_card(folder, config)
    _, _, card = (folder / "README.md").read_text().split("---\n")  # without the header
    empty, title, _, line, *_ = card.splitlines()
    assert (title, empty) == (f"# {config.name}", "")
    assert line.startswith(first)


def test_no_card_says_nan():
    section = measured_section({"measured": {"test_accuracy": float("nan"), "energy": float("inf")}})
    assert "| test accuracy | cannot be measured |" in section
    assert "nan" not in "\n".join(section)
