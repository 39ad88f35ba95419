"""Whose work it is: how large a share of a busy device it gets, and how much of the device it may use."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.engine.job import RateExceeded

MINUTE = 60.0  # seconds


class Allowance:
    """A rate of device-seconds a minute, of which a minute's worth can be saved up (a token bucket).

    A job is charged by estimate when it is accepted, and what it did not use is given back. One that costs more than a
    minute's worth runs when the bucket is full, and what it owes is earned before the next.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic):
        """`rate` in device-seconds a minute, positive; `clock` in seconds."""
        self.rate, self._clock = rate, clock
        self._left, self._seen = rate, clock()

    @property
    def left(self) -> float:
        """Device-seconds that may be used now; below zero where more was used."""
        now = self._clock()
        self._left = min(self.rate, self._left + self.rate * (now - self._seen) / MINUTE)
        self._seen = now
        return self._left

    def use(self, seconds: float) -> None:
        """Of the device, or give them back where they are negative."""
        self._left = min(self.rate, self.left - seconds)

    def wait(self, seconds: float) -> float:
        """Seconds until a job of so many device-seconds may begin; 0 is now."""
        missing = min(seconds, self.rate) - self.left
        return max(0.0, missing / self.rate * MINUTE)

    def changed(self, rate: float) -> None:
        """Another rate from now on; what was used is not forgotten."""
        left = self.left + rate - self.rate
        self.rate, self._left = rate, min(rate, left)


@dataclass(eq=False)
class Key:
    """Jobs of one name share a device by `share`, against all other names that have work.

    name       as metrics show it; empty: nobody is asked for a key
    share      positive
    allowance  None: as much as there is
    """

    name: str = ""
    share: float = 1.0
    allowance: Allowance | None = field(default=None, repr=False)

    def need(self, seconds: float) -> None:
        """Raises RateExceeded where a job of so many device-seconds would be too much now."""
        if self.allowance is not None and (wait := self.allowance.wait(seconds)) > 0:
            raise RateExceeded(self.name, self.allowance.rate, seconds, max(1, math.ceil(wait)))

    @property
    def may_go_on(self) -> bool:
        """May its jobs in the background take more of the device now?"""
        return self.paused is None

    @property
    def paused(self) -> str | None:
        """Why its jobs in the background may take no more of the device now; None where they may."""
        if self.allowance is None or self.allowance.left > 0:
            return None
        return f"its key has used its rate of {self.allowance.rate:g} device-seconds a minute"

    def use(self, seconds: float) -> None:
        """Charge device-seconds, or give them back where they are negative."""
        if self.allowance is not None:
            self.allowance.use(seconds)


ANYBODY = Key()
"""Of a service that asks for no key."""
