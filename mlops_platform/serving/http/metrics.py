"""Prometheus metrics of all workers of a service.

Where ``PROMETHEUS_MULTIPROC_DIR`` names a folder, each worker writes its own files there and any of them answers for
all; it has to be set before ``prometheus_client`` is imported.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import prometheus_client as prometheus
from prometheus_client import multiprocess, values

from mlops_platform.online_store import Status
from mlops_platform.serving.http.limits import Load
from mlops_platform.serving.question import Answer

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_AGES = (60, 300, 900, 3_600, 4 * 3_600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)
_STATUSES = [status.name.lower() for status in sorted(Status)]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Metrics:
    """The figures of one worker."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        counter = partial(prometheus.Counter, registry=self.registry)
        gauge = partial(prometheus.Gauge, registry=self.registry)
        histogram = partial(prometheus.Histogram, registry=self.registry)
        self._requests = counter("mlops_requests", "Requests by their answer.", ["route", "method", "status"])
        self._refused = counter("mlops_requests_refused", "Requests refused, by reason.", ["reason"])
        told = "Time from headers to the last byte."
        self._seconds = histogram("mlops_request_seconds", told, ["route"], buckets=_SECONDS)
        told = "Time of each phase of a prediction: read, parse, features, scoring, log, write."
        self._phases = histogram("mlops_phase_seconds", told, ["model", "phase"], buckets=_SECONDS)
        self._rows = counter("mlops_rows", "Rows answered.", ["model", "version", "role"])
        told = "Age of the oldest feature row of a request."
        self._ages = histogram("mlops_feature_age_seconds", told, ["model", "table"], buckets=_AGES)
        self._statuses = counter("mlops_feature_rows", "Feature rows read, by status.", ["model", "table", "status"])
        told, names = "1 for the version that is live, 0 for those that were.", ["model", "version", "checkpoint"]
        self._live = gauge("mlops_model_info", told, names, multiprocess_mode="livemax")
        told = "Workers in which a model is warm."
        self._ready = gauge("mlops_workers_ready", told, ["model"], multiprocess_mode="livesum")
        self._swaps = counter("mlops_swaps", "Versions that took another's place.", ["model"])
        self._versions = counter("mlops_versions_refused", "Versions that did not verify or warm.", ["model"])
        told = "Requests at work, those of them that wait for a thread, and bytes of bodies held."
        self._queue = gauge("mlops_queue_requests", told, ["what"], multiprocess_mode="livesum")
        self._seen: dict[str, dict[str, Any]] = {}

    def request(self, route: str, method: str, status: int, seconds: float, reason: str | None) -> None:
        """One request that has ended."""
        self._requests.labels(route, method if method in _METHODS else "other", status or "closed").inc()
        self._seconds.labels(route).observe(seconds)
        if reason is not None:
            self._refused.labels(reason).inc()

    def phase(self, model: str) -> Callable[[str, float], None]:
        """A function that is told the seconds of each phase of a model."""
        phases = self._phases

        def observe(phase: str, seconds: float) -> None:
            phases.labels(model, phase).observe(seconds)

        return observe

    def answered(self, model: str, answers: Sequence[Answer]) -> None:
        """Answers given: rows, and of features their state and the age of the oldest."""
        for answer in answers:
            self._rows.labels(model, answer.version, answer.role).inc(len(answer.ids))
        features = next((answer.features for answer in answers if answer.features is not None), None)
        if features is None:
            return
        at = answers[0].answered_at.timestamp()
        for table in features.statuses.columns:
            counts = np.bincount(features.statuses[table].to_numpy(), minlength=len(Status)).tolist()
            for status, count in zip(_STATUSES, counts, strict=True):
                if count:
                    self._statuses.labels(model, table, status).inc(count)
            oldest: Any = features.events[table].min()
            if oldest is not None:
                self._ages.labels(model, table).observe(max(0.0, at - oldest.timestamp()))

    def standing(self, model: str, ready: bool, told: dict[str, Any]) -> None:
        """What is live of a model; called again and again, it tells what changed."""
        before = self._seen.get(model, {})
        if before.get("version") is not None and before["version"] != told.get("version"):
            self._live.labels(model, before["version"], before["checkpoint"]).set(0)
        if told.get("version") is not None:
            self._live.labels(model, told["version"], told["checkpoint"]).set(1)
        self._ready.labels(model).set(int(ready))
        # A version is refused once, and stays so until the alias moves again.
        refused, was = told.get("refused"), before.get("refused")
        self._versions.labels(model).inc(int(refused is not None and refused != was))
        self._swaps.labels(model).inc(max(0, told.get("swaps", 0) - before.get("swaps", 0)))
        self._seen[model] = dict(told)

    def load(self, load: Load) -> None:
        """What the worker has at work."""
        for what in ("requests", "waiting", "held"):
            self._queue.labels(what).set(getattr(load, what))

    def text(self) -> bytes:
        """The figures of all workers, as Prometheus reads them."""
        # Decided when the library was imported, whatever the environment says by now.
        if not values.ValueClass._multiprocess:
            return prometheus.generate_latest(self.registry)
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return prometheus.generate_latest(registry)
