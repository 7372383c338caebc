"""Routes: each names the operation for a method and path, whose arguments are read from the request by their names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..service import ChatService
from ._request_context import RequestContext

Handler = Callable[[RequestContext], Awaitable[Any]]
"""Returns the body (None: 204), or a finished response."""
_Reader = Callable[[RequestContext], Any]


@dataclass(frozen=True, slots=True)
class RouteDefinition:
    """The operation for one method and path."""

    method: str
    path: str
    operation: Callable[[ChatService], Callable[..., Awaitable[Any]]]
    """Returns a method of the service, or a function with the parameter `context`."""
    status: int = 200
    """The status of a response with a body."""
    open: bool = False
    """True if it can be used without a token."""
    max_limit: int = 0
    """The largest `limit` of the query; its default is the operation's."""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments that the request doesn't have."""
    result: Callable[[Any], Any] = lambda result: result
    """Makes the body, or a finished response, of the operation's result."""

    def bind(self, service: ChatService) -> Handler:
        """Return the handler. Raises `TypeError` if the request can't have a parameter of the operation."""
        parameters = inspect.signature(self.operation(service)).parameters
        given = {"work", "body", "files", *self.fixed}  # `work` is that of the transaction
        readers = {name: self._reader(one) for name, one in parameters.items() if name not in given}
        takes_body, takes_files = "body" in parameters, "files" in parameters

        async def handler(context: RequestContext) -> Any:
            arguments = {name: read(context) for name, read in readers.items()}
            if takes_body:
                arguments["body"] = await context.body()
            if takes_files:
                arguments["files"] = await context.files()
            elif takes_body:
                await context.no_files()
            return self.result(await self.operation(service)(**arguments, **self.fixed))

        return handler

    def _reader(self, parameter: inspect.Parameter) -> _Reader:
        name, default = parameter.name, parameter.default
        match name:
            case "context":
                return lambda context: context
            case "account":
                return lambda context: context.account
            case "token":
                return lambda context: context.token
            case "reason":
                return lambda context: context.reason
            case "user_id":
                return RequestContext.path_user_id
            case "limit":
                return lambda context: context.query_int(name, default, self.max_limit)
            case "before" | "after" | "around":
                return lambda context: context.query_id(name, default)
            case _ if f"{{{name}}}" not in self.path:
                raise TypeError(f"{self.method} {self.path} has no {name!r}")
            case _ if name.endswith("_id"):
                return lambda context: context.id(name)
            case _:
                return lambda context: context.text(name)
