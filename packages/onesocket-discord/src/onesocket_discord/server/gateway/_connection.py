"""One client's connection to the local server's gateway."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from onesocket.errors import ConnectionFailure, PeerError

from ..._serving import ClientViolation, Identify, RequestGuildMembers, Resume, ServedConnection
from ..._serving._client_payloads import read_presence, read_request_guild_members
from ...protocol._close_codes import CloseCode
from ...protocol._compression import COMPRESSORS
from ...protocol._identification import Presence
from ...protocol._opcodes import Opcode
from .._api_error import ApiError
from .._trusted_proxies import RequestSource
from . import _session_start as session_start
from ._dispatch_fault_injector import DispatchFaultInjector
from ._fault_schedule import Fault
from ._gateway_state import GatewayState
from ._guild_members import may_request_members, member_chunks
from ._presence_tracker import shown_presence
from ._session import GatewaySession

log = logging.getLogger("onesocket_discord.server")

Job = Callable[[], Awaitable[None]]


class GatewayConnection(ServedConnection[GatewaySession]):
    """Serves one client. One task does what takes time, in the order of the requests."""

    def __init__(self, state: GatewayState, query: dict[str, str], source: RequestSource) -> None:
        super().__init__(state.options, state.connection_limits, state.sessions, query)
        self.state = state
        self.source = source
        """The client, as far as the request for the upgrade tells."""
        self._write: Callable[[bytes], object] = _discard
        self._write_frame: Callable[[bytes], object] | None = None
        """None: dispatches are compressed."""
        self._fault_injector: DispatchFaultInjector | None = None
        self._logging_in = False
        self._jobs: deque[Job] = deque()
        self._worker: asyncio.Task[None] | None = None

    # --- the WebSocket ----------------------------------------------------------------------------------------------

    def _requested_compression(self) -> str:
        fault = self.state.fault_schedule.take("force_compression")
        name: str = super()._requested_compression() if fault is None else fault.values["name"]
        if name in COMPRESSORS:
            self.state.stats_counter.add(name.replace("-", "_"))
        return name

    def _on_open(self) -> None:
        self.state.connection_opened(self)
        compress = self._compress
        if compress is None:
            self._write = self.websocket.writer()
            self._write_frame = self.websocket.frame_writer()
        else:
            write = self.websocket.writer(binary=True)
            self._write = lambda payload: write(compress(payload))

    def _send_hello(self) -> None:
        fault = self.state.fault_schedule.take("heartbeat_interval")
        if fault is not None:
            self._interval = fault.values["seconds"]
        if self.state.fault_schedule.take("no_hello") is None:
            super()._send_hello()

    def overflowed(self) -> None:
        """Abort the connection of a client that doesn't read; its session can be resumed."""
        self.state.stats_counter.add("dropped")
        self.detach()
        self.websocket.abort()

    def _on_end(self) -> None:
        self._jobs.clear()
        if self._worker is not None:
            self._worker.cancel()
        self.state.connection_ended(self)

    # --- writing and ending -----------------------------------------------------------------------------------------

    def write(self, payload: bytes) -> None:
        """Write one payload, unless the connection is closing."""
        if not self.websocket.closing:
            self._write(payload)

    def write_compressed(self, payload: bytes) -> None:
        """Write one payload, compressed by itself."""
        self.websocket.writer(binary=True)(zlib.compress(payload))

    @property
    def is_compressed(self) -> bool:
        """True if the connection has a transport compression."""
        return self._compress is not None

    def close(self, code: int, reason: str | None = None) -> None:
        """Close in order; the session can be resumed. `reason`: by default Discord's for `code`."""
        self._jobs.clear()
        super().close(code, reason)

    def reset(self) -> None:
        """End the connection by a TCP reset."""
        self.detach()
        self.websocket.reset()

    def invalidate(self, *, resumable: bool = False) -> None:
        """Detach the session, end it unless `resumable`, and send op 9; the client may log in again."""
        self.state.stats_counter.add("invalid_sessions")
        super().invalidate(resumable=resumable)

    # --- the session ------------------------------------------------------------------------------------------------

    def attach(self, session: GatewaySession) -> None:
        """Carry this session from now on."""
        super().attach(session)
        self.update_writer()

    def detach(self) -> None:
        """Carry no session any more."""
        if self._fault_injector is not None:
            self._fault_injector.stop()
            self._fault_injector = None
        if self.session is not None:
            self._logging_in = False
            self.session.write_frame = None
        super().detach()

    def update_writer(self) -> None:
        """Let dispatches go straight to the socket, or through a fault injector while a fault asks for one."""
        if self.session is None:
            return
        affected = self.state.fault_schedule.affects_dispatches(self)
        if self._fault_injector is None and affected:
            self._fault_injector = DispatchFaultInjector(
                self, self.state.fault_schedule, self._write, self.overflowed, self.update_writer
            )
        elif self._fault_injector is not None and self._fault_injector.idle and not affected:
            self._fault_injector = None
        if self._fault_injector is None:
            self.session.write, self.session.write_frame = self._write, self._write_frame
        else:
            self.session.write, self.session.write_frame = self._fault_injector.write, None

    def fault_changed(self, fault: Fault) -> None:
        """A fault was added, is used up, or was lifted."""
        if self._fault_injector is not None and not fault.stands:
            self._fault_injector.settle(fault)
        self.update_writer()

    # --- opcodes ----------------------------------------------------------------------------------------------------

    @property
    def _is_logging_in(self) -> bool:
        return self._logging_in

    @property
    def _accepts_requests(self) -> bool:
        return self._logging_in or self.session is not None

    @property
    def _login_deadline(self) -> float:
        return float("inf") if self._logging_in else super()._login_deadline

    def _acknowledge_heartbeat(self) -> None:
        self.state.stats_counter.add("heartbeats")
        if self.state.fault_schedule.take("withhold_acks", self) is None:
            super()._acknowledge_heartbeat()

    def _identify(self, identify: Identify) -> None:
        self._log_in(lambda: session_start.identify(self, identify))

    def _resume(self, resume: Resume) -> None:
        self._log_in(lambda: session_start.resume(self, resume))

    def _request(self, opcode: int, d: Any) -> None:
        match opcode:
            case Opcode.PRESENCE_UPDATE:
                presence = read_presence(d)
                self._do(lambda: self._update_presence(presence))
            case Opcode.REQUEST_GUILD_MEMBERS:
                request = read_request_guild_members(d)
                self._do(lambda: self._send_members(request))
            case _:
                pass  # accepted without effect

    def _log_in(self, login: Job) -> None:
        async def attempt() -> None:
            try:
                async with asyncio.timeout(self._options.identify_timeout):
                    await login()
            except TimeoutError:
                raise ClientViolation(CloseCode.UNKNOWN_ERROR) from None
            finally:
                self._logging_in = False
                self._detached_at = self._loop.time()
                self._watch()

        self._logging_in = True
        self._do(attempt)

    async def _update_presence(self, presence: Presence) -> None:
        if self.session is not None:
            self.session.presence = shown_presence(presence)
            self.state.presences.changed(self.session.account.user_id)

    async def _send_members(self, request: RequestGuildMembers) -> None:
        """Send the members; none of a guild that the user is not in, nor a whole list without GUILD_MEMBERS."""
        session = self.session
        if session is not None and may_request_members(session, request):
            directory = self.state.get_directory()
            members = await directory.members(session.account, request.guild_id, request.user_ids)
            if members is not None and session is self.session:
                await self.state.push(session, list(member_chunks(session, request, members, self.state.presences)))

    def _do(self, job: Job) -> None:
        self._jobs.append(job)
        if self._worker is None:
            self._worker = self._loop.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._jobs:
                await self._jobs.popleft()()
        except ClientViolation as violation:
            self.close(violation.code, violation.reason)
        except (
            ApiError,
            ConnectionFailure,
            PeerError,
        ) as error:  # the cluster's engine or the database can't be reached
            log.warning("a request of a client failed: %s", error)
            self.close(CloseCode.UNKNOWN_ERROR)
        except Exception:
            log.exception("the gateway failed on a request of a client")
            self.close(CloseCode.UNKNOWN_ERROR)
        finally:
            self._worker = None


def _discard(_: bytes) -> None:
    """Write nothing: the connection is not open yet."""
