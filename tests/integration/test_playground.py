"""The page at /, its files, and the real points that it shows: without a browser."""

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoints.judge import JudgeConfig, save_judge
from model.checkpoints.reference_points import Reference, save_reference
from model.checkpoints.training_rows import TrainingRows, save_training_rows
from tests.tiny import IMAGES, POINTS, random_network, save_tiny

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "service" / "playground"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def test_the_page_and_all_that_it_names_are_there(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    named = set(re.findall(r'(?:src|href)="(playground/[^"]+)"', page.text))
    for path in named:
        assert client.get("/" + path).status_code == 200
    imported = {Path(path).name for path in named if path.endswith(".js")}
    for module in FOLDER.glob("*.js"):
        imported |= set(re.findall(r'from "\./([^"]+)"', module.read_text()))
    languages = json.loads(re.fullmatch(r"export const LANGUAGES = (.*);\n", made(client)).group(1))
    words = {f"words-{language}.js" for language in languages}  # of which the page loads one
    files = {module.name for module in FOLDER.glob("*.js")}
    assert imported - {"languages.js"} | words == files  # none is missing, none is left over


def made(client) -> str:
    """The module of languages, which is no file."""
    answer = client.get("/playground/languages.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    return answer.text


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.iterdir()))
def test_a_file_comes_as_what_it_is_and_is_asked_for_again(client, file):
    answer = client.get(f"/playground/{file}")
    assert answer.headers["content-type"].split(";")[0] == TYPES[Path(file).suffix]
    assert (
        answer.headers["cache-control"] == "no-cache"
        and "script-src 'self'" in answer.headers["content-security-policy"]
    )
    for part in ("items=0-1", "bytes=0-3", "bytes=9999999-"):  # a small file comes whole
        whole = client.get(f"/playground/{file}", headers={"Range": part})
        assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, answer.content, "none")
    unchanged = client.get(f"/playground/{file}", headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304 and unchanged.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere_or_stands_inline(file):
    text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://", text)
    if file.suffix in (".html", ".js"):
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*src=)|innerHTML|eval\(", text)


def test_only_its_own_files_are_served(client):
    for path in ("/playground/", "/playground/nothing.js", "/playground/..%2Fapp.py", "/playground/../app.py"):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"


def test_only_reading_is_for_the_page_and_its_files(client):
    for path in ("/", "/playground/main.js"):
        answer = client.delete(path)
        assert answer.status_code == 405 and answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["allow"] == "GET, HEAD" and answer.json()["detail"].endswith("use GET, HEAD")
        whole, head = client.get(path), client.head(path)
        assert head.status_code == 200 and head.content == b""
        for name in ("content-type", "etag", "cache-control"):
            assert head.headers[name] == whole.headers[name]


def test_all_of_it_is_in_the_installed_package():
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["service"]
    for path in FOLDER.rglob("*"):
        assert any(fnmatch(str(path.relative_to(FOLDER.parent)), pattern) for pattern in patterns), path


def test_the_page_and_the_contract_are_open_where_a_key_is_wanted_and_nothing_else_is(make_client):
    client = make_client(ready=False, api_key="sesame")
    linked = re.findall(r'<a href="(\w+)">', client.get("/").text)
    assert linked == ["docs", "docs"]
    parts = re.findall(r'(?:src|href)="(docs/[^"]+)"', client.get("/docs").text)
    assert len(parts) == 3
    for path in ("/", "/playground/main.js", "/docs", "/openapi.json", *("/" + part for part in parts)):
        assert client.get(path).status_code == 200, path
    for path in ("/models", "/models/spiral-tiny/reference", "/metrics", "/playgroundx", "/docsx", "/openapi-json"):
        assert client.get(path).status_code == 401, path


def test_the_contract_tells_of_no_model(client, make_client, tmp_path):
    secret = IMAGES.model_copy(update={"dataset": "hidden-data", "labels": ("hidden-label",)})
    save_tiny(tmp_path, secret, name="hidden-model")
    other = make_client(checkpoints=tmp_path, ready=False, api_key="sesame")
    assert other.get("/openapi.json").json() == client.get("/openapi.json").json()


def test_real_points_are_shown_as_they_were_kept(make_client, tmp_path):
    save_tiny(tmp_path, IMAGES)
    kept = Reference(torch.randn(7, 2), torch.tensor([0, 1, 0, 1, 1, 0, -1]))
    save_reference(save_tiny(tmp_path, POINTS), kept)
    client = make_client(checkpoints=tmp_path)
    datasets = client.get("/models").json()["datasets"]
    assert [datasets[name]["models"][0]["reference"] for name in ("spiral", "mnist")] == [7, 0]
    answer = client.get("/models/spiral-tiny/reference").json()
    np.testing.assert_array_equal(np.float32(answer["points"]), kept.points.numpy())
    assert answer["classes"] == kept.labels.tolist() and answer["columns"] == ["x", "y"]
    for name in ("mnist-tiny", "nothing"):
        missing = client.get(f"/models/{name}/reference")
        assert missing.status_code == 404 and "spiral-tiny" in missing.json()["detail"]


def test_the_page_knows_what_a_model_can_leave_out(make_client, tmp_path, monkeypatch):
    save_tiny(tmp_path, IMAGES)
    save_tiny(tmp_path, IMAGES.model_copy(update={"labels": ()}), name="unlabelled")
    save_tiny(tmp_path, IMAGES.model_copy(update={"labels": ("zero", "one")}), name="others")
    save_training_rows(save_tiny(tmp_path, POINTS), TrainingRows(torch.zeros(3, 2), 0.1))
    client = make_client(checkpoints=tmp_path)

    def told() -> dict[str, tuple[bool, bool]]:
        models = [one for data in client.get("/models").json()["datasets"].values() for one in data["models"]]
        return {one["name"]: (one["training_rows"], one["judged"]) for one in models}

    no = dict.fromkeys(("mnist-tiny", "unlabelled", "others"), (False, False))
    assert told() == no | {"spiral-tiny": (True, False)}
    config = JudgeConfig(name="mnist-judge", data=IMAGES, width=8, features=8)
    save_judge(tmp_path / "mnist-judge", config, random_network(config, 0))
    judged = dict.fromkeys(("mnist-tiny", "unlabelled"), (False, True))  # the latter by classes that others know
    assert told() == no | judged | {"spiral-tiny": (True, False)}

    def refuse(folder: Path):
        raise PermissionError(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)  # a folder that cannot be read any more: its models are in memory
    assert told() == no | {"spiral-tiny": (True, False)}


def test_the_worst_samples_are_shown_where_the_card_has_their_picture(make_client, tmp_path):
    save_tiny(tmp_path, IMAGES)
    folder = save_tiny(tmp_path, POINTS)
    Image.new("RGB", (4, 3), "red").save(folder / "farthest.png")
    client = make_client(checkpoints=tmp_path)
    datasets = client.get("/models").json()["datasets"]
    assert [datasets[name]["models"][0]["farthest"] for name in ("spiral", "mnist")] == [True, False]
    answer = client.get("/models/spiral-tiny/farthest")
    assert answer.headers["content-type"] == "image/png" and answer.content == (folder / "farthest.png").read_bytes()
    for name in ("mnist-tiny", "nothing", "..%2Fspiral-tiny"):
        missing = client.get(f"/models/{name}/farthest")
        assert missing.status_code == 404
    assert "spiral-tiny" in client.get("/models/mnist-tiny/farthest").json()["detail"]
    (folder / "farthest.png").unlink()
    assert client.get("/models/spiral-tiny/farthest").status_code == 404
