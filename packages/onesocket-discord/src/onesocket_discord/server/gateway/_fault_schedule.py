"""Scripted faults: which is due, for which connection, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from onesocket.errors import WaitTimeout

from ..._serving import ServedConnection
from ._session import GatewaySession

FaultKind = Literal[
    "withhold_acks",
    "slow_upgrade",
    "refuse_upgrade",
    "delay_dispatches",
    "duplicate_dispatches",
    "reorder_dispatches",
    "rate_limit",
    "lose_answers",
    "force_compression",
    "no_hello",
    "heartbeat_interval",
]
DISPATCH_FAULT_KINDS = frozenset({"delay_dispatches", "duplicate_dispatches", "reorder_dispatches"})


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """The connections that a fault affects: a user's, a session's, or without both, all."""

    user: str | int | None = None
    """A name or an id."""
    session: str | None = None

    def matches(self, connection: ServedConnection[GatewaySession] | None) -> bool:
        """True if the fault affects this connection; None: one without a session."""
        if self.user is None and self.session is None:
            return True
        session = connection.session if connection is not None else None
        if session is None:
            return False
        if self.session is not None and session.id != self.session:
            return False
        return self.user is None or str(self.user) in {session.account.username, str(session.account.user_id)}


class Fault:
    """One fault, active until it is used up or lifted. As a context manager it is lifted at the end of the block."""

    def __init__(
        self, schedule: FaultSchedule, kind: FaultKind, target: FaultTarget, times: int | None, values: dict[str, Any]
    ) -> None:
        self.kind: FaultKind = kind
        self.target = target
        self.left = times
        """The number of occurrences left; None: no end until it is lifted."""
        self.happened = 0
        """The number of occurrences so far."""
        self.values = values
        self.lifted = False
        self._schedule = schedule
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        left = "" if self.left is None else f" left={self.left}"
        return f"<Fault {self.kind} happened={self.happened}{left}{' lifted' if self.lifted else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.lift()

    @property
    def stands(self) -> bool:
        """True if it can still happen."""
        return not self.lifted and self.left != 0

    def lift(self) -> None:
        """End the fault; dispatches that it holds back are sent."""
        if not self.lifted:
            self.lifted = True
            self._schedule.remove(self)

    async def wait(self, times: int = 1, *, timeout: float = 10.0) -> None:
        """Wait until the fault has happened `times` times. Raises `WaitTimeout` after `timeout` seconds."""
        if self.happened >= times:
            return
        entry = (times, asyncio.get_running_loop().create_future())
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await entry[1]
        except TimeoutError:
            raise WaitTimeout(f"{self.kind} has happened {self.happened} times within {timeout:g} s") from None
        finally:
            self._waiters.remove(entry)

    def use(self) -> None:
        """Count one occurrence."""
        self.happened += 1
        if self.left is not None:
            self.left -= 1
        for times, future in self._waiters:
            if times <= self.happened and not future.done():
                future.set_result(None)
        if self.left == 0:
            self._schedule.remove(self)


class FaultSchedule:
    """The active faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.on_change: Callable[[Fault], None] = lambda _: None
        """Called with a fault that was added, is used up, or was lifted."""

    def __repr__(self) -> str:
        return f"<FaultSchedule {self._faults}>"

    @property
    def active(self) -> tuple[Fault, ...]:
        """The active faults."""
        return tuple(self._faults)

    def add(self, kind: FaultKind, target: FaultTarget, times: int | None, **values: Any) -> Fault:
        """Add a fault, which is active from now on."""
        fault = Fault(self, kind, target, times, values)
        self._faults.append(fault)
        self.on_change(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Remove a fault that is used up or lifted."""
        if fault in self._faults:
            self._faults.remove(fault)
        self.on_change(fault)

    def find(self, kind: FaultKind, connection: ServedConnection[GatewaySession] | None = None) -> Fault | None:
        """The first fault of this kind for the connection, without using it."""
        for fault in self._faults:
            if fault.kind == kind and fault.target.matches(connection):
                return fault
        return None

    def take(self, kind: FaultKind, connection: ServedConnection[GatewaySession] | None = None) -> Fault | None:
        """The first fault of this kind for the connection; it counts as used."""
        fault = self.find(kind, connection)
        if fault is not None:
            fault.use()
        return fault

    def affects_dispatches(self, connection: ServedConnection[GatewaySession]) -> bool:
        """True if any active fault changes the dispatches of this connection."""
        return any(fault.kind in DISPATCH_FAULT_KINDS and fault.target.matches(connection) for fault in self._faults)
