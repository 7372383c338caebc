"""Passes every message from upstream to every client, and every message of a client upstream, unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final

from ..client._backlog import MAX_BYTES, Backlog
from ..client._gap import Gap, GapReason
from ..client._key_table import is_wanted
from ..errors import InvalidOption, SubscriptionRefused
from ..protocols._requests import Requests
from ..sharing._upstream import Upstream
from ..transports._connection_acceptor import RequestAnswer
from ..transports._server_connection import ServerConnectionLimits
from ..wire._handshake import Data, size_of
from ..wire._request_parser import HttpRequest
from ._client_answers import ClientAnswers
from ._counters import HubCounters
from ._frame_backlog import FrameBacklog, FrameBatch
from ._frontend import wait_for_all
from ._merge import Interest, InterestReader, key_of, refusal_messages
from ._options import HubOptions
from ._raw_client import RawClient

if TYPE_CHECKING:
    from ._hub import Hub

_POLICY_VIOLATION: Final = 1008


class RawFrontend:
    """A `Frontend` for any protocol. A message is encoded as a frame once, and written to each client in batches."""

    kind = "raw"

    def __init__(
        self,
        upstream: Upstream,
        options: HubOptions,
        merge: InterestReader | None = None,
        *,
        snapshots: bool = False,
        requests: Requests | None = None,
    ) -> None:
        """Make a frontend; `snapshots`: the upstream's protocol declares one, and new clients begin with it.

        `requests`: those that the upstream's protocol declares, for frames as messages: clients get the answers to
        their own, under their own ids.
        """
        self.options = options
        self.upstream = upstream
        self._merge = merge
        self._is_answer: Callable[[Data], bool] | None = getattr(merge, "is_answer", None)
        self._wildcard: Callable[[Any], Hashable] | None = getattr(merge, "wildcard", None)
        self._snapshots = snapshots
        self.requests = requests
        # What the kernel doesn't take at once waits in the hub's backlog.
        self._limits = ServerConnectionLimits(
            max_size=options.max_message, write_buffer=0, close_timeout=options.close_timeout
        )
        # At most what a client may leave unread: the first client gets all of it at once.
        self._waiting = Backlog(size=min(MAX_BYTES, options.client_buffer // 2))
        self._first = self._waiting.expect()
        self._clients: dict[RawClient, None] = {}
        self._hub: Hub

    def __repr__(self) -> str:
        return f"<RawFrontend clients={len(self._clients)}>"

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self._clients)

    @property
    def waiting(self) -> int:
        """Messages of all clients that wait to be sent upstream."""
        return sum(client.waiting for client in self._clients)

    @property
    def counters(self) -> HubCounters:
        """The hub's counters."""
        return self._hub.counters

    @property
    def backlog(self) -> FrameBacklog:
        """The frames that the hub keeps for clients that lag."""
        return self._hub.backlog

    def open(self, hub: Hub) -> None:
        """Start to serve, as part of this hub."""
        self._hub = hub

    def respond(self, request: HttpRequest) -> RequestAnswer:
        """Accept an upgrade, with the upstream's sub-protocol if it is offered; refuse a wrong token."""
        refusal = self._hub.access_policy.check_token(request)
        if refusal is not None:
            return refusal
        offered = [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol")).split(",")]
        chosen = self._hub.subprotocol
        return RawClient(self, self._limits, chosen if chosen in offered else None).connection

    # --- from upstream ----------------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Pass messages to all clients, or to the subscribers of their key; keep them before the first client."""
        if self._waiting:
            self._waiting.put_many(batch)
            return
        merge = self._merge
        if merge is None:
            self._write(self._clients, FrameBatch.of(batch))
            return
        if self._is_answer is not None:
            batch = [message for message in batch if not self._is_answer(message)]
        keys = list(enumerate(key_of(merge, message) for message in batch))
        made: dict[tuple[int, ...], FrameBatch] = {}
        for client in tuple(self._clients):
            wanted = [place for place, key in keys if key is None or is_wanted(key, client.keys, self._wildcard)]
            # Clients that read get what they want as one; what lagging ones have to wait for is kept once for all.
            for places in [(place,) for place in wanted] if client.lags else [tuple(wanted)] if wanted else []:
                if places not in made:
                    made[places] = FrameBatch.of([batch[place] for place in places])
                self._write((client,), made[places])

    def size(self, message: Any) -> int:
        """The size of a message in bytes."""
        return size_of(message)

    def gap(self, gap: Gap) -> None:
        """Send the configured gap message to the clients, if there is one."""
        if self._waiting:
            if gap.reason is GapReason.RECONNECTED:  # the first client begins with the current connection
                self._waiting.forget(self._first)
                self._first = self._waiting.expect()
            else:
                self._waiting.put_gap(gap)
        elif self.options.gap_message is not None:
            self._write(self._clients, FrameBatch.of((self.options.gap_message,)))

    def _write(self, clients: Iterable[RawClient], batch: FrameBatch) -> None:
        written = 0
        for client in tuple(clients):
            written += client.write(batch)
        counters = self.counters
        counters.delivered += written * batch.count
        counters.delivered_bytes += written * batch.size

    def _write_all(self, client: RawClient, messages: list[Data]) -> None:
        """Write messages for one client alone."""
        if messages:
            self._write((client,), FrameBatch.of(messages))

    # --- clients ----------------------------------------------------------------------------------------------------

    def client_connected(self, client: RawClient) -> None:
        """Add a client whose upgrade is complete; the first one gets the kept messages."""
        self._clients[client] = None
        is_first = bool(self._waiting)
        waited = self._waiting.since(self._first, self._hub.status.epoch) if is_first else []
        self._waiting.forget(self._first)
        if self._snapshots and not (is_first and not any(isinstance(item, Gap) for item in waited)):
            self.upstream.ask_snapshot(lambda items: self._begin(client, items))
        else:
            client.has_begun = True
            for item in waited:
                self.gap(item) if isinstance(item, Gap) else self.messages([item])
        self._hub.client_connected()

    def _begin(self, client: RawClient, snapshot: list[Any]) -> None:
        """Let a client begin, with the messages of a snapshot that go to all clients."""
        client.has_begun = True
        self._write_snapshot(client, snapshot, {None})

    def _begin_keys(self, client: RawClient, keys: Iterable[str], snapshot: list[Any]) -> None:
        """Let a client begin with these keys, unless it has unsubscribed from them, and with their messages."""
        begun = client.beginning.intersection(keys)
        client.beginning -= begun
        client.keys |= begun
        self._write_snapshot(client, snapshot, begun)

    def _write_snapshot(self, client: RawClient, snapshot: list[Any], keys: Container[str | None]) -> None:
        if client in self._clients:
            merge = self._merge
            messages = [item for item in snapshot if not isinstance(item, Gap)]
            wanted = [item for item in messages if (None if merge is None else key_of(merge, item)) in keys]
            self._write_all(client, wanted)

    def client_disconnected(self, client: RawClient) -> None:
        """Remove a client and its subscriptions."""
        if client in self._clients:
            del self._clients[client]
            if client.keys:
                self.upstream.remove_keys(client)
            if client.requests is not None:
                client.requests.close_all()
            self._hub.client_disconnected()

    def ask(self, client: RawClient, data: Data) -> bool:
        """Send a request upstream, under an id of its own; returns False for any other message."""
        open_requests = client.requests
        id_ = None if open_requests is None else open_requests.requests.own_id(data)
        if open_requests is None or id_ is None:
            return False
        if open_requests.stop(data):
            return True
        answers = ClientAnswers(open_requests, client, id_, open_requests.stop_of(data), self._answer)
        open_requests.add(answers, self.upstream.open_answers(data, answers))
        return True

    def _answer(self, client: RawClient, data: Data) -> None:
        self.counters.received.add(1)
        self.counters.received_bytes += size_of(data)
        self._write_all(client, [data])

    def subscribe(self, client: RawClient, data: Data) -> bool:
        """Apply a message that subscribes or unsubscribes; returns False for any other message."""
        try:
            interest = None if self._merge is None else self._merge.read(data)
        except InvalidOption as error:
            client.close(_POLICY_VIOLATION, str(error))
            return True
        if interest is None:
            return False
        self._change(client, interest)
        return True

    def _change(self, client: RawClient, interest: Interest) -> None:
        """Subscribe upstream to new keys, and unsubscribe from those without a subscriber."""
        present = client.keys | client.beginning
        added = dict.fromkeys(key for key in interest.add if key not in present)
        removed = dict.fromkeys(key for key in interest.remove if key in present)
        keys = client.beginning if self._snapshots else client.keys
        try:
            keys.update(added)  # those that are refused at once are taken out
            self.upstream.add_keys(client, added)
        except InvalidOption as error:
            keys.difference_update(added)
            client.close(_POLICY_VIOLATION, str(error))
            return
        if self._snapshots and added:
            self.upstream.ask_snapshot(lambda items: self._begin_keys(client, added, items))
        client.forget(removed)
        self.upstream.remove_keys(client, removed)

    def report_refusal(self, client: RawClient, error: SubscriptionRefused) -> None:
        """Tell a client of keys that it doesn't get."""
        self._write_all(client, list(refusal_messages(self._merge, error)))

    def close_clients(self, code: int, reason: str) -> None:
        """Close the connections of all clients."""
        for client in tuple(self._clients):
            client.close(code, reason)

    async def stop(self, timeout: float) -> None:
        """Send upstream what clients have sent, then close their connections."""
        end = asyncio.get_running_loop().time() + timeout
        for client in tuple(self._clients):
            client.connection.pause_reading()
        await wait_for_all((client.idle() for client in tuple(self._clients)), timeout / 2)
        for client in tuple(self._clients):
            farewell = await client.prepare_close()
            client.connection.resume_reading()  # for its CLOSE
            client.close(*farewell)
        await wait_for_all(
            (client.connection.wait_closed() for client in tuple(self._clients)),
            end - asyncio.get_running_loop().time(),
        )
