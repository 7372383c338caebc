"""Every frame from above to every client, and every frame of a client up: text stays text, binary stays binary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from picows import WSUpgradeRequest

from ..client._backlog import MAX_BYTES, Backlog
from ..client._gap import Gap, GapReason
from ..errors import InvalidOption
from ..sharing._upstream import Upstream
from ..sharing.host._subscription_counts import SubscriptionCounts
from ..transports._connection_acceptor import HandshakeAnswer
from ..transports._server_connection import ServerConnectionLimits, encode_frame
from ..wire._handshake import Data, size_of
from ._counters import HubCounters
from ._frontend import HubContext
from ._merge import Interest, Merge, key_of
from ._options import HubOptions
from ._raw_client import RawClient
from ._wait_for_all import wait_for_all

_POLICY_VIOLATION: Final = 1008


class RawFrontend:
    """A `Desk`. A message is made a frame once, and written to each client once for each turn of the loop."""

    kind = "raw"

    def __init__(self, upstream: Upstream, options: HubOptions, merge: Merge | None = None) -> None:
        self.options = options
        self.upstream = upstream
        self._merge = merge
        self._limits = ServerConnectionLimits(
            max_size=options.max_message, write_buffer=options.client_buffer, close_timeout=options.close_timeout
        )
        self._counts = SubscriptionCounts()
        # No more than a client may leave unread: the first one gets all of it at once.
        self._waiting = Backlog(size=min(MAX_BYTES, options.client_buffer // 2))
        self._first = self._waiting.expect()
        self._clients: dict[RawClient, None] = {}
        self._hub_context: HubContext

    def __repr__(self) -> str:
        return f"<RawFrontend clients={len(self._clients)}>"

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self._clients)

    @property
    def waiting(self) -> int:
        """Messages of all clients that wait to go up."""
        return sum(client.waiting for client in self._clients)

    @property
    def counters(self) -> HubCounters:
        """What the hub counts."""
        return self._hub_context.counters

    def open(self, house: HubContext) -> None:
        """Begin."""
        self._hub_context = house

    def respond(self, request: WSUpgradeRequest) -> HandshakeAnswer:
        """Every request is one for a WebSocket."""
        refusal = self._hub_context.access_policy.check_token(request)
        if refusal is not None:
            return refusal
        offered = [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]
        chosen = self._hub_context.subprotocol
        return RawClient(self, self._limits, chosen if chosen in offered else None).connection

    # --- from above -------------------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """To everybody, or to those who want the key; before the first client, they wait for it."""
        if self._waiting:
            self._waiting.put_many(batch)
            return
        merge = self._merge
        if merge is None:
            self._give(self._clients, [encode_frame(message) for message in batch])
            return
        pairs = [(key_of(merge, message), encode_frame(message)) for message in batch]
        for client in tuple(self._clients):
            self._give((client,), [frame for key, frame in pairs if key is None or key in client.keys])

    def size(self, message: Any) -> int:
        """Its bytes."""
        return size_of(message)

    def gap(self, gap: Gap) -> None:
        """Told in the words that were chosen for it, if any."""
        if self._waiting:
            if gap.reason is GapReason.RECONNECTED:  # what the first client begins with is the present line
                self._waiting.forget(self._first)
                self._first = self._waiting.expect()
            else:
                self._waiting.put_gap(gap)
        elif self.options.gap_message is not None:
            self._give(self._clients, [encode_frame(self.options.gap_message)])

    def _give(self, clients: Iterable[RawClient], frames: list[bytes]) -> None:
        if not frames:
            return
        blob = b"".join(frames)
        given = 0
        for client in tuple(clients):
            given += client.write(blob)
        counters = self.counters
        counters.delivered += given * len(frames)
        counters.delivered_bytes += given * len(blob)

    # --- clients ----------------------------------------------------------------------------------------------------

    def client_connected(self, client: RawClient) -> None:
        """Its upgrade went through."""
        self._clients[client] = None
        if self._waiting:
            waited = self._waiting.since(self._first, self._hub_context.status.epoch)
            self._waiting.forget(self._first)
            for item in waited:
                self.gap(item) if isinstance(item, Gap) else self.messages([item])
        self._hub_context.client_connected()

    def client_disconnected(self, client: RawClient) -> None:
        """It's gone, with its subscriptions."""
        if client in self._clients:
            del self._clients[client]
            gone = self._counts.drop(client)
            if gone:
                self.upstream.remove_keys(gone)
            self._hub_context.client_disconnected()

    def subscribe(self, client: RawClient, data: Data) -> bool:
        """Do what this message asks for, if it's a subscription; False: it's none, and goes up as it is."""
        interest = None if self._merge is None else self._merge.read(data)
        if interest is None:
            return False
        self._change(client, interest)
        return True

    def _change(self, client: RawClient, interest: Interest) -> None:
        """Only what nobody wanted before, or wants any more, goes up."""
        added = dict.fromkeys(key for key in interest.add if key not in client.keys)
        removed = dict.fromkeys(key for key in interest.remove if key in client.keys)
        try:
            new = self._counts.add_keys(client, added)
        except InvalidOption as error:
            client.connection.close(_POLICY_VIOLATION, str(error))
            return
        client.keys.update(added)
        client.keys.difference_update(removed)
        if new:
            self.upstream.add_keys(new)
        gone = self._counts.remove_keys(client, removed)
        if gone:
            self.upstream.remove_keys(gone)

    def close_clients(self, code: int, reason: str) -> None:
        """Close every client."""
        for client in tuple(self._clients):
            client.connection.close(code, reason)

    async def stop(self, timeout: float) -> None:
        """What clients have sent goes up, then they are closed."""
        end = asyncio.get_running_loop().time() + timeout
        for client in tuple(self._clients):
            client.connection.pause_reading()
        await wait_for_all((client.idle() for client in tuple(self._clients)), timeout / 2)
        for client in tuple(self._clients):
            farewell = await client.prepare_close()
            client.connection.resume_reading()  # for its CLOSE
            client.connection.close(*farewell)
        await wait_for_all(
            (client.connection.wait_closed() for client in tuple(self._clients)),
            end - asyncio.get_running_loop().time(),
        )
