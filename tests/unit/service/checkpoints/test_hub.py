"""Checkpoints of the Hub, from a local mirror of the part of its HTTP API that is used."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import pytest

from model.checkpoints.folder import read_checkpoint_folder
from service import __main__ as process
from service.checkpoints.hub import HubError, local_folder
from tests.tiny import IMAGES, POINTS, save_tiny

COMMIT, OLDER = "a" * 40, "b" * 40


class Mirror(BaseHTTPRequestHandler):
    """Repositories by name, each with its files at every commit; `main` is COMMIT."""

    repositories: ClassVar[dict[str, dict[str, dict[str, bytes]]]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        type(self).asked.append(path)
        for name, commits in self.repositories.items():
            if path.startswith(f"api/models/{name}/revision/"):
                commit = {"main": COMMIT}.get(path.rsplit("/", 1)[1], path.rsplit("/", 1)[1])
                return self._json({"id": name, "sha": commit}) if commit in commits else self._missing("Revision")
            if path.startswith(f"api/models/{name}/tree/"):
                files = commits[path.split("/")[5]]
                listed = [
                    {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for file, content in files.items()
                ]
                return self._json(listed)
            if path.startswith(f"{name}/resolve/"):
                commit, file = path.removeprefix(f"{name}/resolve/").split("/", 1)
                return self._send(commits[commit][file], commit)
        self._missing("Repo")

    do_HEAD = do_GET

    def _json(self, document: object) -> None:
        self._send(json.dumps(document).encode(), COMMIT)

    def _missing(self, what: str) -> None:
        self._send(b"{}", COMMIT, 404, {"X-Error-Code": f"{what}NotFound"})

    def _send(self, content: bytes, commit: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        own = {"Content-Length": str(len(content)), "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        for key, value in (own | {"X-Repo-Commit": commit} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("hub")
    one, many = save_tiny(root / "one", IMAGES), root / "many"
    save_tiny(many, IMAGES)
    save_tiny(many, POINTS)
    (one / "pytorch_model.bin").write_bytes(b"a pickle")
    (one / "code.py").write_text("raise SystemExit")
    (one / "states" / "step-9").mkdir(parents=True)
    (one / "states" / "step-9" / "model.safetensors").write_bytes(b"of a training")
    older = root / "older"
    shutil.copytree(one, older)
    (older / "config.json").write_text((older / "config.json").read_text().replace('"steps": 4', '"steps": 3'))
    Mirror.repositories = {
        "somebody/digits": {COMMIT: files_of(one), OLDER: files_of(older)},
        "somebody/zoo": {COMMIT: files_of(many)},
        "somebody/other": {COMMIT: {"model_index.json": b"{}", "unet/model.safetensors": b""}},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def steps(folder):
    (checkpoint,) = read_checkpoint_folder(folder, strict=False).denoisers
    return checkpoint.config.sampling.steps


def test_a_repository_is_a_checkpoint_of_which_tensors_and_configs_alone_are_taken(hub, tmp_path):
    folder = local_folder(Path("somebody/digits"), hub, tmp_path / "cache")
    assert sorted(files_of(folder)) == ["config.json", "model.safetensors"] and folder.name == COMMIT
    assert not any(file.endswith((".bin", ".py")) or "states/" in file for file in Mirror.asked)
    assert steps(folder) == 4


def test_a_repository_of_several_checkpoints(hub, tmp_path):
    folder = local_folder(Path("somebody/zoo"), hub, tmp_path / "cache")
    assert sorted(read_checkpoint_folder(folder, strict=False).loaded) == ["mnist-tiny", "spiral-tiny"]


def test_a_pinned_revision_is_served_from_the_cache_without_the_hub(hub, tmp_path):
    assert steps(local_folder(Path(f"somebody/digits@{OLDER}"), hub, tmp_path / "cache")) == 3
    away = "http://127.0.0.1:9"  # nobody listens there
    assert steps(local_folder(Path(f"somebody/digits@{OLDER}"), away, tmp_path / "cache")) == 3


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    def no_route(*_, **__):  # the client's own tries take half a minute
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_route)
    with pytest.raises(HubError, match=r"cannot be reached, nor is somebody/digits in its cache: no route to host$"):
        local_folder(Path("somebody/digits"))


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("nobody/digits", "neither a folder nobody/digits nor a repository"),
        ("somebody/digits@gone", "has no revision gone"),
        ("somebody/other", "another library wants `training import`"),
    ],
)
def test_what_is_not_there(wanted, says, hub, tmp_path):
    with pytest.raises(HubError, match=says) as refused:
        local_folder(Path(wanted), hub, tmp_path / "cache")
    assert "\n" not in str(refused.value)


def test_a_folder_comes_first_and_a_path_is_no_repository(tmp_path, hub):
    (tmp_path / "somebody/digits").mkdir(parents=True)
    for path in ("somebody/digits", "checkpoints", "a/b/c", str(tmp_path / "nowhere")):
        assert local_folder(Path(path), hub) == Path(path)


def test_the_process_says_in_one_sentence_that_the_hub_is_not_there(monkeypatch, capsys):
    def away(*_, **__):
        raise HubError("the Hub cannot be reached")

    monkeypatch.setattr(process, "local_folder", away)
    monkeypatch.setattr("sys.argv", ["service", "--checkpoints", "somebody/digits"])
    assert process.main() == 2
    assert capsys.readouterr().err == "python -m service: the Hub cannot be reached\n"


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"spirale\[hub\]"):
        local_folder(Path("somebody/digits"))
