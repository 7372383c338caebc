"""Instruments whose clients have a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..client._instruments import Source, SourceKind
from ..client._status import Change


class NamingInstruments(Protocol):
    """`Instruments` that tell sources apart by name."""

    def add(self, source: Source, kind: SourceKind, name: str = "") -> None:
        """Begin to observe a source."""

    def remove(self, source: Source) -> None:
        """Note that the source is closed."""

    def changed(self, source: Source, change: Change) -> None:
        """Take a change of the state."""

    def opened(self, source: Source, epoch: int) -> None:
        """Note that an upgrade went through."""


@dataclass(frozen=True, slots=True)
class NamedInstruments:
    """`Instruments` that give their sources a name. Two of one name are equal."""

    instruments: NamingInstruments
    name: str

    def add(self, source: Source, kind: SourceKind) -> None:
        """Begin to observe a source, by this name."""
        self.instruments.add(source, kind, self.name)

    def remove(self, source: Source) -> None:
        """Note that the source is closed."""
        self.instruments.remove(source)

    def changed(self, source: Source, change: Change) -> None:
        """Take a change of the state."""
        self.instruments.changed(source, change)

    def opened(self, source: Source, epoch: int) -> None:
        """Note that an upgrade went through."""
        self.instruments.opened(source, epoch)
