"""Files of jobs, in a folder and in what fsspec opens: there whole or not at all."""

import os
from pathlib import Path

import pytest

from service.jobs.results import PIECE, FolderResults, Results, need_writable, results_at


@pytest.fixture(params=["folder", "file", "remote"])
def results(request, tmp_path) -> Results:
    if request.param == "folder":
        return FolderResults(tmp_path / "jobs")
    return results_at(f"file://{tmp_path}/jobs" if request.param == "file" else f"memory://{tmp_path.name}")


def test_what_was_put_is_read_in_parts(results):
    content = os.urandom(2 * PIECE + 5)
    results.check()
    results.put("job", "a", content)
    assert b"".join(results.read("job", "a", 0, len(content))) == content
    assert b"".join(results.read("job", "a", PIECE - 1, PIECE + 3)) == content[PIECE - 1 : PIECE + 3]
    results.put("job", "a", b"other")
    assert list(results.read("job", "a", 0, 5)) == [b"other"]


def test_what_is_not_there_is_told_at_once(results):
    with pytest.raises(FileNotFoundError):
        results.read("job", "a", 0, 1)


def test_files_are_removed_except_those_that_are_known(results):
    for name in ("a", "b"):
        results.put("job", name, b"x")
    results.put("other", "a", b"x")
    results.remove("job", {"a"}.__contains__)
    assert list(results.read("job", "a", 0, 1)) == [b"x"]
    with pytest.raises(FileNotFoundError):
        results.read("job", "b", 0, 1)
    results.remove("job")
    results.remove("job")
    with pytest.raises(FileNotFoundError):
        results.read("job", "a", 0, 1)
    assert list(results.read("other", "a", 0, 1)) == [b"x"]


def test_a_folder_may_be_checked_while_it_is_checked(tmp_path, monkeypatch):
    touch, checked = Path.touch, []

    def touch_while_another_checks(path: Path) -> None:
        touch(path)
        if not checked:
            checked.append(path)
            need_writable(tmp_path)

    monkeypatch.setattr(Path, "touch", touch_while_another_checks)
    need_writable(tmp_path)
    assert checked and not any(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_file_that_could_not_be_written_leaves_nothing(tmp_path, monkeypatch, failing):
    def full(*_):
        raise OSError(28, "No space left on device")

    results = FolderResults(tmp_path)
    results.put("job", "a", b"old")
    monkeypatch.setattr(*(("os.fsync", full) if failing == "fsync" else ("pathlib.Path.replace", full)))
    with pytest.raises(OSError, match="No space left"):
        results.put("job", "a", b"new")
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["a"]
    assert list(results.read("job", "a", 0, 3)) == [b"old"]


def test_a_file_that_comes_while_others_are_removed_stays(tmp_path):
    results = FolderResults(tmp_path)
    results.put("job", "old", b"x")

    def unless(name: str) -> bool:
        results.put("job", "new", b"y")
        return False

    results.remove("job", unless)
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["new"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda results: results.check(),
        lambda results: results.put("job", "b", b"x"),
        lambda results: results.read("job", "a", 0, 1),
        lambda results: results.remove("job"),
    ],
)
def test_what_a_remote_place_fails_with_is_an_os_error(monkeypatch, ask):
    """As s3fs, which lets botocore's errors through."""

    class EndpointConnectionError(Exception):
        pass

    def fail(*_, **__):
        raise EndpointConnectionError("nobody answers")

    results = results_at("memory://failing")
    results.put("job", "a", b"x")
    pieces = results.read("job", "a", 0, 1)
    for name in ("pipe_file", "info", "exists", "cat_file"):
        monkeypatch.setattr(results._files, name, fail)
    with pytest.raises(OSError, match="EndpointConnectionError: nobody answers"):
        ask(results)
    with pytest.raises(OSError, match="EndpointConnectionError: nobody answers"):
        next(pieces)
