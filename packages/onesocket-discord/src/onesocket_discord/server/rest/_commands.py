"""Routes for application commands, global or of one guild."""

from __future__ import annotations

from typing import Any

from ._request_context import RequestContext, RouteDefinition
from ._responses import json_response


def _scope(call: RequestContext) -> tuple[int, int | None]:
    return call.id("application_id"), call.optional_id("guild_id")


async def _put(call: RequestContext) -> Any:
    command, is_new = await call.service.commands.put(call.account, *_scope(call), call.json)
    return json_response(command, status=201 if is_new else 200)


def _routes(base: str) -> tuple[RouteDefinition, ...]:
    command = f"{base}/{{command_id}}"
    return (
        RouteDefinition("GET", base, lambda call: call.service.commands.all(call.account, *_scope(call))),
        RouteDefinition("POST", base, _put, has_body=True),
        RouteDefinition(
            "PUT",
            base,
            lambda call: call.service.commands.replace(call.account, *_scope(call), call.json),
            has_body=True,
        ),
        RouteDefinition(
            "GET",
            command,
            lambda call: call.service.commands.get(call.account, *_scope(call), call.id("command_id")),
        ),
        RouteDefinition(
            "PATCH",
            command,
            lambda call: call.service.commands.edit(call.account, *_scope(call), call.id("command_id"), call.json),
            has_body=True,
        ),
        RouteDefinition(
            "DELETE",
            command,
            lambda call: call.service.commands.delete(call.account, *_scope(call), call.id("command_id")),
        ),
    )


_APPLICATION = "/applications/{application_id}"
ROUTES = (*_routes(f"{_APPLICATION}/commands"), *_routes(f"{_APPLICATION}/guilds/{{guild_id}}/commands"))
