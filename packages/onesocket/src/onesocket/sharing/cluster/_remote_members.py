"""The members that follow, as the leader knows them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from ...errors import IpcError, OnesocketError
from ..host._ipc_frames import (
    Hello,
    Rejection,
    Shutdown,
    StatusRequest,
    StepDown,
    ToOwner,
)
from ..host._join_credentials import JoinCredentials
from ._cluster_operations import ClusterOperations
from ._coordinator import Submission
from ._following import has_lost_subscriptions, needs_state, nonce_for
from ._remote_member import RemoteMember
from ._textless_error import textless

if TYPE_CHECKING:
    from ._cluster_leader import ClusterLeader

_log: Final = logging.getLogger("onesocket")
_MOST_GONE: Final = 1000


class RemoteMembers:
    """Takes what other hosts submit, and has this one perform it."""

    def __init__(
        self, leader: ClusterLeader, operations: ClusterOperations, credentials: JoinCredentials, patience: float
    ) -> None:
        """`patience`: seconds after which a member that submits nothing is gone."""
        self._leader = leader
        self._operations = operations
        self._credentials = credentials
        self._patience = patience
        self._members: dict[str, RemoteMember] = {}
        self._gone: dict[str, bool] = {}
        """Members that were dropped, the newest last: True if their subscriptions ended with that, so that each may
        have missed messages. Of older ones their own word counts (`has_lost_subscriptions`)."""

    def __repr__(self) -> str:
        return f"<RemoteMembers {len(self._members)}>"

    def __len__(self) -> int:
        """Number of members that have introduced themselves."""
        return sum(member.is_attached for member in self._members.values())

    def on_submission(self, submission: Submission) -> None:
        """Perform what a member submitted."""
        leadership = self._leader.leadership
        if leadership is None:
            return
        now = asyncio.get_running_loop().time()
        member = self._members.get(submission.member)
        if member is None:
            member = self._members[submission.member] = RemoteMember(submission.member, leadership.answer, now)
        member.heard_at = now
        try:
            for frame in member.frames(submission.payload):
                self._on_frame(member, frame)
        except IpcError as error:
            _log.warning("cluster: %s", error)
            self._send_away(member)
        except Exception as error:  # noqa: BLE001 - no memory, or a bug that this submission has met: others go on
            _log.error("cluster: a submission failed (%s)", type(error).__name__, exc_info=textless(error))
            self._send_away(member)

    def _send_away(self, member: RemoteMember) -> None:
        """Have a member introduce itself anew: part of what it submitted is not known, or was not performed."""
        self._drop(member)
        member.send_frame(Shutdown())

    def flush(self) -> None:
        """Report the results so far."""
        for member in self._members.values():
            member.flush_results()

    def drop_silent(self) -> None:
        """Drop the members of which nothing was heard for long."""
        now = asyncio.get_running_loop().time()
        for member in list(self._members.values()):
            if now - member.heard_at > self._patience:
                self._drop(member)

    def drop_all(self) -> None:
        """Drop all: this host can't answer them any more."""
        for member in list(self._members.values()):
            self._drop(member)
        self._gone.clear()  # the next leader is told of all subscriptions

    def _drop(self, member: RemoteMember) -> None:
        self._members.pop(member.name, None)
        if self._leader.leadership is not None:
            self._leader.leadership.forget(member.name)
        had_subscriptions = self._end_subscriptions(member)
        if member.is_attached:
            self._gone[member.name] = had_subscriptions
            if len(self._gone) > _MOST_GONE:
                del self._gone[next(iter(self._gone))]

    def _end_subscriptions(self, member: RemoteMember) -> bool:
        """End what a member has here; returns whether it had subscriptions."""
        had_subscriptions = self._operations.has_subscriptions_of(member)
        self._operations.forget_here(member)
        return had_subscriptions

    def _on_frame(self, member: RemoteMember, frame: ToOwner) -> None:
        if isinstance(frame, Hello):
            self._attach(member, frame)
        elif not member.is_attached:
            member.send_frame(Shutdown())
        elif not isinstance(frame, StatusRequest | StepDown):
            self._operations.perform_here(member, frame)

    def _attach(self, member: RemoteMember, hello: Hello) -> None:
        leadership = self._leader.leadership
        if leadership is None:
            return
        had_subscriptions = self._gone.pop(member.name, None)
        if member.is_attached:  # it has lost its answers
            had_subscriptions = self._end_subscriptions(member)
        try:
            self._credentials.check_hello(hello, nonce_for(member.name, leadership.epoch))
        except OnesocketError as error:
            member.send_frame(Rejection(error))
            return
        member.is_attached = True
        if had_subscriptions is None:
            had_subscriptions = has_lost_subscriptions(hello.ownership_id)
        if had_subscriptions:
            self._leader.send_gap(member.name)
        if needs_state(hello.ownership_id):
            self._leader.send_state(member.name)
