"""The follower that is to be the next owner of a connection."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...errors import HandOverRefused
from .._host_options import Own
from ._follower_connection import FollowerConnection


def preferrer(followers: Sequence[FollowerConnection]) -> FollowerConnection | None:
    """The first follower that prefers to own; None: there is none."""
    return next((follower for follower in followers if follower.own is Own.PREFER), None)


def find_next_owner(followers: Sequence[FollowerConnection]) -> FollowerConnection | None:
    """The follower to which an owner hands over that has to: one that prefers to own before one that may.

    Another member of this process comes late, and one that doesn't read last: it may be stopped.
    """
    reading = [follower for follower in followers if not follower.is_write_paused]
    reading.sort(key=lambda follower: follower.peer_pid == os.getpid())
    allowed = (follower for follower in (*reading, *followers) if follower.own is not Own.NEVER)
    return preferrer(reading) or next(allowed, None)


def hand_over_refusal(pid: int, followers: Sequence[FollowerConnection]) -> HandOverRefused:
    """The error for an owner that no process can follow."""
    if not followers:
        why = "no other process has joined"
    else:
        why = f'the others, {len(followers)}, have joined with own="never"'
    return HandOverRefused(
        f"the process that holds the connection (pid {pid}) can't hand over: {why}; start one that may hold it, for "
        "example: onesocket share --scope host"
    )
