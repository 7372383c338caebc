"""Routes for channels, direct messages, typing and read states."""

from __future__ import annotations

from .._ports import Json
from ._request_context import RequestContext, RouteDefinition


async def _acknowledge(call: RequestContext) -> Json:
    await call.service.channels.acknowledge(call.account, call.id("channel_id"), call.id("message_id"))
    return {"token": None}


_GUILD_CHANNELS = "/guilds/{guild_id}/channels"
_DMS = "/users/@me/channels"
_CHANNEL = "/channels/{channel_id}"

ROUTES = (
    RouteDefinition(
        "GET", _GUILD_CHANNELS, lambda call: call.service.channels.of_guild(call.account, call.id("guild_id"))
    ),
    RouteDefinition(
        "POST",
        _GUILD_CHANNELS,
        lambda call: call.service.channels.create(call.account, call.id("guild_id"), call.json),
        has_body=True,
        status=201,
    ),
    RouteDefinition("GET", _DMS, lambda call: call.service.channels.dms(call.account)),
    RouteDefinition("POST", _DMS, lambda call: call.service.channels.open_dm(call.account, call.json), has_body=True),
    RouteDefinition("GET", _CHANNEL, lambda call: call.service.channels.get(call.account, call.id("channel_id"))),
    RouteDefinition(
        "PATCH",
        _CHANNEL,
        lambda call: call.service.channels.edit(call.account, call.id("channel_id"), call.json),
        has_body=True,
    ),
    RouteDefinition("DELETE", _CHANNEL, lambda call: call.service.channels.delete(call.account, call.id("channel_id"))),
    RouteDefinition(
        "POST", f"{_CHANNEL}/typing", lambda call: call.service.channels.type_in(call.account, call.id("channel_id"))
    ),
    RouteDefinition("POST", f"{_CHANNEL}/messages/{{message_id}}/ack", _acknowledge),
)
