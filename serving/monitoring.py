"""Prometheus metrics under TF Serving's names (--monitoring_config_file)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from serving import text_messages
from serving.config_error import ConfigError
from serving.errors import ServingError

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_REQUEST_COUNT = ":tensorflow:serving:request_count"
_REQUEST_LATENCY = ":tensorflow:serving:request_latency"
_LOADED = "serving_loaded_version"
_MESSAGES = {
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "PrometheusConfig": {"enable": "bool", "path": "string"},
}
# Microseconds, each 1.8 times the one before, as in TF Serving.
_BUCKETS = [10 * 1.8**i for i in range(33)]


class Metrics(Collector):
    """Counts requests and their time, by model.

    Args:
        versions: the versions that answer now, by model.
    """

    def __init__(self, versions: Callable[[], dict[str, set[int]]]) -> None:
        self._versions = versions
        self._lock = threading.Lock()
        self._counts: Counts[tuple[str, str]] = Counts()
        self._registry = CollectorRegistry()
        self._latency = Histogram(
            _REQUEST_LATENCY,
            "Microseconds to answer a request.",
            ["model_name", "API", "entrypoint"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    @contextlib.contextmanager
    def measure(self, model: str, entrypoint: str) -> Iterator[None]:
        """Counts a Predict call, its time and how it ended.

        Args:
            model: name of a served model; requests for others count as "".
            entrypoint: GRPC or REST.
        """
        start, status = time.perf_counter(), "OK"
        try:
            yield
        except ServingError as error:
            status = error.code.name
            raise
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        except BaseException:
            status = "INTERNAL"
            raise
        finally:
            self._record(model, entrypoint, status, time.perf_counter() - start)

    def _record(
        self, model: str, entrypoint: str, status: str, seconds: float
    ) -> None:
        if model not in self._versions():
            model = ""  # Clients must not make up label values without end.
        with self._lock:
            self._counts[model, status] += 1
        self._latency.labels(model, "Predict", entrypoint).observe(
            seconds * 1e6
        )

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for beside the histogram."""
        # A counter would get the suffix _total, which TF Serving's has not.
        counts = Metric(_REQUEST_COUNT, "Requests answered.", "unknown")
        with self._lock:
            for (model, status), number in sorted(self._counts.items()):
                counts.add_sample(
                    _REQUEST_COUNT,
                    {"model_name": model, "status": status},
                    number,
                )
        yield counts
        loaded = GaugeMetricFamily(
            _LOADED,
            "1 for each version that answers.",
            labels=["model_name", "version"],
        )
        for model, versions in sorted(self._versions().items()):
            for version in sorted(versions):
                loaded.add_metric([model, str(version)], 1)
        yield loaded

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


def read(path: str) -> str | None:
    """The HTTP path of the metrics in a monitoring config; None where off.

    Raises:
        ConfigError: the file cannot be read or says something wrong.
    """
    message = text_messages.read(path, "monitoring_config_file", _MESSAGES)
    settings = message.prometheus_config
    found = settings.path or DEFAULT_PATH
    if not found.startswith("/"):
        raise ConfigError(
            f"{path} (--monitoring_config_file): `path` must begin with /, "
            f"found {found!r}."
        )
    return found if settings.enable else None
