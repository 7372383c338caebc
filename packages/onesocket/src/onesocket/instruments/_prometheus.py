"""Metrics for Prometheus, by prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..client._instruments import Source, SourceKind
from ..client._status import Change
from ..errors import MissingExtra, UsageError
from ._metrics import METRICS, SOURCE_ATTRIBUTES, Metric, MetricKind, label
from ._named import NamedInstruments
from ._sources import SourceTable

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


class Prometheus:
    """Instruments that are a collector of prometheus_client: metrics, no traces. Needs ``onesocket[prometheus]``.

    One object serves all clients of a registry; `named()` tells those apart that have one server.

    Parameters:
        registry: Where it registers itself; None: the default registry. Raises `UsageError` if that has one already.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra('Prometheus needs prometheus_client: pip install "onesocket[prometheus]"') from error
        self._sources = SourceTable()
        try:
            (prometheus_client.REGISTRY if registry is None else registry).register(self)
        except ValueError as error:
            raise UsageError(
                "this registry has a Prometheus() of onesocket already: give that to all clients, and tell them apart "
                'with its named("...")'
            ) from error

    def __repr__(self) -> str:
        return f"<Prometheus {self._sources!r}>"

    def named(self, name: str) -> NamedInstruments:
        """Return instruments whose clients have this name: the label ``onesocket_connection_name``."""
        return NamedInstruments(self, name)

    # --- Instruments --------------------------------------------------------------------------------------------------

    def add(self, source: Source, kind: SourceKind, name: str = "") -> None:
        """Observe a source from now on."""
        self._sources.add(source, kind, name)

    def remove(self, source: Source) -> None:
        """Keep the last counters of a source."""
        self._sources.remove(source)

    def changed(self, source: Source, change: Change) -> None:
        """Take the counters so far."""
        self._sources.changed(source, change)

    def opened(self, source: Source, epoch: int) -> None:
        """Do nothing."""

    # --- called by prometheus_client ----------------------------------------------------------------------------------

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Return the metrics without samples: what a registry asks for on registration."""
        return [_family(metric)[0] for metric in METRICS]

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Return the metrics of this moment; called in any thread."""
        for metric, samples in self._sources.collect().items():
            family, attributes = _family(metric)
            for given, value in samples.items():
                values = dict(given)
                family.add_metric([str(values.get(attribute, "")) for attribute in attributes], value)
            yield family


def _family(metric: Metric) -> tuple[CounterMetricFamily | GaugeMetricFamily, tuple[str, ...]]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - an extra

    make = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    attributes = (*SOURCE_ATTRIBUTES, *metric.attributes)
    return make(metric.prometheus_name, metric.description, labels=[label(name) for name in attributes]), attributes
