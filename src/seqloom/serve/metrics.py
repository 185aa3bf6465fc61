"""What Prometheus reads. Labels are routes, models and codes that exist, never what a client sent."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from seqloom import __version__
from seqloom.serve.batching import Batch

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "seqloom_http_requests", "Requests answered", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "seqloom_http_request_duration_seconds",
            "Seconds of a request",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.errors = Counter("seqloom_errors", "Requests refused or failed", ["code"], registry=registry)
        self.waited = Histogram(
            "seqloom_queue_wait_seconds", "Seconds until a request is computed", buckets=SECONDS, registry=registry
        )
        self.computed = Histogram(
            "seqloom_inference_seconds", "Seconds of a batch", ["lane"], buckets=SECONDS, registry=registry
        )
        self.rows = Histogram(
            "seqloom_batch_size", "Inputs computed together", ["lane"], buckets=ROWS, registry=registry
        )
        self.open = Gauge("seqloom_http_requests_open", "Requests being answered", registry=registry)
        self.depth = Gauge("seqloom_queue_depth", "Inputs that wait", ["lane"], registry=registry)
        self.sessions = Gauge("seqloom_sessions", "Open sessions", registry=registry)
        self.session_bytes = Gauge("seqloom_session_bytes", "Bytes of open sessions", registry=registry)
        self.expired = Gauge("seqloom_sessions_expired", "Sessions that ended unused", registry=registry)
        self._models = Gauge("seqloom_model_info", "Models served", ["model", "version"], registry=registry)
        build = Gauge("seqloom_build_info", "This program", ["version"], registry=registry)
        build.labels(__version__).set(1)

    def name_model(self, name: str, checksum: str) -> None:
        """Tell of a model that is served."""
        self._models.labels(name, checksum[:8]).set(1)

    def observe(self, lane: str, batch: Batch) -> None:
        """Count what a lane computed at once."""
        self.rows.labels(lane).observe(batch.rows)
        self.computed.labels(lane).observe(batch.computed)
        for seconds in batch.waited:
            self.waited.observe(seconds)

    def text(self) -> bytes:
        """All of them, as Prometheus reads it."""
        return generate_latest(self.registry)
