"""Which rows are never trained on."""

import hashlib
import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

FEW = 4  # rows of a class that are held out at least, but at most a quarter of the class
MOST = 10_000  # rows that `held_out` holds out: they are held in memory. Whole groups may have more
COMMON, SHARE = 5, 0.02  # a value in so many lines, and in such a share of them, is no chance copy
FIRST = b"~"  # begins the digest of a row that must be trained on
LINES_A_VALUE = 4  # a column with more lines than this for each of its values is discrete


def digests(rows: NDArray[np.generic]) -> NDArray[np.bytes_]:
    """A digest [n] of the bytes of each row [n, …]: equal rows have equal digests."""
    return np.array([hashlib.sha256(row.tobytes()).hexdigest()[:24] for row in rows], dtype="S24")


def discrete_rows(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points [n, d] are equal because their values are discrete, and not because one was copied: bool [n].

    All values of such a point are common: the column has few values (counts, faces of a die), or this value is in many
    lines (the 0 of a zero-inflated column).
    """
    n = len(points)
    discrete = np.ones(n, dtype=bool)
    for column in points.T:
        values, index, counts = np.unique(column, return_inverse=True, return_counts=True)
        if LINES_A_VALUE * len(values) >= n:
            discrete &= (counts >= max(COMMON, SHARE * n))[index]
    return discrete


def held_out(
    row_digests: NDArray[np.bytes_],
    labels: NDArray[np.int64],
    share: float,
    discrete: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Which rows are held out, bool [n]: a share of every class.

    row_digests  [n], see `digests`; the choice depends on the rows' content alone, not on their order or names
    labels       [n]
    share        0 … 1
    discrete     [n], see `discrete_rows`: these are split one by one, and the first of equal ones is trained on

    Copies of any other row are held out together or not at all, whatever their classes: no such held-out row was
    trained on.
    """
    share = min(share, MOST / max(1, len(labels)))
    if discrete is not None:
        row_digests = _told_apart(row_digests, labels, discrete)
    kinds, kind = np.unique(row_digests, return_inverse=True)  # sorted, a random order for digests
    trained = np.zeros(len(kinds), dtype=bool)
    for label in np.unique(labels):
        members, copies = np.unique(kind[labels == label], return_counts=True)
        rows = int(copies.sum())
        budget = rows_to_hold_out(rows, share)
        # A row in several classes is held out only if all of them choose it, so each class keeps rows to train on.
        trained[members[~_chosen(kinds[members], copies, budget)]] = True
    held: NDArray[np.bool_] = ~trained[kind]
    return held


def rows_to_hold_out(rows: int, share: float) -> int:
    """Of so many rows of a class."""
    return max(min(FEW, math.ceil(rows / 4)), math.floor(share * rows))


def _chosen(kinds: NDArray[np.bytes_], copies: NDArray[np.int64], budget: int) -> NDArray[np.bool_]:
    """Which kinds of rows a class holds out: in their order, as many as leave it within the budget of rows.

    At least one is chosen, the rarest if none is within the budget, and at least one is not.
    """
    free = np.array([not kind.startswith(FIRST) for kind in kinds])
    chosen = np.zeros(len(kinds), dtype=bool)
    for index in np.flatnonzero(free).tolist():
        if copies[index] <= budget and chosen.sum() < len(kinds) - 1:
            chosen[index] = True
            budget -= int(copies[index])
    if not chosen.any() and free.any() and len(kinds) > 1:
        chosen[np.flatnonzero(free)[copies[free].argmin()]] = True
    return chosen


def _told_apart(
    row_digests: NDArray[np.bytes_], labels: NDArray[np.int64], discrete: NDArray[np.bool_]
) -> NDArray[np.bytes_]:
    """Digests in which equal discrete rows of a class differ; the first of several begins with FIRST."""
    apart = row_digests.astype("S25")
    rows = list(zip(row_digests.tolist(), labels.tolist(), strict=True))
    indices = np.flatnonzero(discrete).tolist()
    several = Counter(rows[index] for index in indices)
    seen = Counter[tuple[bytes, int]]()
    for index in indices:
        row = rows[index]
        digest = hashlib.sha256(repr((row, seen[row])).encode()).hexdigest()[:24].encode()
        apart[index] = FIRST + digest if several[row] > 1 and not seen[row] else digest
        seen[row] += 1
    return apart
