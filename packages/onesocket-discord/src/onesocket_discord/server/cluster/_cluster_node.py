"""One server of a cluster: reads the stream, passes events on, and says that it is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import msgspec

from onesocket.errors import InvalidOption, OnesocketError
from onesocket.sharing.cluster._redis_address import RedisAddress
from onesocket.sharing.cluster._redis_client import RedisClient

from .._cluster_entry import (
    ClusterEntry,
    EntryOfAccount,
    EntryOfEvent,
    EntryOfLostNode,
    EntryOfMove,
    EntryOfPresence,
    EntryOfSignOut,
    decode_entry,
    encode_entry,
)
from .._ports import Event
from ..gateway._gateway_state import GatewayState
from ..service import ChatService
from ._bot_identifies import ClusterIdentifies
from ._engine_check import check_engine
from ._event_stream import STREAM_LENGTH, ClusterKeys, EventStream, MissedEntries
from ._presences import ClusterPresences
from ._redis_scripts import LOST_NODE, PRESENCE
from ._session_records import SessionRecords
from ._shared_sessions import SharedSessions

log = logging.getLogger("onesocket_discord.server")

_TIMEOUT: Final = 2.0
"""Seconds for a command."""
_READ_WAIT: Final = 1.0
_RELAY_INTERVAL: Final = 1.0
"""Seconds between two looks for events that a server has left that was killed."""
_MAX_PAUSE: Final = 2.0
_MAX_UNSENT: Final = 10_000


class ClusterNode:
    """A server's part of a cluster, from the start of its service to the end."""

    def __init__(
        self, url: str, state: GatewayState, deliver: Callable[[Event], None],
        sign_out: Callable[[int, bytes | None], None], invalidate: Callable[[int], None],
    ) -> None:  # fmt: skip
        """`url` is that of Redis or Valkey; the other functions act on the sessions of this server.

        Raises `InvalidURL`.
        """
        self.name = secrets.token_hex(8)
        """Of this server, until its end."""
        self._address = RedisAddress.of(url)
        self._state = state
        self._deliver_event = deliver
        self._sign_out = sign_out
        self._invalidate = invalidate
        self._service: ChatService | None = None
        self._unsent: deque[tuple[str, bytes]] = deque(maxlen=_MAX_UNSENT)
        self._has_unsent = asyncio.Event()
        self._told: set[int] = set()
        """Users whose friends this server has to tell of their presence."""
        self.presences = ClusterPresences()

    def __repr__(self) -> str:
        return f"<ClusterNode {self.name} {self._address}>"

    @contextlib.asynccontextmanager
    async def running(self, service: ChatService) -> AsyncGenerator[None, None]:
        """Be part of the cluster of this service's database. Raises the errors of a cluster's engine."""
        if not service.store.is_shared:
            raise InvalidOption("a cluster needs a database that its servers share: --database postgresql+asyncpg://…")
        self._service = service
        keys = self._keys = ClusterKeys(f"onesocket-chat:{service.default_guild}:")
        self._client = RedisClient(self._address, "onesocket-chat", _TIMEOUT)
        self._stream = EventStream(self._client, keys)
        options = self._state.options
        records = SessionRecords(self._client, keys, self.name, options.session_ttl)
        self.sessions = SharedSessions(records, self._stream, self._state)
        self.identifies = ClusterIdentifies(self._client, keys, options)
        try:
            await check_engine(self._client, keys, str(self._address), "onesocket-chat")
            self.sessions.position = await self._stream.position()
            await self._join()
            work = (self._follow, self._relay, self._send, self._keep_alive, self.sessions.keep_records)
            tasks = [asyncio.create_task(self._again(each), name=f"chat-cluster-{each.__name__}") for each in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        finally:
            await self._client.aclose()

    # --- for the gateway ----------------------------------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Publish an event that no transaction has stored: it is lost if this server ends before it is sent."""
        self._unsent.append((event.name, encode_entry(EntryOfEvent.of(event))))
        self._has_unsent.set()

    async def announce(self, user_id: int, presence: dict[str, Any] | None) -> None:
        """Tell all servers what this one's sessions say of a user; None: there are none."""
        entry = encode_entry(EntryOfPresence(self.name, user_id, presence))
        keys = [self._keys.stream, self._keys.state, self._keys.presences(self.name)]
        stored = b"" if presence is None else msgspec.json.encode(presence)
        await self._client.run_script(PRESENCE, keys, STREAM_LENGTH, entry, user_id, stored)

    async def check(self) -> None:
        """Write to the engine that this server is there. Raises `EngineUnavailable` and `EngineUnusable`."""
        await self._register()

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do one step after another; while they fail, ever more slowly."""
        pause = 0.05
        while True:
            try:
                await step()
                pause = 0.05
            except Exception as error:
                if isinstance(error, OnesocketError):
                    log.warning("the cluster: %s", error)
                else:
                    log.exception("the cluster: a step failed")
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE)

    async def _follow(self) -> None:
        try:
            entries = await self._stream.follow(self.sessions.position, _READ_WAIT)
        except MissedEntries:
            self._logins.forget_all()  # a sign-out may be among what was missed
            await self._start_again()
            self._stream.check_foreign()  # with a pause: that program may go on
            return
        except OnesocketError:
            self._logins.forget_all()  # none is heard of: tokens are looked up in the database
            raise
        for entry_id, body in entries:
            self.sessions.position = entry_id
            entry = decode_entry(body)
            if entry is not None:
                try:
                    self._deliver(entry)
                except Exception:
                    log.exception("an entry of the cluster's stream could not be delivered")
        if self._told:
            told, self._told = self._told, set()
            for user_id in told:
                self._state.presences.tell(user_id)

    def _deliver(self, entry: ClusterEntry) -> None:
        match entry:
            case EntryOfEvent():
                self._deliver_event(entry.event)
            case EntryOfSignOut(user_id=user_id, login=login):
                self._logins.forget(user_id)
                self._sign_out(user_id, login)
            case EntryOfAccount(user_id=user_id, invalidates=invalidates):
                self._logins.forget(user_id)
                if invalidates:
                    self._invalidate(user_id)
            case EntryOfMove(session_id=session_id, node=node):
                if node != self.name:
                    self.sessions.moved(session_id)
            case EntryOfPresence(node=node, user_id=user_id, presence=presence):
                self._change_presences(lambda: self.presences.set(node, user_id, presence), {user_id}, node)
            case EntryOfLostNode(node=node, found_by=found_by):
                self._change_presences(
                    lambda: self.presences.remove_node(node), self.presences.users_of(node), found_by
                )
                if node == self.name:  # this one was stopped for a while
                    self._state.presences.announce_all()

    def _change_presences(self, change: Callable[[], object], users: set[int], teller: str) -> None:
        before = {user_id: self._state.presences.of(user_id) for user_id in users}
        change()
        if teller == self.name:
            self._told |= {user_id for user_id in users if self._state.presences.of(user_id) != before[user_id]}

    async def _start_again(self) -> None:
        """Begin at the end of the stream: sessions here have missed events, so their clients identify anew."""
        log.warning("this server has missed entries of the cluster's stream; its sessions end")
        self.sessions.position = await self._stream.position()
        for session in self._state.sessions:
            connection = session.connection
            self._state.sessions.end(session)
            if connection is not None:
                connection.invalidate()
        await self._join()
        self._state.presences.announce_all()

    async def _relay(self) -> None:
        store = self._get_service().store
        store.has_outgoing.clear()
        while await store.pass_on_events(self._stream.add):
            pass
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELAY_INTERVAL):
                await store.has_outgoing.wait()

    async def _send(self) -> None:
        await self._has_unsent.wait()
        self._has_unsent.clear()
        batch = list(self._unsent)
        self._unsent.clear()
        try:
            await self._stream.add([(None, body) for _, body in batch])
        except OnesocketError:
            # Once more, but for what is outdated by then; a presence that comes twice is the same.
            kept = [entry for entry in batch if entry[0] != "TYPING_START"]
            self._unsent = deque([*kept, *self._unsent], maxlen=_MAX_UNSENT)
            self._has_unsent.set()
            raise

    async def _keep_alive(self) -> None:
        await self._register()
        await self._find_lost_nodes()
        await asyncio.sleep(self._state.options.presence_grace / 3)

    async def _find_lost_nodes(self) -> None:
        nodes = {name.decode() for name in await self._client.run("SMEMBERS", self._keys.nodes)}
        for node in nodes - {self.name}:
            keys = self._keys
            places = [keys.stream, keys.state, keys.nodes, keys.alive(node), keys.presences(node)]
            entry = encode_entry(EntryOfLostNode(node, self.name))
            await self._client.run_script(LOST_NODE, places, STREAM_LENGTH, entry, node)

    async def _register(self) -> None:
        grace = max(1, round(self._state.options.presence_grace * 1000))
        await self._client.run("SET", self._keys.alive(self.name), "1", "PX", grace)
        await self._client.run("SADD", self._keys.nodes, self.name)

    async def _join(self) -> None:
        """Say that this server is there, and learn what the others have said of their users."""
        await self._register()
        self.presences.clear()
        for name in await self._client.run("SMEMBERS", self._keys.nodes):
            node = name.decode()
            flat = await self._client.run("HGETALL", self._keys.presences(node))
            for user_id, presence in flat.items():
                self.presences.set(node, int(user_id), msgspec.json.decode(presence))

    def _get_service(self) -> ChatService:
        if self._service is None:
            raise RuntimeError("the server is no part of a cluster yet")
        return self._service

    @property
    def _logins(self) -> Any:
        return self._get_service().logins
