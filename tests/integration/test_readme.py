"""README's Python block gives what the service answers."""

import io
import re
import runpy
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def test_readmes_python_and_the_service_give_the_same_bytes(tmp_path, monkeypatch, make_client):
    [block] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len([line for line in block.splitlines() if line]) <= 10
    script = tmp_path / "readme.py"
    script.write_text(block)
    monkeypatch.chdir(ROOT)
    images = runpy.run_path(str(script))["images"]

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "mnist-cfg").symlink_to(ROOT / "checkpoints" / "mnist-cfg")
    client = make_client(checkpoints=tmp_path / "served")
    fields = {"dataset": "mnist", "label": 7, "n": 4, "seed": 0}
    fields |= {"sampler": "dpmpp-2m", "steps": 20, "guidance_scale": 1.3}
    answer = client.post("/sample", json=fields, headers={"Accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    assert np.array_equal(images, np.load(io.BytesIO(answer.content)))
    assert len({image.tobytes() for image in images}) == 4
