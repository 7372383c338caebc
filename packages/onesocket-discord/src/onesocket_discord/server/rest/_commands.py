"""Application commands, everywhere or in one guild."""

from __future__ import annotations

from typing import Any

from .._ports import Json
from ._request_context import RequestContext, RouteDefinition
from ._responses import json_response


def _path_ids(call: RequestContext) -> tuple[int, int | None]:
    return call.id("application_id"), call.optional_id("guild_id")


async def _list(call: RequestContext) -> list[Json]:
    return await call.service.commands.all(call.account, *_path_ids(call))


async def _create(call: RequestContext) -> Any:
    command, new = await call.service.commands.put(call.account, *_path_ids(call), await call.body())
    return json_response(command, status=201 if new else 200)


async def _replace(call: RequestContext) -> list[Json]:
    return await call.service.commands.replace(call.account, *_path_ids(call), await call.body())


async def _get(call: RequestContext) -> Json:
    return await call.service.commands.get(call.account, *_path_ids(call), call.id("command_id"))


async def _edit(call: RequestContext) -> Json:
    return await call.service.commands.edit(call.account, *_path_ids(call), call.id("command_id"), await call.body())


async def _delete(call: RequestContext) -> None:
    await call.service.commands.delete(call.account, *_path_ids(call), call.id("command_id"))


def _routes(base: str) -> tuple[RouteDefinition, ...]:
    return (
        RouteDefinition("GET", base, _list),
        RouteDefinition("POST", base, _create),
        RouteDefinition("PUT", base, _replace),
        RouteDefinition("GET", f"{base}/{{command_id}}", _get),
        RouteDefinition("PATCH", f"{base}/{{command_id}}", _edit),
        RouteDefinition("DELETE", f"{base}/{{command_id}}", _delete),
    )


_APPLICATION_PATH = "/applications/{application_id}"
ROUTES = (*_routes(f"{_APPLICATION_PATH}/commands"), *_routes(f"{_APPLICATION_PATH}/guilds/{{guild_id}}/commands"))
