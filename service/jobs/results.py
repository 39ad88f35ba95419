"""Where the files of jobs are: a folder on this machine, or any place that fsspec knows, such as s3://bucket/prefix."""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PIECE = 1 << 20  # bytes that are read at once


class Results(Protocol):
    """Files by job and name. A file is there whole or not at all. Where the place fails, every method raises OSError,
    and so do the pieces that are read."""

    def check(self) -> None:
        """Write something, and delete it again."""

    def put(self, job: str, name: str, content: bytes) -> None:
        """Durable when this returns."""

    def read(self, job: str, name: str, start: int, stop: int | None) -> Iterator[bytes]:
        """Bytes start … stop − 1, or to the end, piece by piece. Raises FileNotFoundError at once."""

    def remove(self, job: str, unless: Callable[[str], bool] = lambda name: False) -> None:
        """Delete a job's files, except those whose names `unless` holds for."""


def need_writable(folder: Path) -> None:
    """Make the folder, and write something there. Raises OSError. Permissions alone do not say: a file system may be
    read-only."""
    folder.mkdir(parents=True, exist_ok=True)
    # Threads, and containers, in each of which a process may be number 1, check the same folder at once.
    probe = folder / f".writable-{secrets.token_hex(8)}"
    probe.touch()
    probe.unlink()


class FolderResults:
    """A folder for each job. A file is written under another name, and renamed when it is on the disk."""

    def __init__(self, root: Path):
        self._root = root

    def check(self) -> None:
        need_writable(self._root)

    def put(self, job: str, name: str, content: bytes) -> None:
        folder = self._root / job
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{name}.unfinished"
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(folder / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)  # the name, too, is on the disk
        finally:
            os.close(entry)

    def read(self, job: str, name: str, start: int, stop: int | None) -> Iterator[bytes]:
        file = (self._root / job / name).open("rb")

        def pieces() -> Iterator[bytes]:
            with file:
                left = (os.fstat(file.fileno()).st_size if stop is None else stop) - start
                file.seek(start)
                while left > 0 and (piece := file.read(min(PIECE, left))):
                    left -= len(piece)
                    yield piece

        return pieces()

    def remove(self, job: str, unless: Callable[[str], bool] = lambda name: False) -> None:
        folder = self._root / job
        try:
            paths = list(folder.iterdir())
        except FileNotFoundError:
            return
        gone = [path for path in paths if not unless(path.name)]
        for path in gone:
            path.unlink(missing_ok=True)
        if len(gone) == len(paths):
            try:
                folder.rmdir()
            except OSError as error:
                # A file that has come meanwhile stays; somebody else may delete the folder too.
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                    raise


def results_at(address: str) -> Results:
    """The place that an address names: a folder, also one of file://, or what fsspec opens.

    Raises ImportError where the package for that kind of address is not installed, and ValueError for what is none.
    """
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    files, root = url_to_fs(address)
    return FolderResults(Path(root)) if isinstance(files, LocalFileSystem) else RemoteResults(files, root)


class RemoteResults:
    """What fsspec opens. An object store shows a file when all of it has come."""

    def __init__(self, files: "AbstractFileSystem", root: str):
        self._files, self._root = files, root

    def check(self) -> None:
        probe = f"{self._root}/.writable-{secrets.token_hex(8)}"
        with _only_os_errors():
            self._files.pipe_file(probe, b"")
            self._files.rm_file(probe)

    def put(self, job: str, name: str, content: bytes) -> None:
        with _only_os_errors():
            self._files.pipe_file(f"{self._root}/{job}/{name}", content)

    def read(self, job: str, name: str, start: int, stop: int | None) -> Iterator[bytes]:
        path = f"{self._root}/{job}/{name}"
        with _only_os_errors():
            size = self._files.info(path)["size"]
        end = size if stop is None else stop
        return (self._piece(path, at, min(end, at + PIECE)) for at in range(start, end, PIECE))

    def remove(self, job: str, unless: Callable[[str], bool] = lambda name: False) -> None:
        folder = f"{self._root}/{job}"
        with _only_os_errors():
            self._files.invalidate_cache(folder)
            if not self._files.exists(folder):
                return
            gone = [path for path in self._files.ls(folder, detail=False) if not unless(path.rpartition("/")[2])]
            if gone:
                self._files.rm(gone)

    def _piece(self, path: str, start: int, stop: int) -> bytes:
        with _only_os_errors():
            content: bytes = self._files.cat_file(path, start=start, end=stop)
            return content


@contextlib.contextmanager
def _only_os_errors() -> Iterator[None]:
    """Each place has errors of its own: botocore's, for one, where nobody answers, are no OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
