"""Load points measured so far, in a file: a comparison takes an hour; one that was broken off goes on from there."""

import json
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

from benchmarks import machine
from benchmarks.load import Answered


class Notebook:
    """A line of JSON for each load, by the machine and all that was set. `None` as the path: nothing is kept."""

    def __init__(self, path: Path | None):
        self._path = path
        self._points: dict[str, list[Answered]] = {}
        if path is not None and path.is_file():
            for line in path.read_text().splitlines():
                written = json.loads(line)
                self._points[_key(written["load"])] = [Answered(*one) for one in written["answers"]]

    def look_up(self, measure: Callable[[], list[Answered]], **load: object) -> list[Answered]:
        """What became of `load`: as it was written down, or else measured now."""
        load = {"machine": machine.describe(), **load}
        if _key(load) not in self._points:
            self._points[_key(load)] = answers = measure()
            if self._path is not None:
                with self._path.open("a") as file:
                    print(json.dumps({"load": load, "answers": [astuple(one) for one in answers]}), file=file)
        return self._points[_key(load)]


def _key(load: dict[str, object]) -> str:
    return json.dumps(load, sort_keys=True)
