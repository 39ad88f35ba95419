"""Which groups are never trained on: photographs, patients, slides, whose rows are too alike to be split."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.data.split import rows_to_hold_out

MOST_OF_A_CLASS = 0.5  # of its rows that may be held out


class GroupError(ValueError):
    """Groups that cannot be split; the message says why."""


def held_out_groups(
    groups: Sequence[str],
    row_digests: NDArray[np.bytes_],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    share: float,
) -> NDArray[np.bool_]:
    """Which rows are held out, bool [n]: whole groups, until about a share of every class is.

    groups       [n] names
    row_digests  [n], see `split.digests`: groups with a row in common are held out together or not at all
    labels       [n], numbers of the classes; −1 without classes
    classes      their names
    share        0 … 1

    The choice depends on names and rows, and not on their order. Classes in few groups choose first. Raises GroupError
    for a class with nothing to hold out, or with nothing left to train on.
    """
    names, name = np.unique(np.asarray(groups), return_inverse=True)
    group = _joined(name, row_digests)[name]
    _, label = np.unique(labels, return_inverse=True)
    rows = np.zeros((group.max() + 1, label.max() + 1), dtype=np.int64)  # of each group in each class
    np.add.at(rows, (group, label), 1)
    total = rows.sum(0)
    order = _random_order(names, group[np.unique(name, return_index=True)[1]], len(rows))
    held = np.zeros(len(rows), dtype=bool)
    for c in np.argsort((rows > 0).sum(0), kind="stable").tolist():
        wanted = rows_to_hold_out(int(total[c]), share)
        for candidate in order:
            if rows[held, c].sum() >= wanted:
                break
            left = total - rows[held].sum(0) - rows[candidate]
            if rows[candidate, c] and not held[candidate] and (left >= (1 - MOST_OF_A_CLASS) * total).all():
                held[candidate] = True
    _check(rows, held, classes)
    chosen: NDArray[np.bool_] = held[group]
    return chosen


def _joined(name: NDArray[np.int64], row_digests: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """The number [names] of each name's group, where names with a row in common are one group."""
    kinds, kind = np.unique(row_digests, return_inverse=True)
    names, size = int(name.max()) + 1, int(name.max()) + 1 + len(kinds)
    edges = coo_array((np.ones(len(name), dtype=bool), (name, names + kind)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    _, number = np.unique(component[:names], return_inverse=True)
    return number


def _random_order(names: NDArray[np.str_], group: NDArray[np.int64], groups: int) -> list[int]:
    """The groups in an order that depends on their names alone.

    group  [names], the group of each name
    """
    first = [""] * groups
    for name, number in zip(names.tolist(), group.tolist(), strict=True):
        digest = hashlib.sha256(name.encode()).hexdigest()
        first[number] = min(first[number] or digest, digest)
    return sorted(range(groups), key=lambda number: first[number])


def _check(rows: NDArray[np.int64], held: NDArray[np.bool_], classes: Sequence[str]) -> None:
    for c in np.flatnonzero((rows[held].sum(0) == 0) | (rows[~held].sum(0) == 0)).tolist():
        groups = int((rows[:, c] > 0).sum())
        who = f"class {classes[c]}" if classes else "the set"
        raise GroupError(
            f"{who} has its {rows[:, c].sum():,} rows in {groups} group{'' if groups == 1 else 's'}, so that none can "
            f"be held out: give it rows of more groups, or take it away"
        )
