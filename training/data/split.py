"""Which rows are never trained on."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

FEW = 4  # rows of a class that are held out at least, but at most a quarter of the class
MOST = 10_000  # held-out rows in all: they are held in memory


def digests(rows: NDArray[np.generic]) -> NDArray[np.bytes_]:
    """A digest [n] of the bytes of each row [n, …]: equal rows have equal digests."""
    return np.array([hashlib.sha256(row.tobytes()).hexdigest()[:24] for row in rows], dtype="S24")


def held_out(row_digests: NDArray[np.bytes_], labels: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Which rows are held out, bool [n]: a share of every class.

    row_digests  [n], see `digests`; the choice depends on the rows' content alone, not on their order or names
    labels       [n]
    share        0 … 1

    Copies of a row are held out together or not at all, whatever their classes: no held-out row was trained on.
    """
    share = min(share, MOST / max(1, len(labels)))
    kinds, kind = np.unique(row_digests, return_inverse=True)  # sorted, a random order for digests
    trained = np.zeros(len(kinds), dtype=bool)
    for label in np.unique(labels):
        members = np.unique(kind[labels == label])
        few = min(FEW, math.ceil(len(members) / 4))
        count = min(max(few, math.floor(share * len(members))), len(members) - 1)
        # A row in several classes is held out only if all of them choose it, so each class keeps rows to train on.
        trained[members[count:]] = True
    held: NDArray[np.bool_] = ~trained[kind]
    return held
