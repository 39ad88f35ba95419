"""Waiting that comes to an end."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 180, every: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(every)
