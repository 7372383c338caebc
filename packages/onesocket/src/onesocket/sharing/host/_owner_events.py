"""Events of an owner: the frames of its feed and its answers, and what its own process has to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ._ipc_frames import Answer, GapNotice, MessageBatch, Results, SnapshotAnswer, StatusUpdate, SubscriptionRefusal


@dataclass(frozen=True, slots=True)
class HandOverDue:
    """This owner has to hand over."""

    is_requested: bool
    """True if it doesn't get the connection back because it prefers to: a user asked for it, or its loop stood."""


@dataclass(frozen=True, slots=True)
class WatchChanged:
    """The value of `needs_watch` or `reset_in` may have changed; told with each heartbeat while the first is true."""


OwnerEvent: TypeAlias = (
    MessageBatch
    | GapNotice
    | StatusUpdate
    | Results
    | Answer
    | SubscriptionRefusal
    | SnapshotAnswer
    | HandOverDue
    | WatchChanged
)
"""Frames as they go to followers, `HandOverDue` and `WatchChanged`."""
