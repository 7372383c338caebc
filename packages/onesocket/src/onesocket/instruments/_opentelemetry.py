"""Metrics and traces for OpenTelemetry."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from .._version import __version__
from ..client._instruments import Source, SourceKind
from ..client._status import Change
from ..errors import MissingExtra
from ._metrics import METRICS, Attributes, Metric, MetricKind
from ._named import NamedInstruments
from ._sources import Samples, SourceTable
from ._traces import Traces

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider


class OpenTelemetry:
    """Instruments for OpenTelemetry: metrics, and spans of attempts, logins, connections and hand-overs.

    Needs ``onesocket[otel]``, which is the API; what exports them is the program's SDK. One object serves all clients,
    and those of one meter provider have their metrics together; `named()` tells clients apart that have one server.

    Parameters:
        tracer_provider: None: the global one.
        meter_provider: None: the global one.
        traces: False: no spans.
        metrics: False: no metrics, as where `Prometheus()` has them.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        traces: bool = True,
        metrics: bool = True,
    ) -> None:
        try:
            from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - an extra
            from opentelemetry.trace import get_tracer  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra('OpenTelemetry needs its API: pip install "onesocket[otel]"') from error
        self._sources = _sources_of(meter_provider, get_meter_provider) if metrics else SourceTable()
        self._traces = Traces(get_tracer("onesocket", __version__, tracer_provider)) if traces else None

    def __repr__(self) -> str:
        return f"<OpenTelemetry {self._sources!r}>"

    def named(self, name: str) -> NamedInstruments:
        """Return instruments whose clients have this name: the attribute ``onesocket.connection.name``."""
        return NamedInstruments(self, name)

    # --- Instruments --------------------------------------------------------------------------------------------------

    def add(self, source: Source, kind: SourceKind, name: str = "") -> None:
        """Observe a source from now on."""
        self._sources.add(source, kind, name)
        if self._traces is not None:
            self._traces.add(source, kind, name)

    def remove(self, source: Source) -> None:
        """Keep the last counters of a source, and end its spans."""
        self._sources.remove(source)
        if self._traces is not None:
            self._traces.remove(source)

    def changed(self, source: Source, change: Change) -> None:
        """Take the counters so far; begin and end spans."""
        self._sources.changed(source, change)
        if self._traces is not None:
            self._traces.changed(source, change)

    def opened(self, source: Source, epoch: int) -> None:
        """Begin the span of the login."""
        if self._traces is not None:
            self._traces.opened(source, epoch)


class _Exported:
    """The metrics of one meter provider, which has each instrument once, for all objects that use it."""

    def __init__(self, provider: MeterProvider) -> None:
        self.sources = SourceTable()
        self._lock = threading.Lock()
        self._collected: Samples = {}
        """The findings of one collection, as far as they are not reported yet."""
        meter = provider.get_meter("onesocket", __version__)
        for metric in METRICS:
            _create_instrument(meter, metric, self._callback(metric))

    def _callback(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            from opentelemetry.metrics import Observation  # noqa: PLC0415 - an extra

            return [Observation(value, dict(attributes)) for attributes, value in self._take(metric).items()]

        return observe

    def _take(self, metric: Metric) -> dict[Attributes, float]:
        """The samples of a metric: sources are read once for all metrics of one collection."""
        with self._lock:
            if metric not in self._collected:
                self._collected = self.sources.collect()
            return self._collected.pop(metric)


_lock: Final = threading.Lock()
_exported: Final[weakref.WeakKeyDictionary[MeterProvider, _Exported]] = weakref.WeakKeyDictionary()
_GLOBAL: Final[list[_Exported]] = []
"""The metrics of the global provider, which may be set later: the API passes the instruments on to it."""


def _sources_of(given: MeterProvider | None, global_provider: Callable[[], MeterProvider]) -> SourceTable:
    """The sources of a meter provider; None: of the global one."""
    with _lock:
        provider = global_provider() if given is None else given
        exported = _exported.get(provider)
        if exported is None and provider is global_provider() and _GLOBAL:
            exported = _GLOBAL[0]
        if exported is None:
            exported = _Exported(provider)
        _exported[provider] = exported
        if provider is global_provider():
            _GLOBAL[:] = [exported]
        return exported.sources


def _create_instrument(
    meter: Meter, metric: Metric, observe: Callable[[CallbackOptions], Iterable[Observation]]
) -> None:
    match metric.kind:
        case MetricKind.COUNTER:
            meter.create_observable_counter(metric.name, [observe], metric.unit, metric.description)
        case MetricKind.UP_DOWN_COUNTER:
            meter.create_observable_up_down_counter(metric.name, [observe], metric.unit, metric.description)
        case MetricKind.GAUGE:
            meter.create_observable_gauge(metric.name, [observe], metric.unit, metric.description)
