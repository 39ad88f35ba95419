"""Prometheus metrics, in a registry of the app's own: several apps live in one test process."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import choose_encoder

from service.engine.snapshot import WorkerSnapshot

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
TICK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """Every metric of the service; each is changed beside the event that it counts.

    Labels are device, dataset, model, outcome, reason, and keys by name; never a seed or a class, of which there are
    too many.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        ProcessCollector(registry=r)  # memory, CPU, open files
        self.requests = Counter(
            "spirale_requests_total", "Answered sample requests", ["dataset", "outcome"], registry=r
        )
        self.request_seconds = Histogram(
            "spirale_request_seconds",
            "From request to answer, or to its failure; refused and cancelled requests are counted only",
            ["dataset", "outcome"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.queue_seconds = Histogram(
            "spirale_queue_seconds",
            "From submission to the first step",
            ["dataset"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.sampling_seconds = Histogram(
            "spirale_sampling_seconds",
            "From the first step to the last",
            ["dataset"],
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.encode_seconds = Histogram(
            "spirale_encode_seconds", "Making PNG, zip, … of samples", buckets=LATENCY_BUCKETS, registry=r
        )
        self.tick_seconds = Histogram(
            "spirale_tick_seconds", "One forward pass and update", ["device", "model"], buckets=TICK_BUCKETS, registry=r
        )
        self.batch_rows = Histogram(
            "spirale_batch_rows", "Rows that shared a tick", ["device", "model"], buckets=ROW_BUCKETS, registry=r
        )
        self.batch_slots = Counter(
            "spirale_batch_slots_total",
            "Evaluations that the batches had room for: the padding and those that counted",
            ["device", "model"],
            registry=r,
        )
        self.network_evaluations = Counter(
            "spirale_network_evaluations_total", "Network evaluations of rows", ["device", "model"], registry=r
        )
        self.rows_active = Gauge(
            "spirale_rows_active", "Rows of the requests that have started", ["device"], registry=r
        )
        self.rows_queued = Gauge(
            "spirale_rows_queued", "Rows of the requests that wait for their first step", ["device"], registry=r
        )
        self.queued_seconds = Gauge(
            "spirale_queued_device_seconds",
            "Accepted work that is not done, as estimated for the device",
            ["device"],
            registry=r,
        )
        self.rejected = Counter("spirale_rejected_total", "Requests turned away", ["reason"], registry=r)
        self.key_seconds = Counter(
            "spirale_key_device_seconds_total",
            "Device-seconds that a key's requests and jobs took",
            ["key"],
            registry=r,
        )
        self.key_requests = Counter(
            "spirale_key_requests_total", "Requests that came with a key", ["key", "status"], registry=r
        )
        self.cancelled = Counter("spirale_cancelled_total", "Requests whose client went away", registry=r)
        self.jobs = Gauge(
            "spirale_jobs",
            "Jobs that are kept in the whole store, by state",
            ["state"],
            registry=r,
        )
        self.job_rows = Counter("spirale_job_rows_total", "Rows that jobs have published", ["dataset"], registry=r)
        self.job_bytes = Counter("spirale_job_bytes_total", "Bytes of files that jobs have published", registry=r)
        self.jobs_lag = Gauge(
            "spirale_jobs_lag_seconds",
            "Since any job went on or the oldest unfinished one came, whichever is later, or since the start if their "
            "store is gone; 0 where none is unfinished",
            registry=r,
        )
        self.models_loaded = Gauge("spirale_models_loaded", "Models in memory", registry=r)
        self.model_bytes = Gauge(
            "spirale_model_bytes", "Memory of the models, as measured while they were loaded", registry=r
        )
        self.model_loads = Counter(
            "spirale_model_loads_total", "Models that were loaded because they were asked for", registry=r
        )
        self.model_evictions = Counter(
            "spirale_model_evictions_total", "Models that were unloaded for others", registry=r
        )
        self.heartbeat_age = Gauge(
            "spirale_engine_heartbeat_age_seconds",
            "Since the device's thread last showed that it moves; grows without end once it has ended",
            ["device"],
            registry=r,
        )

    def watch(self, device: str, snapshot: Callable[[], WorkerSnapshot]) -> None:
        """Show of a device what a snapshot has, of the moment at which a reader asks."""
        self.heartbeat_age.labels(device).set_function(lambda: snapshot().heartbeat_age)
        self.queued_seconds.labels(device).set_function(lambda: snapshot().backlog_seconds)
        self.rows_active.labels(device).set_function(lambda: snapshot().rows_active)
        self.rows_queued.labels(device).set_function(lambda: snapshot().rows_queued)

    def count_tick(
        self, device: str, model: str, seconds: float, rows: int, network_evaluations: int, slots: int
    ) -> None:
        """One forward pass of a model; `slots` is the size of its batch, padding included."""
        self.tick_seconds.labels(device, model).observe(seconds)
        self.batch_rows.labels(device, model).observe(rows)
        self.network_evaluations.labels(device, model).inc(network_evaluations)
        self.batch_slots.labels(device, model).inc(slots)

    def count_use(self, key: str, seconds: float) -> None:
        """Device-seconds; of a service without keys nothing is counted."""
        if key:
            self.key_seconds.labels(key).inc(seconds)

    def exposition(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)

    def negotiated_exposition(self, accept: str) -> tuple[bytes, str]:
        """(the body, its media type): OpenMetrics, which alone has exemplars, where `accept` has it."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type
