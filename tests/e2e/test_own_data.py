"""From a folder to an endpoint: scikit-learn's bundled sets stand for somebody's own, and two commands for the way."""

import csv
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.judge import load_judge
from tests.e2e.conftest import PROJECT
from tests.tiny import POINTS, save_tiny
from training.data import trained_on
from training.generate import generate, labelled, labels_in_proportion

PER_PHOTOGRAPH = 600  # crops …
CROPS = (64, 160)  # … of such sides, in pixels


def digits_folder(root: Path) -> Path:
    """1,797 images of 8×8, a folder for each digit."""
    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(image * 255 / 16).astype(np.uint8)).save(root / str(label) / f"{index:04d}.png")
    return root


def photographs_folder(root: Path) -> Path:
    """Square crops of two photographs, a folder for each."""
    rng = np.random.default_rng(0)
    for name, image in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for index in range(PER_PHOTOGRAPH):
            side = rng.integers(*CROPS)
            top, left = (rng.integers(0, whole - side) for whole in image.shape[:2])
            crop = image[top : top + side, left : left + side]
            Image.fromarray(crop).save(root / name / f"{index:03d}.png")
    return root


def wine_table(path: Path) -> Path:
    """178 wines, 13 measurements of each, three cultivars."""
    wine = load_wine()
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*wine.feature_names, "cultivar"])
        table.writerows(
            [*numbers, f"cultivar {label + 1}"] for numbers, label in zip(wine.data, wine.target, strict=True)
        )
    return path


@pytest.fixture
def training(tmp_path):
    """`python -m training`, in a folder of its own."""

    def run(*arguments: object) -> None:
        began = time.monotonic()
        environment = os.environ | {"PYTHONPATH": str(PROJECT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "training", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout, f"{' '.join(map(str, arguments))}: {time.monotonic() - began:.0f} s", sep="")

    return run


def samples(folder: Path, n: int) -> tuple[torch.Tensor, np.ndarray]:
    """n samples by the card's own settings, and the labels that were asked for: as many of each as were trained on."""
    checkpoint = load_checkpoint(folder)
    config = checkpoint.config
    counts = np.bincount(trained_on(config).examples.labels)
    asked = labels_in_proportion(counts, n)
    return generate(checkpoint, labelled(asked, config.sampling), config.sampling), asked


def right(judge: Path, images: torch.Tensor, asked: np.ndarray) -> float:
    _, classes = load_judge(judge).look(images.round().clamp(0, 255))
    return float((classes.numpy() == asked).mean())


@pytest.mark.slow
def test_a_folder_of_digits_becomes_an_endpoint(training, tmp_path, start_service, monkeypatch):
    digits_folder(tmp_path / "digits")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    training("init", "digits", "--name", "mine", "--role", "conditional", "--role", "judge")
    training("train", "mine-judge", "--no-evaluate")
    save_tiny(tmp_path / "checkpoints", POINTS)  # something that is served before
    service = start_service("--checkpoints", str(tmp_path / "checkpoints"), "--api-key", "secret")
    service.wait_until_ready()
    training("train", "mine", "--no-evaluate", "--no-graph")

    real = trained_on(load_checkpoint(Path("checkpoints/mine")).config).held_out
    accuracy = right(Path("checkpoints/mine-judge"), real.rows.float(), real.labels.numpy())
    print(f"the judge reads {accuracy:.4f} of {len(real)} held-out images right")
    assert accuracy >= 0.95
    accuracy = right(Path("checkpoints/mine-judge"), *samples(Path("checkpoints/mine"), 1_000))
    print(f"and {accuracy:.4f} of 1,000 samples as asked")
    assert accuracy >= 0.95

    key = {"Authorization": "Bearer secret"}
    assert httpx.post(f"{service.url}/admin/reload", headers=key, timeout=120).status_code == 200
    request = {"dataset": "mine", "label": "7", "seed": 1}
    answer = httpx.post(f"{service.url}/sample", json=request, headers=key, timeout=120)
    assert answer.status_code == 200, answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (8, 8)
    assert right(Path("checkpoints/mine-judge"), torch.from_numpy(picture.copy())[None, None].float(), [7]) == 1


@pytest.mark.slow
def test_wines_that_are_drawn_can_hardly_be_told_from_real_ones(training, tmp_path, monkeypatch):
    """A classifier two-sample test (Lopez-Paz & Oquab 2017): the accuracy in telling them apart, on held-out rows."""
    wine_table(tmp_path / "wine.csv")
    monkeypatch.chdir(tmp_path)
    training("init", "wine.csv", "--name", "wine")
    training("train", "wine", "--no-evaluate")
    folder = Path("checkpoints/wine")
    config = load_checkpoint(folder).config
    assert config.data.labels == ("cultivar 1", "cultivar 2", "cultivar 3")
    data = trained_on(config)
    real = torch.cat([data.examples.rows, data.held_out.rows])
    drawn, _ = samples(folder, len(real))
    rows = torch.cat([real, drawn]).numpy()
    is_drawn = np.repeat([0, 1], len(real))
    found = {}
    for name, classifier in {
        "logistic": LogisticRegression(),
        "nearest": KNeighborsClassifier(5),
        "network": MLPClassifier((64,), max_iter=1000, random_state=0),
        "forest": RandomForestClassifier(300, random_state=0),
    }.items():
        folds = StratifiedKFold(10, shuffle=True, random_state=0)
        found[name] = cross_val_score(make_pipeline(StandardScaler(), classifier), rows, is_drawn, cv=folds).mean()
    print("told from real ones:", {name: round(float(value), 3) for name, value in found.items()})
    assert max(found.values()) <= 0.65


@pytest.mark.slow
def test_crops_of_two_photographs_are_drawn_in_colour_and_as_asked(training, tmp_path, monkeypatch):
    photographs_folder(tmp_path / "photographs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    training("init", "photographs", "--name", "photos", "--role", "conditional", "--role", "judge")
    training("train", "photos-judge", "--no-evaluate")
    training("train", "photos", "--no-evaluate", "--no-graph")
    assert load_checkpoint(Path("checkpoints/photos")).config.data.shape == (3, 32, 32)
    accuracy = right(Path("checkpoints/photos-judge"), *samples(Path("checkpoints/photos"), 500))
    print(f"{accuracy:.4f} of 500 samples as asked")
    assert accuracy >= 0.99
