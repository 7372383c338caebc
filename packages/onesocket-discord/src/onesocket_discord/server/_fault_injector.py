"""Scripted faults: rare failures of Discord's, on demand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from fnmatch import fnmatchcase
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from onesocket.errors import InvalidOption

from .._serving._server_payloads import HEARTBEAT, RECONNECT
from ..protocol._compression import COMPRESSORS
from ._ports import Json
from .gateway._connection import GatewayConnection
from .gateway._fault_schedule import Fault, FaultKind, FaultTarget
from .gateway._gateway_state import GatewayState

UserSelector = str | int | None
"""A user's name or id; None: all users."""

RateLimitResponder = Callable[..., web.Response]
"""Makes a 429: ``(request, retry_after, *, global_)``."""

_ENDS_SESSION: Final = frozenset({4004, 4007, 4009, *range(4010, 4015)})
_ERROR_STATUSES: Final = frozenset(status.value for status in HTTPStatus if status >= 400)


class FaultInjector:
    """Faults that the server performs on request.

    The coroutines act at once on the affected open connections, and return their number. The other methods add a
    `Fault`, which is active for `times` occurrences (None: until it is lifted), counts them, and can be waited for.
    `user` is a name or an id, `session` a session's id; without both, all connections are affected.
    """

    def __init__(self, state: GatewayState, limited: RateLimitResponder) -> None:
        self._state = state
        self._limited = limited

    def __repr__(self) -> str:
        return f"<FaultInjector {list(self._state.fault_schedule.active)}>"

    # --- at once ----------------------------------------------------------------------------------------------------

    async def reconnect(self, *, user: UserSelector = None, session: str | None = None) -> int:
        """Op 7: ask clients to reconnect and resume."""
        return len(self._each(user, session, lambda connection: connection.write(RECONNECT)))

    async def invalid_session(self, *, resumable: bool, user: UserSelector = None, session: str | None = None) -> int:
        """Op 9; not resumable: the sessions are forgotten."""
        return len(self._each(user, session, lambda connection: connection.invalidate(resumable=resumable)))

    async def request_heartbeat(self, *, user: UserSelector = None, session: str | None = None) -> int:
        """Op 1: ask for a heartbeat now."""
        return len(self._each(user, session, lambda connection: connection.write(HEARTBEAT)))

    async def close(self, code: int, reason: str = "", *, user: UserSelector = None, session: str | None = None) -> int:
        """Close with this code, and wait until the sockets are closed.

        The sessions can be resumed, except after 4004, 4007, 4009 and 4010 to 4014.
        """
        if not (code in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= code <= 4999):
            raise InvalidOption(f"{code} can't be sent in a CLOSE frame; use 1000 to 1014 or 3000 to 4999")

        def close(connection: GatewayConnection) -> None:
            carried = connection.session
            connection.close(code, reason)
            if carried is not None and code in _ENDS_SESSION:
                self._state.sessions.end(carried)

        return await _wait_closed(self._each(user, session, close))

    async def drop_connection(self, *, user: UserSelector = None, session: str | None = None) -> int:
        """Reset the TCP connections without a CLOSE frame; the sessions can be resumed."""
        return await _wait_closed(self._each(user, session, GatewayConnection.reset))

    # --- until used up or lifted ------------------------------------------------------------------------------------

    def withhold_acks(
        self, times: int | None = None, *, user: UserSelector = None, session: str | None = None
    ) -> Fault:
        """Leave heartbeats unanswered."""
        return self._add("withhold_acks", times, user, session)

    def slow_upgrade(self, seconds: float, times: int | None = 1) -> Fault:
        """Delay the first read from new TCP connections by `seconds`."""
        return self._add("slow_upgrade", times, seconds=_positive("seconds", seconds))

    def refuse_upgrade(self, status: int, retry_after: float | None = None, times: int | None = 1) -> Fault:
        """Answer upgrade requests with this HTTP status, and Retry-After in seconds."""
        if status not in _ERROR_STATUSES:
            raise InvalidOption(f"{status} is no HTTP status of an error, from 400 to 599")
        return self._add("refuse_upgrade", times, status=status, retry_after=retry_after)

    def delay_dispatches(
        self, seconds: float, times: int | None = None, *, user: UserSelector = None, session: str | None = None
    ) -> Fault:
        """Delay each dispatch by `seconds`, in order. Lifting the fault sends all at once."""
        return self._add("delay_dispatches", times, user, session, seconds=_positive("seconds", seconds))

    def duplicate_dispatches(
        self, times: int | None = 1, *, user: UserSelector = None, session: str | None = None
    ) -> Fault:
        """Send dispatches twice, with the same sequence number."""
        return self._add("duplicate_dispatches", times, user, session)

    def reorder_dispatches(
        self, window: int = 2, times: int | None = 1, *, user: UserSelector = None, session: str | None = None
    ) -> Fault:
        """Collect `window` dispatches and send them in reverse order."""
        if not 2 <= window <= 1000:
            raise InvalidOption(f"window must be from 2 to 1000, not {window}")
        return self._add("reorder_dispatches", times, user, session, window=window)

    def rate_limit(
        self, retry_after: float, route: str | None = None, times: int | None = 1, *, everywhere: bool = False
    ) -> Fault:
        """Answer HTTP requests with 429.

        `route` is a pattern for method and path below the version, as in ``POST /channels/*/messages``; None: any.
        `everywhere` calls it Discord's global limit.
        """
        retry_after = _positive("retry_after", retry_after)
        return self._add("rate_limit", times, retry_after=retry_after, route=route, everywhere=everywhere)

    def lose_answers(self, route: str | None = None, times: int | None = 1) -> Fault:
        """Perform HTTP requests, and reset their connections instead of answering; `route` as for `rate_limit`."""
        return self._add("lose_answers", times, route=route)

    def force_compression(self, name: str | None, times: int | None = None) -> Fault:
        """Compress new connections by ``zlib-stream``, ``zstd-stream`` or not at all (None), whatever they ask for."""
        if name is not None and name not in COMPRESSORS:
            raise InvalidOption(f"{name!r} is no compression; there are {', '.join(COMPRESSORS)}, and none")
        return self._add("force_compression", times, name=name or "")

    def no_hello(self, times: int | None = 1) -> Fault:
        """Open connections without op 10."""
        return self._add("no_hello", times)

    def heartbeat_interval(self, seconds: float, times: int | None = None) -> Fault:
        """Announce this heartbeat interval to new connections, and enforce it."""
        return self._add("heartbeat_interval", times, seconds=_positive("seconds", seconds))

    def lift(self, kind: FaultKind | None = None) -> int:
        """Lift every active fault, or those of one kind; returns their number."""
        active = [fault for fault in self._state.fault_schedule.active if kind is None or fault.kind == kind]
        for fault in active:
            fault.lift()
        return len(active)

    # --- for HTTP ---------------------------------------------------------------------------------------------------

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a request with 429 if a rate-limit fault is due; returns None otherwise."""
        fault = self._due(request, "rate_limit")
        if fault is None:
            return None
        return self._limited(request, fault.values["retry_after"], global_=fault.values["everywhere"])

    def loses(self, request: web.Request) -> bool:
        """True if the answer to this performed request is to be dropped."""
        return request.path.startswith("/api/") and self._due(request, "lose_answers") is not None

    def _due(self, request: web.Request, kind: FaultKind) -> Fault | None:
        """Use the active fault of this kind that matches the request, if there is one."""
        for fault in self._state.fault_schedule.active:
            if fault.kind == kind and _matches(request, fault.values["route"]):
                fault.use()
                return fault
        return None

    async def perform(self, name: str, arguments: Json) -> Json:
        """Perform a fault by its name, with arguments as JSON. Raises `InvalidOption`."""
        if name not in FAULT_NAMES:
            raise InvalidOption(f"there is no fault {name!r}; the faults are {', '.join(FAULT_NAMES)}")
        try:
            wanted = msgspec.convert(arguments, _fault_arguments(name))
        except msgspec.ValidationError as error:
            raise InvalidOption(f"{name}: {error}") from None
        result: int | Fault | Coroutine[Any, Any, int] = getattr(self, name)(**msgspec.structs.asdict(wanted))
        if isinstance(result, Fault):
            return describe_fault(result)
        return {"count": result if isinstance(result, int) else await result}

    def _each(
        self, user: UserSelector, session: str | None, act: Callable[[GatewayConnection], None]
    ) -> list[GatewayConnection]:
        """Act on the affected open connections, and return them."""
        target = FaultTarget(user, session)
        affected = [one for one in self._state.connections if not one.websocket.closing and target.matches(one)]
        for connection in affected:
            act(connection)
        return affected

    def _add(
        self, kind: FaultKind, times: int | None, user: UserSelector = None, session: str | None = None, **values: Any
    ) -> Fault:
        if times is not None and times < 1:
            raise InvalidOption(f"times must be at least 1, or None for no end, not {times}")
        return self._state.fault_schedule.add(kind, FaultTarget(user, session), times, **values)


FAULT_NAMES: Final = tuple(
    name
    for name, member in vars(FaultInjector).items()
    if not name.startswith("_") and inspect.isfunction(member) and name not in {"hook", "loses", "perform"}
)
"""The names of all faults."""


def describe_fault(fault: Fault) -> Json:
    """An active fault as JSON."""
    return {"kind": fault.kind, "happened": fault.happened, "left": fault.left, **fault.values}


@cache
def _fault_arguments(name: str) -> type[msgspec.Struct]:
    """The arguments of this fault, as a struct that validates them."""
    parameters = list(inspect.signature(getattr(FaultInjector, name), eval_str=True).parameters.values())[1:]
    fields: list[Any] = [
        (one.name, one.annotation) if one.default is one.empty else (one.name, one.annotation, one.default)
        for one in parameters
    ]
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


async def _wait_closed(connections: list[GatewayConnection]) -> int:
    await asyncio.gather(*(connection.websocket.wait_closed() for connection in connections))
    return len(connections)


def _positive(name: str, seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise InvalidOption(f"{name} must be more than 0 seconds, not {seconds!r}")
    return seconds


def _matches(request: web.Request, route: str | None) -> bool:
    if route is None:
        return True
    path = request.path.removeprefix("/api").removeprefix("/v10")
    return fnmatchcase(f"{request.method} {path}", route)
