"""The part of a host in its cluster."""

from __future__ import annotations

import enum


class ClusterPhase(enum.Enum):
    """Part of a host."""

    FOLLOWING = "following"
    """Another host leads, or none does."""
    LEADING = "leading"
    ALONE = "alone"
    """The host has the connection without a lease, as the engine is away (`on_engine_lost="keep"`)."""
    OVER = "over"
    """The lease is lost, and the connection is being closed."""
