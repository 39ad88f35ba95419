"""The service serves what loads, and its log names the rest."""

import pytest
from structlog.testing import capture_logs

from model.checkpoints.base import save_checkpoint
from service.checkpoints.folder import catalog_of, served_folder
from tests.tiny import IMAGES, POINTS, save_tiny, tiny_autoguidance, tiny_checkpoint, tiny_control


def test_the_log_names_a_broken_checkpoint_and_the_others_are_served(tmp_path):
    save_tiny(tmp_path, POINTS)
    (save_tiny(tmp_path, IMAGES) / "model.safetensors").unlink()
    with capture_logs() as logs:
        folder = served_folder(tmp_path)
    assert list(catalog_of(folder).served) == ["spiral-tiny"]
    assert [(entry["event"], entry["checkpoint"]) for entry in logs] == [("checkpoint left out", "mnist-tiny")]
    assert "cannot read model.safetensors" in logs[0]["reason"]


def test_a_folder_that_cannot_be_read_is_empty_and_named(tmp_path):
    with capture_logs() as logs:
        folder = served_folder(tmp_path / "nowhere")
    assert folder.loaded == folder.refused == {}
    assert len(logs) == 1 and "nowhere" in logs[0]["reason"] and logs[0]["log_level"] == "error"


@pytest.mark.parametrize("make", [tiny_control, tiny_autoguidance])
def test_a_control_or_a_weak_network_without_its_denoiser_serves_nobody(tmp_path, make):
    save_tiny(tmp_path, IMAGES)
    bound = make(tiny_checkpoint(name="mnist-other"))
    save_checkpoint(tmp_path / bound.name, bound.config, bound.network)
    with capture_logs() as logs:
        catalog = catalog_of(served_folder(tmp_path))
    assert catalog.served["mnist-tiny"].controls == {} and catalog.served["mnist-tiny"].weak is None
    assert [entry["checkpoint"] for entry in logs] == [bound.name]
    assert "trained beside mnist-other" in logs[0]["reason"]
