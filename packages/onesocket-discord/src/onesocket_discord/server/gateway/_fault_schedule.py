"""Scripted faults, as the gateway meets them: which is due, for whom, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from onesocket.errors import WaitTimeout

from ._session import SessionConnection

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
    """Whose connections are meant; with neither: everybody's."""

    user: str | int | None = None
    """A name or an id."""
    session: str | None = None

    def matches(self, connection: SessionConnection | None) -> bool:
        """Whether this connection is meant; None: one that nobody has identified on."""
        if self.user is None and self.session is None:
            return True
        session = connection.session if connection is not None else None
        if session is None:
            return False
        if self.session is not None and session.id != self.session:
            return False
        return self.user is None or str(self.user) in {session.account.username, str(session.account.user_id)}


class Fault:
    """One fault that stands until it is used up or lifted. Also a context manager, which lifts it."""

    def __init__(
        self, plan: FaultSchedule, kind: FaultKind, whom: FaultTarget, times: int | None, values: dict[str, Any]
    ) -> None:
        self.kind: FaultKind = kind
        self.target = whom
        self.left = times
        """How often it will still happen; None: until it is lifted."""
        self.happened = 0
        """How often it has happened."""
        self.values = values
        self.lifted = False
        self._plan = plan
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
        """Whether it can still happen."""
        return not self.lifted and self.left != 0

    def lift(self) -> None:
        """End it; what it holds back is let go."""
        if not self.lifted:
            self.lifted = True
            self._plan.over(self)

    async def wait(self, times: int = 1, *, timeout: float = 10.0) -> None:
        """Wait until it has happened so often. Raises `WaitTimeout` after `timeout` seconds."""
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
        """It happens now."""
        self.happened += 1
        if self.left is not None:
            self.left -= 1
        for times, future in self._waiters:
            if times <= self.happened and not future.done():
                future.set_result(None)
        if self.left == 0:
            self._plan.over(self)


class FaultSchedule:
    """The faults that stand, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.on_change: Callable[[Fault], None] = lambda _: None
        """Called with a fault that was added, is used up, or was lifted."""

    def __repr__(self) -> str:
        return f"<Plan {self._faults}>"

    @property
    def active(self) -> tuple[Fault, ...]:
        """Every fault that stands."""
        return tuple(self._faults)

    def add(self, kind: FaultKind, whom: FaultTarget, times: int | None, **values: Any) -> Fault:
        """Let a fault stand from now on."""
        fault = Fault(self, kind, whom, times, values)
        self._faults.append(fault)
        self.on_change(fault)
        return fault

    def over(self, fault: Fault) -> None:
        """A fault has ended."""
        if fault in self._faults:
            self._faults.remove(fault)
        self.on_change(fault)

    def find(self, kind: FaultKind, connection: SessionConnection | None = None) -> Fault | None:
        """The first that is due, without using it."""
        for fault in self._faults:
            if fault.kind == kind and fault.target.matches(connection):
                return fault
        return None

    def take(self, kind: FaultKind, connection: SessionConnection | None = None) -> Fault | None:
        """The first that is due; it happens now."""
        fault = self.find(kind, connection)
        if fault is not None:
            fault.use()
        return fault

    def affects_dispatches(self, connection: SessionConnection) -> bool:
        """Whether any fault touches the dispatches of this connection."""
        return any(fault.kind in DISPATCH_FAULT_KINDS and fault.target.matches(connection) for fault in self._faults)
