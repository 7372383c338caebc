"""Metrics and traces of connections: `Client(instruments=...)`, for OpenTelemetry and Prometheus.

Each needs an extra, which is imported when one is made: ``onesocket[otel]``, ``onesocket[prometheus]``. Nothing is
called for a message: counters are read when metrics are collected.
"""

from ..client._instruments import Instruments, Source, SourceKind
from ._opentelemetry import OpenTelemetry
from ._prometheus import Prometheus

__all__ = ["Instruments", "OpenTelemetry", "Prometheus", "Source", "SourceKind"]
