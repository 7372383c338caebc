"""A fake GraphQL server that speaks the sub-protocol graphql-transport-ws."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Unpack, cast

from .._faulty_connection import FaultyConnection
from ._ledger import VenueEvent
from ._streams import StreamSession
from ._venue import Venue, VenueOptions

SUBPROTOCOL: Final = "graphql-transport-ws"
_OPERATION_NAME: Final = re.compile(r"\b(?:query|mutation|subscription)\s+(\w+)")

Authenticate = Callable[[dict[str, Any]], str | None]
"""Called with the payload of `connection_init`; returns the account, or None to refuse it (4403)."""

Resolve = Callable[[dict[str, Any]], Any]
"""Called with the variables of an operation; returns its data. A ValueError is answered as an error with its text."""


class GraphQLSession(StreamSession["GraphQLVenue"]):
    """One connection to a `GraphQLVenue`. Its keys are the names of operations, or the query of one without a name."""

    def opened(self) -> None:
        """Check the sub-protocol, and wait for `connection_init`."""
        offered = self.connection.request_headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in {name.strip() for name in offered.split(",")}:
            self._close(4406, "Subprotocol not acceptable")
            return
        self.after(self.venue.init_timeout, self._time_out)

    def received(self, message: Any) -> None:
        """Take a message by its type."""
        match message:
            case {"type": "connection_init"} if self.account is not None:
                self._close(4429, "Too many initialisation requests")
            case {"type": "connection_init"} if isinstance(message.get("payload"), dict | None):
                self._initialise(message.get("payload") or {})
            case {"type": "ping"} if isinstance(message.get("payload"), dict | None):
                self.send(message | {"type": "pong"})
            case {"type": "pong"}:
                self.note(VenueEvent.ACKNOWLEDGED, "ping")
            case {"type": "subscribe"} if self.account is None:
                self._close(4401, "Unauthorized")
            case {"type": "subscribe", "id": str(ident), "payload": {"query": str(query)} as operation} if ident:
                self._subscribe(ident, query, cast("dict[str, Any]", operation))
            case {"type": "complete", "id": str(ident)}:
                self.close_stream(ident)
            case _:
                self._close(4400, "Invalid message received")

    def malformed(self, error: str) -> None:
        """End the connection."""
        self._close(4400, f"Invalid message received: {error}")

    def render(self, subscription: Any, data: Any) -> Any:
        """Return the result for one operation."""
        return {"id": subscription, "type": "next", "payload": data}

    def complete(self, ident: str) -> None:
        """End an operation in order."""
        if self.close_stream(ident) is not None:
            self.send({"id": ident, "type": "complete"})

    def fail(self, ident: str, key: str, *texts: str) -> None:
        """End an operation with errors."""
        self.close_stream(ident)
        errors = [{"message": text} for text in texts]
        self.refuse({"id": ident, "type": "error", "payload": errors}, key=key, reason="; ".join(texts))

    def _close(self, code: int, reason: str) -> None:
        self.note(VenueEvent.REFUSED, str(code), reason)
        self.end(code, reason)

    def _time_out(self) -> None:
        if self.account is None:
            self.note(VenueEvent.LIMIT_EXCEEDED, "init_timeout")
            self._close(4408, "Connection initialisation timeout")

    def _initialise(self, payload: dict[str, Any]) -> None:
        account = self.venue.authenticate(payload)
        if account is None or not self.sign_in(account):
            self._close(4403, "Forbidden")
            return
        self.send({"type": "connection_ack"})

    def _subscribe(self, ident: str, query: str, operation: dict[str, Any]) -> None:
        name = operation.get("operationName") or _name_in(query)
        if ident in self.streams:
            self._close(4409, f"Subscriber for {ident} already exists")
        elif name in self.venue.refused:
            self.fail(ident, name, f"{name} is refused")
        elif name in self.venue.queries:
            self._resolve(ident, name, operation.get("variables") or {})
        else:
            self.open_stream(ident, name)

    def _resolve(self, ident: str, name: str, variables: dict[str, Any]) -> None:
        try:
            data = self.venue.queries[name](variables)
        except ValueError as error:
            self.fail(ident, name, str(error))
            return
        self.send({"id": ident, "type": "next", "payload": {"data": data}})
        self.send({"id": ident, "type": "complete"})


class GraphQLVenue(Venue[GraphQLSession]):
    """A GraphQL server on graphql-transport-ws: initialisation, operations with ids, and the close codes of its rules.

    - `init_timeout`: seconds for `connection_init`; close code 4408.
    - `authenticate`: tells the account from the payload of `connection_init`, or refuses it; by default every client is
      the account `anyone`.
    - `queries`: answers to operations with a single result, by their names: called with the variables.
    - `refused`: names of operations that are answered with an error.

    Operations are known by `operationName`, or else by the first name in their query, or by its text if it has none:
    the venue executes no GraphQL. Every operation that is not in `queries` is a stream: `push("prices", {"price": 1})`
    sends it a result, `complete("prices")` ends it in order and `fail("prices", "gone")` with an error.

    Facts, from "GraphQL over WebSocket Protocol"
    (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md, as of 2026-07): the sub-protocol, the messages,
    the close codes 4400, 4401, 4403, 4408, 4409, 4429 with their reasons, and that unknown ids are ignored. From the
    server beside it (https://github.com/enisdenjo/graphql-ws/blob/master/src/server.ts): 3 s for the initialisation,
    and 4406 for a client without the sub-protocol.

    Not confirmed by them: 4403 for an account without a free place, and the words of 4400.
    """

    path = "graphql"
    default_options: ClassVar[VenueOptions] = {"subprotocols": (SUBPROTOCOL,)}

    def __init__(
        self,
        *,
        init_timeout: float = 3.0,
        authenticate: Authenticate = lambda _: "anyone",
        queries: Mapping[str, Resolve] | None = None,
        **options: Unpack[VenueOptions],
    ) -> None:
        super().__init__(**self.with_defaults(options))
        self.init_timeout = init_timeout
        self.authenticate = authenticate
        self.queries = {} if queries is None else dict(queries)

    def new_session(self, connection: FaultyConnection) -> GraphQLSession:
        """Return the session of a new connection."""
        return GraphQLSession(self, connection)

    def push(self, operation: str, data: Any, *, errors: list[Any] | None = None) -> int:
        """Send a result to all streams of an operation; return the number of connections that have one."""
        return self.distribute({"data": data} if errors is None else {"data": data, "errors": errors}, operation)

    def complete(self, operation: str) -> None:
        """End all streams of an operation in order."""
        for session in self.sessions:
            for ident in list(session.matching(operation)):
                session.complete(ident)

    def fail(self, operation: str, *texts: str) -> None:
        """End all streams of an operation with errors of these texts."""
        for session in self.sessions:
            for ident in list(session.matching(operation)):
                session.fail(ident, operation, *texts)

    def ping(self, payload: dict[str, Any] | None = None) -> None:
        """Send the message `ping` to all connections; each `pong` is noted as ACKNOWLEDGED."""
        for session in self.sessions:
            session.send({"type": "ping"} if payload is None else {"type": "ping", "payload": payload})


def _name_in(query: str) -> str:
    found = _OPERATION_NAME.search(query)
    return query if found is None else found[1]
