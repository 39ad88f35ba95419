"""The store and the results of a service, by its options. What this imports takes a second."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from service.checkpoints.catalog import Catalog
from service.checkpoints.model_memory import ModelMemory
from service.engine.engine import Engine
from service.engine.hardware import one_thread_here
from service.engine.key import Key
from service.http.problems import Problem
from service.jobs.job_options import JobOptions
from service.jobs.live_jobs import LiveJobs
from service.jobs.producer import Producer
from service.jobs.results import FolderResults, Results, results_at
from service.jobs.store import JobStore
from service.jobs.store_connection import first_line
from service.jobs.store_opening import StoreUnavailable, postgres_store, shared_lock, sqlite_store
from service.metrics import Metrics


class Opened:
    """Raises Problem (503) that says what is wrong. Not to be made on the event loop."""

    def __init__(self, options: JobOptions):
        self._options = options
        self._lock: int | None = None
        try:
            self._results = self._place()
            self._results.check()
            self._store = self._opened_store()
        except StoreUnavailable as error:
            raise Problem(503, f"jobs cannot be kept: {error}") from error
        except OSError as error:
            place = options.jobs_dir if options.results is None else "the place that --results names"
            raise Problem(503, f"results cannot be written to {place}: {error.strerror or error}") from error
        except (ImportError, ValueError) as error:  # the address is not repeated: a password may be in it
            raise Problem(503, f"results cannot be kept at the place that --results names: {error}") from error

    def live(
        self,
        engine: Engine,
        memory: ModelMemory,
        catalog: Callable[[], Catalog],
        key_of: Callable[[str], Key],
        metrics: Metrics,
    ) -> LiveJobs:
        """Jobs that are worked on from now on; to be called on the event loop."""
        asking = ThreadPoolExecutor(1, thread_name_prefix="job-store")
        writing = ThreadPoolExecutor(1, thread_name_prefix="job-files", initializer=one_thread_here)

        def close() -> None:
            writing.shutdown(wait=False, cancel_futures=True)
            asking.shutdown(wait=False, cancel_futures=True)
            self._store.close()
            if self._lock is not None:
                os.close(self._lock)

        live = LiveJobs(self._store, self._results, asking, self._options, metrics, close)
        live.start(
            Producer(
                self._store,
                self._results,
                engine,
                memory,
                catalog,
                key_of,
                self._options,
                metrics,
                asking,
                writing,
            )
        )
        return live

    def _place(self) -> Results:
        if self._options.results is None:
            return FolderResults(self._options.jobs_dir / "jobs")
        return results_at(self._options.results)

    def _opened_store(self) -> JobStore:
        if self._options.store is not None:
            return postgres_store(self._options.store)
        store = sqlite_store(self._options.database)
        try:
            self._lock = shared_lock(self._options.jobs_dir / "jobs.lock", alone=store.end_all_leases)
        except sa.exc.DBAPIError as error:  # a full disk, say
            store.close()
            raise StoreUnavailable(first_line(error)) from error
        return store
