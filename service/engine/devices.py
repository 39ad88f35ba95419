"""The devices that an engine computes on: `auto`, `cuda:0,cuda:1`, or sets of cores such as `cpu:0-3,cpu:4-7`."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

CUDA = re.compile(r"cuda(?::(\d{1,4}))?")
CORES = re.compile(r"cpu:(\d{1,5})(?:-(\d{1,5}))?")
FORMS = "auto, cpu, cuda, cuda:0,cuda:1, or sets of cores such as cpu:0-3,cpu:4-7"


@dataclass(frozen=True)
class Device:
    """What one worker computes on.

    name   auto, cpu, cuda, cuda:1, or a set of cores such as cpu:0-3
    cores  that its threads stay on; empty: wherever the system puts them
    """

    name: str
    cores: tuple[int, ...] = ()

    @property
    def for_torch(self) -> str:
        """What PyTorch calls it; `auto` stays open."""
        return "cpu" if self.cores else self.name


def parse_devices(text: str) -> tuple[Device, ...]:
    """The devices of a comma-separated list; whether they exist is not looked at.

    Raises ValueError that says what to write instead.
    """
    devices = tuple(_parsed(name.strip()) for name in text.split(","))
    if len(devices) == 1:
        return devices
    for device in devices:
        if device.name in ("auto", "cpu"):
            raise ValueError(
                f"{device.name} stands alone; of several devices each is named: cuda:0,cuda:1 or cpu:0,cpu:1"
            )
    kinds = {device.for_torch.partition(":")[0] for device in devices}
    if len(kinds) > 1:
        raise ValueError("CPUs and GPUs give a seed other bytes: start a service on each, with a port of its own")
    _need_disjoint(devices)
    return devices


def check_devices(devices: Sequence[Device]) -> None:
    """Raises ValueError if this process cannot use one of them, or if they would give a seed different bytes."""
    cores = {core for device in devices for core in device.cores}
    if cores:
        _need_cores(cores)
    wanted = [int(found[1] or 0) for device in devices if (found := CUDA.fullmatch(device.name))]
    if not wanted:
        return
    import torch  # takes seconds, and sets of cores do not need it

    count = torch.cuda.device_count()
    if max(wanted) >= count:
        seen = f": cuda:0 … cuda:{count - 1}" if count > 1 else ""
        raise ValueError(f"PyTorch sees {count} CUDA devices here{seen}; use those, auto or cpu")
    kinds = {torch.cuda.get_device_name(index) for index in wanted}
    if len(kinds) > 1:
        raise ValueError(
            f"{' and '.join(sorted(kinds))} give a seed other bytes: start a service on each, with a port of its own"
        )


def _parsed(name: str) -> Device:
    if name in ("auto", "cpu") or CUDA.fullmatch(name):
        return Device(name)
    found = CORES.fullmatch(name)
    if found is None:
        raise ValueError(f"there is no device {name!r}; use {FORMS}")
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    if last < first:
        raise ValueError(f"{name} ends before it begins; use cpu:{last}-{first}")
    return Device(name, tuple(range(first, last + 1)))


def _need_disjoint(devices: Sequence[Device]) -> None:
    taken: dict[int, str] = {}
    for device in devices:
        found = CUDA.fullmatch(device.name)
        for one in device.cores or (int(found[1] or 0) if found else 0,):
            if one in taken:
                what = f"core {one}" if device.cores else f"cuda:{one}"
                raise ValueError(f"{taken[one]} and {device.name} both have {what}; give it to one of them")
            taken[one] = device.name


def _need_cores(cores: set[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("this system cannot keep threads on cores; use cpu")
    usable = os.sched_getaffinity(0)
    if missing := cores - usable:
        there = range(os.cpu_count() or 1)
        why = (
            "are not there" if missing.isdisjoint(there) else "are outside the set that this process may use (taskset)"
        )
        raise ValueError(f"cores {as_ranges(missing)} {why}; use some of {as_ranges(usable)}")


def as_ranges(cores: set[int]) -> str:
    """Such as 0-3, 8."""
    ranges: list[list[int]] = []
    for core in sorted(cores):
        if ranges and ranges[-1][1] == core - 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
