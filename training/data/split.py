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

    of_rows  `digests`. Copies of a row are held out together, or not at all, in whatever classes they lie: what is
             measured with was never seen
    """
    share = min(share, MOST / max(1, len(labels)))
    kinds, kind = np.unique(of_rows, return_inverse=True)  # sorted, which for digests is at random
    trained = np.zeros(len(kinds), dtype=bool)
    for label in np.unique(labels):
        members = np.unique(kind[labels == label])
        few = min(FEW, math.ceil(len(members) / 4))
        count = min(max(few, math.floor(share * len(members))), len(members) - 1)
        # What lies in several classes is held out where all of them would: each keeps something to train on.
        trained[members[count:]] = True
    return ~trained[kind]
