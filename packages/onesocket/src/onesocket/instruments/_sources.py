"""The sources that one pair of instruments observes, and their samples, added up."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from ..client._cluster_status import ClusterStatus, cluster_status_of
from ..client._instruments import Source, SourceKind, stats_of
from ..client._status import Change, Stats, Status
from ..lifecycle._states import State
from ._metrics import METRICS, NAME, Attributes, Metric, MetricKind, SourceReading, read_source, server_attributes

Samples = dict[Metric, dict[Attributes, float]]

_MAX_NOTES: Final = 256
"""Notes that are kept at most where nothing collects."""


@dataclass(slots=True)
class _Added:
    key: int
    source: weakref.ref[Source]
    kind: SourceKind
    name: str
    server: Attributes = ()
    """The address of its present server, or of the last one."""
    counted: dict[tuple[Metric, Attributes], float] = field(default_factory=dict[tuple[Metric, Attributes], float])
    """The counters of its last reading."""


@dataclass(frozen=True, slots=True)
class _Read:
    """Snapshots of a source at a change of its state, after which it may have another server."""

    key: int
    status: Status
    stats: Stats | None
    cluster: ClusterStatus | None
    is_last: bool = False


class SourceTable:
    """Adds up the samples of all sources with the same attributes. What a source has counted stays when it is gone.

    Sources come and go in any thread, also in the midst of a collection, when the garbage collector runs: these are
    noted without a lock, and worked off by the next collection.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: deque[_Added | _Read] = deque()
        self._sources: dict[int, _Added] = {}
        self._totals: Samples = {metric: {} for metric in METRICS}
        """Counters of all sources, so that they never go back: each reading adds what came since the one before."""

    def __repr__(self) -> str:
        return f"<SourceTable sources={len(self._sources)}>"

    def add(self, source: Source, kind: SourceKind, name: str) -> None:
        """Observe a source from now on."""
        self._note(_Added(id(source), weakref.ref(source), kind, name))

    def changed(self, source: Source, change: Change) -> None:
        """Take the counters of a source so far: those that follow may be of another server."""
        if change.new is not State.CONNECTING:  # that has counted the attempt, whose URL is to be asked for
            self._note(_Read(id(source), source.status, stats_of(source), cluster_status_of(source)))

    def remove(self, source: Source) -> None:
        """Take the last counters of a source."""
        self._notes.append(_Read(id(source), source.status, stats_of(source), cluster_status_of(source), is_last=True))

    def _note(self, note: _Added | _Read) -> None:
        self._notes.append(note)
        if len(self._notes) > _MAX_NOTES and self._lock.acquire(blocking=False):
            try:
                self._work_off()
            finally:
                self._lock.release()

    def collect(self) -> Samples:
        """Returns the samples of this moment; in any thread."""
        with self._lock:
            self._work_off()
            levels: Samples = {metric: {} for metric in METRICS}
            for added in tuple(self._sources.values()):
                source = added.source()
                if source is None:
                    del self._sources[added.key]
                else:
                    status = source.status
                    reading = read_source(added.kind, status, stats_of(source), cluster_status_of(source))
                    self._read(added, status.url, reading, levels)
            return {metric: levels[metric] or dict(self._totals[metric]) for metric in METRICS}

    def _work_off(self) -> None:
        while self._notes:
            note = self._notes.popleft()
            known = self._sources.get(note.key)
            if isinstance(note, _Added):
                if known is not None and known.source() is note.source():
                    note = replace(known, kind=note.kind)
                self._sources[note.key] = note
            elif known is not None:
                reading = read_source(known.kind, note.status, note.stats, note.cluster)
                self._read(known, note.status.url, reading, None, is_last=note.is_last)
                if note.is_last:
                    del self._sources[note.key]

    def _read(
        self, added: _Added, url: str, reading: SourceReading, levels: Samples | None, *, is_last: bool = False
    ) -> None:
        added.server = server_attributes(url) or added.server
        own = (*added.server, (NAME, added.name)) if added.name else added.server
        for metric in METRICS:
            for attributes, value in metric.read(reading):
                key = (*own, *attributes)
                if metric.kind is MetricKind.COUNTER:
                    if not (added.server or is_last):
                        continue  # its first URL is still to be asked for
                    totals, before = self._totals[metric], added.counted.get((metric, attributes), 0)
                    totals[key] = totals.get(key, 0) + max(0, value - before)
                    added.counted[metric, attributes] = max(value, before)
                elif levels is not None:
                    values = levels[metric]
                    values[key] = metric.merge(values[key], value) if key in values else value


def source_attributes(status: Status, name: str) -> Attributes:
    """The attributes of all that concerns a source: the server's address, and the name that the program gave it."""
    server = server_attributes(status.url)
    return (*server, (NAME, name)) if name else server
