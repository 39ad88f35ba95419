"""The cores that tests of several devices run on."""

import os

import pytest

CORES = sorted(os.sched_getaffinity(0))
TWO = ",".join(f"cpu:{core}" for core in CORES[:2])
needs_two_cores = pytest.mark.skipif(len(CORES) < 2, reason="two workers want two cores")
