"""Channels, direct messages, typing and reading."""

from __future__ import annotations

from typing import Any

from ..ports import Json
from .answers import answer
from .call import Call, Route


async def _of_guild(call: Call) -> list[Json]:
    return await call.service.channels.of_guild(call.account, call.id("guild_id"))


async def _create(call: Call) -> Any:
    return answer(await call.service.channels.create(call.account, call.id("guild_id"), await call.body()), status=201)


async def _get(call: Call) -> Json:
    return await call.service.channels.get(call.account, call.id("channel_id"))


async def _edit(call: Call) -> Json:
    return await call.service.channels.edit(call.account, call.id("channel_id"), await call.body())


async def _delete(call: Call) -> Json:
    return await call.service.channels.delete(call.account, call.id("channel_id"))


async def _dms(call: Call) -> list[Json]:
    return await call.service.channels.dms(call.account)


async def _open_dm(call: Call) -> Json:
    return await call.service.channels.open_dm(call.account, await call.body())


async def _type(call: Call) -> None:
    await call.service.channels.type_in(call.account, call.id("channel_id"))


async def _acknowledge(call: Call) -> Json:
    await call.service.channels.acknowledge(call.account, call.id("channel_id"), call.id("message_id"))
    return {"token": None}


ROUTES = (
    Route("GET", "/guilds/{guild_id}/channels", _of_guild),
    Route("POST", "/guilds/{guild_id}/channels", _create),
    Route("GET", "/users/@me/channels", _dms),
    Route("POST", "/users/@me/channels", _open_dm),
    Route("GET", "/channels/{channel_id}", _get),
    Route("PATCH", "/channels/{channel_id}", _edit),
    Route("DELETE", "/channels/{channel_id}", _delete),
    Route("POST", "/channels/{channel_id}/typing", _type),
    Route("POST", "/channels/{channel_id}/messages/{message_id}/ack", _acknowledge),
)
