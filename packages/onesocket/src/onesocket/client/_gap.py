"""The marker that stands in a subscriber's stream where messages may be missing."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import field
from typing import Final

from .._record import record
from ..errors import OnesocketError


class GapReason(enum.StrEnum):
    """Reason for which messages may be missing."""

    RECONNECTED = "reconnected"
    """The connection was down; the server does not replay what it sent meanwhile."""
    OVERFLOW = "overflow"
    """Messages were dropped: a subscriber with `drop_oldest` was too slow, or too many came before its first read."""
    UNDECODABLE = "undecodable"
    """A message came that the protocol could not read."""


@record
class Gap:
    """Marker at a place where messages may be missing."""

    reason: GapReason
    epoch: int
    """Number of the connection on which the stream goes on."""
    missed: int | None = None
    """Number of missing messages, where that is known."""
    error: OnesocketError | None = None
    """The error of an undecodable message, or the reason for the loss of the connection."""
    keys: frozenset[Hashable] | None = field(default=None, kw_only=True)
    """The keys of which messages may be missing, in a `Pool`: those of this reader on the connection; None: of all."""


_REASONS_BY_SEVERITY: Final = (GapReason.OVERFLOW, GapReason.UNDECODABLE, GapReason.RECONNECTED)
"""A marker that stands for several has the strongest reason among them."""


def merge_gaps(first: Gap, second: Gap) -> Gap:
    """Merge two adjacent markers; the number of missing messages is known only if both have one."""
    missed = None if first.missed is None or second.missed is None else first.missed + second.missed
    weaker, stronger = sorted((first, second), key=lambda gap: _REASONS_BY_SEVERITY.index(gap.reason))
    error = stronger.error or weaker.error
    keys = None if first.keys is None or second.keys is None else first.keys | second.keys
    return Gap(stronger.reason, max(first.epoch, second.epoch), missed, error, keys=keys)
