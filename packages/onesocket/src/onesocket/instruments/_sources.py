"""The sources that one pair of instruments observes, and their samples, added up."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Final

from ..client._instruments import Source, SourceKind, stats_of
from ..client._status import Stats, Status
from ._metrics import METRICS, NAME, Attributes, Metric, MetricKind, read_source, server_attributes

Samples = dict[Metric, dict[Attributes, float]]

_MAX_NOTES: Final = 256
"""Notes that are kept at most where nothing collects."""


@dataclass(frozen=True, slots=True)
class _Added:
    key: int
    source: weakref.ref[Source]
    kind: SourceKind
    name: str


@dataclass(frozen=True, slots=True)
class _Removed:
    key: int
    status: Status
    stats: Stats | None


class SourceTable:
    """Adds up the samples of all sources with the same attributes. The last counters of a source that is gone stay.

    Sources come and go in any thread, also in the midst of a collection, when the garbage collector runs: these are
    noted without a lock, and worked off by the next collection.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: deque[_Added | _Removed] = deque()
        self._sources: dict[int, _Added] = {}
        self._counted: Samples = {metric: {} for metric in METRICS}
        """Counters of the sources that are gone."""

    def __repr__(self) -> str:
        return f"<SourceTable sources={len(self._sources)}>"

    def add(self, source: Source, kind: SourceKind, name: str) -> None:
        """Observe a source from now on."""
        self._notes.append(_Added(id(source), weakref.ref(source), kind, name))
        if len(self._notes) > _MAX_NOTES and self._lock.acquire(blocking=False):
            try:
                self._work_off()
            finally:
                self._lock.release()

    def remove(self, source: Source) -> None:
        """Take the last counters of a source."""
        self._notes.append(_Removed(id(source), source.status, stats_of(source)))

    def collect(self) -> Samples:
        """Returns the samples of this moment; in any thread."""
        with self._lock:
            self._work_off()
            samples = {metric: dict(values) for metric, values in self._counted.items()}
            for added in tuple(self._sources.values()):
                source = added.source()
                if source is None:
                    del self._sources[added.key]
                else:
                    _read(samples, METRICS, added, source.status, stats_of(source))
            return samples

    def _work_off(self) -> None:
        while self._notes:
            note = self._notes.popleft()
            if isinstance(note, _Added):
                self._sources[note.key] = note
            elif (added := self._sources.pop(note.key, None)) is not None:
                _read(self._counted, _COUNTERS, added, note.status, note.stats)


_COUNTERS: Final = tuple(metric for metric in METRICS if metric.kind is MetricKind.COUNTER)


def source_attributes(status: Status, name: str) -> Attributes:
    """The attributes of all that concerns a source: the server's address, and the name that the program gave it."""
    server = server_attributes(status.url)
    return (*server, (NAME, name)) if name else server


def _read(into: Samples, metrics: tuple[Metric, ...], added: _Added, status: Status, stats: Stats | None) -> None:
    reading = read_source(added.kind, status, stats)
    own = source_attributes(status, added.name)
    for metric in metrics:
        values = into[metric]
        for attributes, value in metric.read(reading):
            key = (*own, *attributes)
            values[key] = metric.merge(values[key], value) if key in values else value
