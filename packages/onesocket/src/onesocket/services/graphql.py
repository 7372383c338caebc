"""GraphQL over WebSocket, by the sub-protocol graphql-transport-ws: operations as requests and streams of results.

```
async with Client("wss://api.example/graphql", token=TOKEN, protocol=graphql.protocol()) as client:
    answer = await client.request(graphql.operation("query { me { name } }"))
    print(answer.payload.data)
    prices = graphql.operation("subscription ($of: ID!) { price(of: $of) }", {"of": "ACME"})
    async with client.request_stream(prices, resend=True) as stream:
        async for message in stream:
            if isinstance(message, graphql.Next):
                print(message.payload.data)
```

A result is a `Next`. A stream ends when the server completes it; closed, it completes the operation. An operation that
the server refuses is `RequestRefused`; errors of a single result are in its `payload.errors`. With ``resend=True`` an
operation begins again after a loss, with a `Gap` in its stream: not for mutations.

Close codes: 4401 and 4403 are `LoginRefused`, so that a function that gives tokens is asked for a fresh one. 4400,
4406, 4409 and 4429 are final (`ClosedByPeer`), as the same messages would be refused again. All others are retried,
4500 among them, at which the reference client gives up.

Facts, from "GraphQL over WebSocket Protocol" (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md): the
messages, their order and the close codes; from the reference client
(https://github.com/enisdenjo/graphql-ws/blob/master/src/client.ts): the final codes, and that a `pong` has the payload
of its `ping`. What `connection_init` holds is the server's matter: ``{"Authorization": "Bearer …"}`` is only common.
`onesocket.testing.services.GraphQLVenue` fakes a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from ..errors import ClosedByPeer, LoginRefused, OnesocketError
from ..protocols import Heartbeat, Json, Login, Requests
from ._fingerprint import with_fingerprint
from ._graphql_messages import (
    Complete,
    ConnectionAck,
    ConnectionInit,
    Error,
    ExecutionResult,
    GraphQLError,
    Message,
    Next,
    Operation,
    OperationRequest,
    Ping,
    Pong,
)

__all__ = [
    "SUBPROTOCOL",
    "Complete",
    "ConnectionAck",
    "ConnectionInit",
    "Error",
    "ExecutionResult",
    "GraphQLError",
    "Message",
    "Next",
    "Operation",
    "OperationRequest",
    "Ping",
    "Pong",
    "bearer",
    "operation",
    "protocol",
]

SUBPROTOCOL: Final = "graphql-transport-ws"
_REFUSED_LOGIN: Final = {4401, 4403}
_FINAL: Final = {4400, 4406, 4409, 4429}


def bearer(token: str | None) -> dict[str, Any] | None:
    """Return the usual payload of `connection_init`: the token as a header field, or none without a token."""
    return None if token is None else {"Authorization": f"Bearer {token}"}


def protocol(*, payload: Callable[[str | None], dict[str, Any] | None] = bearer) -> Json[Message]:
    """Return the protocol: initialisation, ids of operations, heartbeats of the server, close codes.

    `payload`: a function of the token that returns what `connection_init` holds.
    """

    def initialise(token: str | None) -> ConnectionInit:
        return ConnectionInit(payload=payload(token))

    made = Json(
        type=Message,
        subprotocols=[SUBPROTOCOL],
        login=Login(request=initialise, ready=_is_acknowledged),
        requests=Requests(make_id=str, refused=_refusal, last=_is_last, stop=_complete),
        heartbeat=Heartbeat(reply=_pong, answer=_is_pong),
        closed=_close_error,
    )
    # Another function may know an account by other means than the token.
    return with_fingerprint(made, __name__) if payload is bearer else made


def operation(
    query: str,
    variables: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    extensions: dict[str, Any] | None = None,
) -> OperationRequest:
    """Return the message that begins an operation, for ``request()`` or ``request_stream()``."""
    return OperationRequest(
        payload=Operation(query=query, operation_name=name, variables=variables, extensions=extensions)
    )


def _is_acknowledged(message: Message) -> bool:
    return isinstance(message, ConnectionAck)


def _refusal(answer: Message) -> str | None:
    return "; ".join(error.message for error in answer.payload) if isinstance(answer, Error) else None


def _is_last(answer: Message) -> bool:
    return isinstance(answer, Complete)


def _complete(request: Any) -> Complete:
    return Complete(id=cast("Mapping[str, Any]", request)["id"] if isinstance(request, Mapping) else request.id)


def _pong(message: Message) -> Pong | None:
    return Pong(payload=message.payload) if isinstance(message, Ping) else None


def _is_pong(message: Message) -> bool:
    return isinstance(message, Pong)


def _close_error(code: int, reason: str) -> OnesocketError | None:
    if code in _REFUSED_LOGIN:
        return LoginRefused(f"the GraphQL server refused the login: {reason} ({code})")
    if code in _FINAL:
        text = f"the GraphQL server closed the connection for good: {reason} ({code})"
        return ClosedByPeer(text, code=code, reason=reason, retryable=False)
    return None
