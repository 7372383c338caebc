"""Routes for guilds, their members, and invites."""

from __future__ import annotations

from .._ports import Json
from ._request_context import RequestContext, RouteDefinition


async def _list_my_guilds(call: RequestContext) -> list[Json]:
    before, after = call.query_id("before"), call.query_id("after")
    limit = call.query_int("limit", 200, 200)
    return await call.service.guilds.mine(call.account, before=before, after=after, limit=limit)


async def _list_members(call: RequestContext) -> list[Json]:
    after, limit = call.query_id("after") or 0, call.query_int("limit", 1, 1000)
    return await call.service.guilds.members(call.account, call.id("guild_id"), after=after, limit=limit)


async def _add_member(call: RequestContext) -> Json:
    guild_id, user_id = call.id("guild_id"), call.path_user_id()
    if user_id == call.account.user_id:
        return await call.service.guilds.enter(call.account, guild_id)
    return await call.service.guilds.add_bot(call.account, guild_id, user_id)


_GUILD = "/guilds/{guild_id}"
_MEMBER = f"{_GUILD}/members/{{user_id}}"
_INVITE = "/invites/{code}"

ROUTES = (
    RouteDefinition("GET", "/users/@me/guilds", _list_my_guilds),
    RouteDefinition(
        "DELETE",
        "/users/@me/guilds/{guild_id}",
        lambda call: call.service.guilds.remove(call.account, call.id("guild_id"), call.account.user_id),
    ),
    RouteDefinition(
        "POST",
        "/guilds",
        lambda call: call.service.guilds.create(call.account, call.json),
        has_body=True,
        status=201,
    ),
    RouteDefinition("GET", _GUILD, lambda call: call.service.guilds.get(call.account, call.id("guild_id"))),
    RouteDefinition(
        "PATCH",
        _GUILD,
        lambda call: call.service.guilds.edit(call.account, call.id("guild_id"), call.json),
        has_body=True,
    ),
    RouteDefinition("DELETE", _GUILD, lambda call: call.service.guilds.delete(call.account, call.id("guild_id"))),
    RouteDefinition("GET", f"{_GUILD}/members", _list_members),
    RouteDefinition(
        "GET",
        _MEMBER,
        lambda call: call.service.guilds.member(call.account, call.id("guild_id"), call.path_user_id()),
    ),
    RouteDefinition("PUT", _MEMBER, _add_member, status=201),
    RouteDefinition(
        "DELETE",
        _MEMBER,
        lambda call: call.service.guilds.remove(call.account, call.id("guild_id"), call.path_user_id()),
    ),
    RouteDefinition(
        "POST",
        "/channels/{channel_id}/invites",
        lambda call: call.service.invites.create(call.account, call.id("channel_id"), call.json),
        has_body=True,
    ),
    RouteDefinition("GET", _INVITE, lambda call: call.service.invites.get(call.text("code"))),
    RouteDefinition("POST", _INVITE, lambda call: call.service.invites.accept(call.account, call.text("code"))),
    RouteDefinition("DELETE", _INVITE, lambda call: call.service.invites.revoke(call.account, call.text("code"))),
)
