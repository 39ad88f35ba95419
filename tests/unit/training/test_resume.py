"""A run goes on only with what it was begun with."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.tiny import IMAGES, save_tiny
from training.data.captioned_images import CaptionedImages
from training.data.hinted_images import HintedImages
from training.data.synthetic_points import GaussianMixture
from training.data.training_set import Examples, FiniteSet
from training.recipe import RecipeError
from training.resume import RunFolder, sources_of


def own(identity: str) -> FiniteSet:
    rows = torch.randint(0, 256, (8, *IMAGES.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    names = tuple(f"{index}.png" for index in range(8))
    examples = Examples(rows, torch.zeros(8, dtype=torch.int64), names, ("a cat", "a dog") * 4)
    return FiniteSet(IMAGES, examples, examples, identity=identity)


def begun(runs: Path, sources: dict[str, str], start_from: str | None = None) -> RunFolder:
    """A run that has saved a state."""
    run = RunFolder(runs / "mine", fresh=False)
    run.prepare(sources, start_from)
    (run.path / "state-5").mkdir()
    return run


@pytest.mark.parametrize(
    "of",
    [lambda real: real, CaptionedImages, lambda real: HintedImages(real, "canny")],
    ids=["rows", "captions", "hints"],
)
def test_own_data_that_change_are_named_whatever_a_run_makes_of_them(tmp_path, of):
    before, after = (
        sources_of(SimpleNamespace(data=of(own(identity)), recipe=SimpleNamespace()), tmp_path) for identity in "ab"
    )
    run = begun(tmp_path, before)
    run.check(before)
    with pytest.raises(
        RecipeError, match=rf"the data set {IMAGES.dataset} has changed since .*mine was begun.*--fresh"
    ):
        run.check(after)
    RunFolder(run.path, fresh=True).check(after)


def test_a_base_that_was_trained_anew_is_named(tmp_path):
    task = SimpleNamespace(data=GaussianMixture(), recipe=SimpleNamespace(base="digits", teacher=None))
    save_tiny(tmp_path, IMAGES).rename(tmp_path / "digits")
    run = begun(tmp_path, sources_of(task, tmp_path))
    run.check(sources_of(task, tmp_path))
    weights = tmp_path / "digits" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(RecipeError, match="the checkpoint digits has changed"):
        run.check(sources_of(task, tmp_path))


def test_a_run_that_was_stopped_before_its_first_state_started_from_nothing(tmp_path):
    run = RunFolder(tmp_path / "mine", fresh=False)
    run.prepare({}, "A")
    assert begun(tmp_path, {}).resolve_start("mine", None) is None


def test_a_run_goes_on_from_what_it_started_from_and_from_nothing_else(tmp_path):
    run = begun(tmp_path, {}, "A")
    assert run.resolve_start("mine", "A") == run.resolve_start("mine", None) == "A"
    with pytest.raises(RecipeError, match=r"a state of mine, which started from A: without --from B .* --fresh"):
        run.resolve_start("mine", "B")
    plain = begun(tmp_path / "plain", {})
    with pytest.raises(RecipeError, match="which started from fresh weights: without --from A"):
        plain.resolve_start("mine", "A")
    assert RunFolder(run.path, fresh=True).resolve_start("mine", "B") == "B"
