"""Guilds, their members, and invites."""

from __future__ import annotations

from typing import Any

from .._ports import Json
from ._request_context import RequestContext, RouteDefinition
from ._responses import json_response


async def _list_my_guilds(call: RequestContext) -> list[Json]:
    before, after = call.query_id("before"), call.query_id("after")
    limit = call.query_int("limit", 200, 200)
    return await call.service.guilds.mine(call.account, before=before, after=after, limit=limit)


async def _create(call: RequestContext) -> Any:
    return json_response(await call.service.guilds.create(call.account, await call.body()), status=201)


async def _get(call: RequestContext) -> Json:
    return await call.service.guilds.get(call.account, call.id("guild_id"))


async def _edit(call: RequestContext) -> Json:
    return await call.service.guilds.edit(call.account, call.id("guild_id"), await call.body())


async def _delete(call: RequestContext) -> None:
    await call.service.guilds.delete(call.account, call.id("guild_id"))


async def _list_members(call: RequestContext) -> list[Json]:
    after, limit = call.query_id("after") or 0, call.query_int("limit", 1, 1000)
    return await call.service.guilds.members(call.account, call.id("guild_id"), after=after, limit=limit)


async def _get_member(call: RequestContext) -> Json:
    return await call.service.guilds.member(call.account, call.id("guild_id"), call.path_user_id())


async def _add_member(call: RequestContext) -> Any:
    guild_id, user_id = call.id("guild_id"), call.path_user_id()
    if user_id == call.account.user_id:
        return json_response(await call.service.guilds.enter(call.account, guild_id), status=201)
    return json_response(await call.service.guilds.add_bot(call.account, guild_id, user_id), status=201)


async def _remove_member(call: RequestContext) -> None:
    await call.service.guilds.remove(call.account, call.id("guild_id"), call.path_user_id())


async def _leave_guild(call: RequestContext) -> None:
    await call.service.guilds.remove(call.account, call.id("guild_id"), call.account.user_id)


async def _create_invite(call: RequestContext) -> Json:
    return await call.service.invites.create(call.account, call.id("channel_id"), await call.body())


async def _get_invite(call: RequestContext) -> Json:
    return await call.service.invites.get(call.text("code"))


async def _accept_invite(call: RequestContext) -> Json:
    return await call.service.invites.accept(call.account, call.text("code"))


async def _delete_invite(call: RequestContext) -> Json:
    return await call.service.invites.revoke(call.account, call.text("code"))


ROUTES = (
    RouteDefinition("GET", "/users/@me/guilds", _list_my_guilds),
    RouteDefinition("DELETE", "/users/@me/guilds/{guild_id}", _leave_guild),
    RouteDefinition("POST", "/guilds", _create),
    RouteDefinition("GET", "/guilds/{guild_id}", _get),
    RouteDefinition("PATCH", "/guilds/{guild_id}", _edit),
    RouteDefinition("DELETE", "/guilds/{guild_id}", _delete),
    RouteDefinition("GET", "/guilds/{guild_id}/members", _list_members),
    RouteDefinition("GET", "/guilds/{guild_id}/members/{user_id}", _get_member),
    RouteDefinition("PUT", "/guilds/{guild_id}/members/{user_id}", _add_member),
    RouteDefinition("DELETE", "/guilds/{guild_id}/members/{user_id}", _remove_member),
    RouteDefinition("POST", "/channels/{channel_id}/invites", _create_invite),
    RouteDefinition("GET", "/invites/{code}", _get_invite),
    RouteDefinition("POST", "/invites/{code}", _accept_invite),
    RouteDefinition("DELETE", "/invites/{code}", _delete_invite),
)
