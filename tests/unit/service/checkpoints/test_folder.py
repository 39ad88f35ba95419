"""What is in a folder of checkpoints."""

import pytest

from service.checkpoints.folder import read_checkpoint_folder
from tests.tiny import POINTS, save_tiny


@pytest.mark.parametrize("copy", ["a-copy", "zz-copy"])
def test_a_copy_does_not_take_the_place_of_what_is_called_so(tmp_path, copy):
    save_tiny(tmp_path / "other", POINTS, steps=9).rename(tmp_path / copy)
    save_tiny(tmp_path, POINTS, steps=7)
    (tmp_path / "other").rmdir()
    shelf = read_checkpoint_folder(tmp_path)
    assert [one.config.sampling.steps for one in shelf.loaded.values()] == [7]
    assert list(shelf.refused) == [copy] and "spiral-tiny" in shelf.refused[copy]


def test_of_two_copies_the_first_is_served(tmp_path):
    for copy, steps in (("b", 9), ("a", 7)):
        save_tiny(tmp_path, POINTS, steps=steps).rename(tmp_path / copy)
    shelf = read_checkpoint_folder(tmp_path)
    assert shelf.loaded["spiral-tiny"].config.sampling.steps == 7
    assert shelf.refused == {"b": "its config.json calls it spiral-tiny, as that of a does"}
