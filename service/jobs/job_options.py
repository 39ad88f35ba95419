"""What a service is told about its jobs."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobOptions:
    """checkpoints   folder of the checkpoints, where judges are
    jobs_dir      folder of the SQLite store, and of results where no other place is named
    store         postgresql://… ; None is SQLite
    results       a folder, or an address that fsspec knows; None is a folder in jobs_dir
    keep_seconds  how long results of finished jobs are kept
    keep_bytes    that all results may take
    webhook_hosts   that a job's end may be told to
    webhook_secret  that this is signed with
    """

    checkpoints: Path
    jobs_dir: Path
    store: str | None = None
    results: str | None = None
    keep_seconds: float = 7 * 86400.0
    keep_bytes: int = 10 * 2**30
    webhook_hosts: tuple[str, ...] = ()
    webhook_secret: str = ""

    @property
    def database(self) -> Path:
        return self.jobs_dir / "jobs.sqlite"
