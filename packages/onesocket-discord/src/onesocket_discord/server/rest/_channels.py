"""Channels, direct messages, typing and reading."""

from __future__ import annotations

from typing import Any

from .._ports import Json
from ._request_context import RequestContext, RouteDefinition
from ._responses import json_response


async def _list_guild_channels(call: RequestContext) -> list[Json]:
    return await call.service.channels.of_guild(call.account, call.id("guild_id"))


async def _create(call: RequestContext) -> Any:
    return json_response(
        await call.service.channels.create(call.account, call.id("guild_id"), await call.body()), status=201
    )


async def _get(call: RequestContext) -> Json:
    return await call.service.channels.get(call.account, call.id("channel_id"))


async def _edit(call: RequestContext) -> Json:
    return await call.service.channels.edit(call.account, call.id("channel_id"), await call.body())


async def _delete(call: RequestContext) -> Json:
    return await call.service.channels.delete(call.account, call.id("channel_id"))


async def _list_dms(call: RequestContext) -> list[Json]:
    return await call.service.channels.dms(call.account)


async def _open_dm(call: RequestContext) -> Json:
    return await call.service.channels.open_dm(call.account, await call.body())


async def _trigger_typing(call: RequestContext) -> None:
    await call.service.channels.type_in(call.account, call.id("channel_id"))


async def _acknowledge(call: RequestContext) -> Json:
    await call.service.channels.acknowledge(call.account, call.id("channel_id"), call.id("message_id"))
    return {"token": None}


ROUTES = (
    RouteDefinition("GET", "/guilds/{guild_id}/channels", _list_guild_channels),
    RouteDefinition("POST", "/guilds/{guild_id}/channels", _create),
    RouteDefinition("GET", "/users/@me/channels", _list_dms),
    RouteDefinition("POST", "/users/@me/channels", _open_dm),
    RouteDefinition("GET", "/channels/{channel_id}", _get),
    RouteDefinition("PATCH", "/channels/{channel_id}", _edit),
    RouteDefinition("DELETE", "/channels/{channel_id}", _delete),
    RouteDefinition("POST", "/channels/{channel_id}/typing", _trigger_typing),
    RouteDefinition("POST", "/channels/{channel_id}/messages/{message_id}/ack", _acknowledge),
)
