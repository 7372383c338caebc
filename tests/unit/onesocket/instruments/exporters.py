"""The real SDKs behind instruments: a registry of prometheus_client, and OpenTelemetry's exporters in memory."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric, MetricsData, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanContext
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from onesocket.instruments import OpenTelemetry, Prometheus

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """A Prometheus server's view: the text of the registry, read by prometheus_client's own parser."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instruments = Prometheus(self.registry)

    @property
    def text(self) -> str:
        """Text of one scrape."""
        return generate_latest(self.registry).decode()

    def series(self) -> Series:
        """Every series with its labels that are not empty."""
        return {
            (sample.name, frozenset((name, text) for name, text in sample.labels.items() if text)): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only series with this name and these labels, whatever others it has."""
        wanted = labels.items()
        found = [value for (each, given), value in self.series().items() if each == name and wanted <= set(given)]
        assert len(found) <= 1, (name, labels, found)
        return found[0] if found else None


class Telemetry:
    """OpenTelemetry's SDK with its exporters in memory."""

    def __init__(self, *, metrics: bool = True) -> None:
        self._exporter = InMemorySpanExporter()
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.instruments = OpenTelemetry(tracer_provider=traces, meter_provider=meters, metrics=metrics)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """The ended spans of this name."""
        return [span for span in self.spans if span.name == f"onesocket.{name}"]

    def points(self) -> Series:
        """Every data point, with its attributes as text."""
        return points_of(self._reader)

    def units(self) -> dict[str, str]:
        """The unit of each metric."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return {metric.name: metric.unit or "" for metric in _metrics(data)}


def points_of(reader: InMemoryMetricReader) -> Series:
    """Every data point of a reader, with its attributes as text."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    found: Series = {}
    for metric in _metrics(data):
        for point in metric.data.data_points:
            attributes = frozenset((name, str(value)) for name, value in (point.attributes or {}).items())
            assert isinstance(point, NumberDataPoint)
            found[metric.name, attributes] = point.value
    return found


def _metrics(data: MetricsData) -> list[Metric]:
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return [metric for scope in scopes for metric in scope.metrics]


def context_of(span: ReadableSpan | Span) -> SpanContext:
    """The context of a span of the SDK."""
    context = span.get_span_context()
    assert context is not None
    return context


def span_id(span: ReadableSpan) -> int:
    """The id of a span."""
    return context_of(span).span_id


def parent_id(span: ReadableSpan) -> int | None:
    """The id of a span's parent."""
    return None if span.parent is None else span.parent.span_id
