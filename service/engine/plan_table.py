"""All plans in use as one table, so that a tick gathers its rows' coefficients at once, whatever their samplers."""

from collections.abc import Iterable

import numpy as np

from model.plan import Plan
from model.sampler_spec import COLUMNS

ROWS_WORTH_KEEPING = 50_000  # 3 MB: fifty plans of a thousand steps


class PlanTable:
    """The rows of every plan that was asked for, one plan after the other, on the host.

    t, s          int64    [rows]
    coefficients  float32  [rows, len(COLUMNS)]
    stochastic    bool     [rows]
    inverts       bool     [rows]
    """

    t: np.ndarray
    s: np.ndarray
    coefficients: np.ndarray
    stochastic: np.ndarray
    inverts: np.ndarray

    def __init__(self) -> None:
        self.keep([])

    def first_row(self, plan: Plan) -> int:
        """Where the plan's rows begin; they are added where they are not there yet."""
        if plan not in self._first:
            self._first[plan] = len(self.t)
            self.t, self.s = np.concatenate([self.t, plan.t]), np.concatenate([self.s, plan.s])
            self.coefficients = np.concatenate([self.coefficients, plan.coefficients.astype(np.float32)])
            self.stochastic = np.concatenate([self.stochastic, plan.stochastic])
            self.inverts = np.concatenate([self.inverts, plan.inverts])
        return self._first[plan]

    def keep(self, plans: Iterable[Plan]) -> None:
        """Start anew with these plans; their rows begin elsewhere from now on."""
        self._first: dict[Plan, int] = {}
        self.t, self.s = np.empty(0, np.int64), np.empty(0, np.int64)
        self.coefficients = np.empty((0, len(COLUMNS)), np.float32)
        self.stochastic, self.inverts = np.empty(0, bool), np.empty(0, bool)
        for plan in plans:
            self.first_row(plan)
        self._rows_kept = len(self.t)

    @property
    def overgrown(self) -> bool:
        """Has much come together that was not in use when `keep` was last called?"""
        return len(self.t) - self._rows_kept > ROWS_WORTH_KEEPING
