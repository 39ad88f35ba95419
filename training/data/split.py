"""Which rows are never trained on."""

import hashlib
import math

import numpy as np

FEW = 4  # of a class that are held out, however small the share; of small classes a quarter
MOST = 10_000  # rows in all: what measuring is done with is held in memory


def digests(rows: np.ndarray) -> np.ndarray:
    """Of the bytes of each row [n, …]: rows that are alike have the same, wherever they came from."""
    return np.array([hashlib.sha256(np.ascontiguousarray(row)).hexdigest()[:24] for row in rows], dtype="S24")


def held_out(of_rows: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """bool [n]: a share of every class, by the content of its rows, so that neither their order nor their names matter.

    of_rows  `digests`. Copies of a row are held out together, or not at all: what is measured with was never seen
    """
    share = min(share, MOST / max(1, len(labels)))
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        kinds, kind = np.unique(of_rows[members], return_inverse=True)  # sorted, which for digests is at random
        few = min(FEW, math.ceil(len(kinds) / 4))
        count = min(max(few, math.floor(share * len(kinds))), len(kinds) - 1)
        held[members] = kind < count
    return held
