"""What has to be so before anything large is imported: an end on signals, and how native libraries use the cores."""

import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType

CGROUP = Path("/sys/fs/cgroup")
SPINS = "1000"  # some ten microseconds


def main() -> int:
    """The console script: `python -m service`."""
    prepare()
    from service.__main__ import main as serve  # seconds, in which a signal must end the process

    return serve()


def prepare() -> None:
    """To be called first, in the main thread of a process that is the service's alone."""
    _end_on_signals()
    _share_cores()


def write_what_can_be_written() -> None:
    """A help text has characters that a terminal's or a pipe's encoding may lack: they are escaped, and no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """The CPUs' time that a container's limit leaves this process, such as 1.5 of `docker run --cpus 1.5`; None without
    a limit. Affinity is not looked at."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()  # version 2; "max 100000" is no limit
    except OSError:
        try:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)


def _end_on_signals() -> None:
    """A signal without a handler does not end process 1, as of a container, and while Python imports there is none.
    A hang-up asks for the checkpoints to be read again, which is still to come: it must not end the process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _share_cores() -> None:
    """Threads as many as a quota leaves, and short waits. OpenMP reads both as it is loaded; what is set already stays.

    GNU OpenMP's threads spin while they wait for each other, by default for milliseconds. That is the quickest on idle
    cores; where anything else runs, they burn the time that the others of their team need. A step of a guided digit was
    measured on two cores, once at a priority above all else and once among it: 14 and 475 ms by default, 18 and 103 ms
    with few spins, 23 and 60 ms with none. The samples were the same.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    quota = cpu_quota()
    if quota is not None and quota < len(os.sched_getaffinity(0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, int(quota))))
