"""Fifty imported models in 2 GiB, by what the operating system says that the service holds."""

import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest

from tests.foreign import RESIDUAL, save_pipeline, scheduler_of, unet
from training.exporting.serving_graphs import write_graph
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions

pytestmark = pytest.mark.slow

MANY = 50
LIMIT = 2 << 30
WIDTHS = (192, 384)
ASKED = {"n": 2, "steps": 2, "seed": 3}
NPY = {"Accept": "application/x-npy"}
LARGEST_OF_ITSELF = 1 << 30  # bytes of a process with all its libraries, and of fifty models that it only knows of
COPIES = 6  # of its weights, while a model is loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Five models of 100 MB, and nine more of each by another name. They share files, and no memory."""
    root = tmp_path_factory.mktemp("many")
    checkpoints = root / "checkpoints"
    large = {"block_out_channels": WIDTHS, "norm_num_groups": 32, "attention_head_dim": 64, "layers_per_block": 2}
    sources = {
        "ddim": (unet(**large), "ddim"),
        "ddpm": (unet(**large, out_channels=6), "ddpm"),
        "labelled": (unet("classes", **large | {"time_embedding_dim": None}), "ddim"),
        "residual": (unet(**RESIDUAL | large | {"block_out_channels": (64, *WIDTHS)}), "ddim"),
        "consistency": (unet(**large), "consistency"),
    }
    for name, (network, kind) in sources.items():
        options = {"variance_type": "learned_range"} if name == "ddpm" else {}
        save_pipeline(root / name, network, scheduler_of(kind, **options))
        import_model(root / name, checkpoints, ImportOptions(f"{name}-0"), lambda made: write_graph(made, "denoiser"))
        shutil.rmtree(root / name)
        for number in range(1, MANY // len(sources)):
            copy = shutil.copytree(checkpoints / f"{name}-0", checkpoints / f"{name}-{number}", copy_function=os.link)
            config = json.loads((copy / "config.json").read_text())
            config["name"] = config["data"]["dataset"] = copy.name
            (copy / "config.json").unlink()
            (copy / "config.json").write_text(json.dumps(config))
    return checkpoints


class Watch:
    """The most bytes that a process is seen to hold."""

    def __init__(self, process: int):
        self._status, self._ended, self.most = Path(f"/proc/{process}/status"), threading.Event(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def now(self) -> int:
        return 1024 * int(re.search(r"^VmRSS:\s+(\d+) kB", self._status.read_text(), re.MULTILINE)[1])

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, self.now())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def test_fifty_imported_models_in_two_gibibytes(start_service, folder):
    names = sorted(path.name for path in folder.iterdir())
    weights = max(path.stat().st_size for path in folder.glob("*/model.safetensors"))
    assert len(names) == MANY and MANY * weights > 1.5 * LIMIT
    options = ("--checkpoints", str(folder), "--memory-limit", str(LIMIT), "--deadline-seconds", "600")
    service = start_service(*options, "--max-queued-seconds", "600", "--batch-sizes", "2,4")
    with Watch(service.popen.pid) as watch:
        service.wait_until_ready()
        first: dict[str, bytes] = {}
        for name in (*names, *reversed(names[:5])):
            answer = service.post("/sample", json=ASKED | {"dataset": name}, headers=NPY, timeout=600)
            assert answer.status_code == 200, (name, answer.text)
            assert first.setdefault(name, answer.content) == answer.content
            assert service.metric("spirale_model_bytes") <= LIMIT
            assert watch.now() <= LIMIT + LARGEST_OF_ITSELF, name
        assert len(set(first.values())) == 5
        assert service.metric("spirale_model_evictions_total") > 20
        settled = watch.now()
        service.popen.send_signal(signal.SIGHUP)  # reads all fifty again
        answer = service.post("/sample", json=ASKED | {"dataset": names[0]}, headers=NPY, timeout=600)
        assert answer.content == first[names[0]]
    print(f"settled {settled >> 20} MiB, at most {watch.most >> 20} MiB, weights {weights >> 20} MiB")
    assert watch.most <= LIMIT + LARGEST_OF_ITSELF + COPIES * weights
