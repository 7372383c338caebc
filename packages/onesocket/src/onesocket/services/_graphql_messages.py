"""The messages of the sub-protocol graphql-transport-ws, as msgspec structs."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, field


class GraphQLMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A message of the sub-protocol."""


class ConnectionInit(GraphQLMessage, frozen=True, kw_only=True, tag="connection_init"):
    """The first message of the client."""

    payload: dict[str, Any] | None = None


class ConnectionAck(GraphQLMessage, frozen=True, kw_only=True, tag="connection_ack"):
    """The answer to it: operations may begin."""

    payload: dict[str, Any] | None = None


class Ping(GraphQLMessage, frozen=True, kw_only=True, tag="ping"):
    """A heartbeat."""

    payload: dict[str, Any] | None = None


class Pong(GraphQLMessage, frozen=True, kw_only=True, tag="pong"):
    """The answer to a heartbeat."""

    payload: dict[str, Any] | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A query, a mutation or a subscription."""

    query: str
    operation_name: str | None = field(name="operationName", default=None)
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class OperationRequest(GraphQLMessage, frozen=True, kw_only=True, tag="subscribe"):
    """The request that begins an operation of any kind."""

    id: str | UnsetType = UNSET
    payload: Operation


class GraphQLError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, of an operation or in a result."""

    message: str
    locations: list[dict[str, int]] | None = None
    path: list[str | int] | None = None
    extensions: dict[str, Any] | None = None


class ExecutionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result of an operation; one with errors may have data besides."""

    data: Any = None
    errors: list[GraphQLError] | None = None
    extensions: dict[str, Any] | None = None


class Next(GraphQLMessage, frozen=True, kw_only=True, tag="next"):
    """A result."""

    id: str
    payload: ExecutionResult


class Error(GraphQLMessage, frozen=True, kw_only=True, tag="error"):
    """The end of an operation that could not begin, such as one that is not valid."""

    id: str
    payload: list[GraphQLError]


class Complete(GraphQLMessage, frozen=True, kw_only=True, tag="complete"):
    """The end of an operation, by either side."""

    id: str


Message = ConnectionAck | Ping | Pong | Next | Error | Complete
"""All messages of the server."""
