"""What was measured, cell by cell, in a JSON file: the same command goes on where it was stopped."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.identified_json import read_identified, write_identified
from training.utility.classifier import Score
from training.utility.copies import Nearness


@dataclass(frozen=True)
class Cell:
    """One training of the classifier.

    rows       labelled rows of each class
    choice     which rows these are
    arm        see `arms.ARMS`
    generator  its key; "" in an arm without generated rows
    ratio      generated rows for each labelled one; 0 likewise
    """

    rows: int
    choice: int
    arm: str
    generator: str = ""
    ratio: int = 0


@dataclass(frozen=True)
class Taught:
    """A generator, once it has been taught by a choice of labelled rows."""

    rows: int
    choice: int
    generator: str


Found = tuple[Cell, Score] | tuple[Taught, Nearness]


class Results:
    """The file is written after each cell.

    identity  everything else that results depend on; a file with another identity is begun anew
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]):
        self._path, self._identity = path, json.loads(json.dumps(dict(identity)))
        known = read_identified(path, self._identity)
        self.cells = {Cell(**one["cell"]): _score(one["score"]) for one in known.get("cells", [])}
        self.nearness = {Taught(**one["taught"]): Nearness(**one["nearness"]) for one in known.get("taught", [])}

    def put(self, key: Cell | Taught, found: Score | Nearness) -> None:
        match key, found:
            case Cell() as cell, Score() as score:
                self.cells[cell] = score
            case Taught() as taught, Nearness() as nearness:
                known = self.nearness.get(taught)
                if known is None or known.ratio <= nearness.ratio:  # of more samples it is more exact
                    self.nearness[taught] = nearness
        self._write()

    def _write(self) -> None:
        fields = {
            "cells": [{"cell": asdict(cell), "score": asdict(score)} for cell, score in self.cells.items()],
            "taught": [{"taught": asdict(one), "nearness": asdict(found)} for one, found in self.nearness.items()],
        }
        write_identified(self._path, self._identity, fields)


def _score(fields: Mapping[str, Any]) -> Score:
    return Score(tuple(fields["recalls"]), fields["auc"])
