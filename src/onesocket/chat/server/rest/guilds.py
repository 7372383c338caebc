"""Guilds, their members, and invites."""

from __future__ import annotations

from typing import Any

from ..ports import Json
from .answers import answer
from .call import Call, Route


async def _mine(call: Call) -> list[Json]:
    before, after = call.asked_id("before"), call.asked_id("after")
    limit = call.asked_number("limit", 200, 200)
    return await call.service.guilds.mine(call.account, before=before, after=after, limit=limit)


async def _create(call: Call) -> Any:
    return answer(await call.service.guilds.create(call.account, await call.body()), status=201)


async def _get(call: Call) -> Json:
    return await call.service.guilds.get(call.account, call.id("guild_id"))


async def _edit(call: Call) -> Json:
    return await call.service.guilds.edit(call.account, call.id("guild_id"), await call.body())


async def _delete(call: Call) -> None:
    await call.service.guilds.delete(call.account, call.id("guild_id"))


async def _members(call: Call) -> list[Json]:
    after, limit = call.asked_id("after") or 0, call.asked_number("limit", 1, 1000)
    return await call.service.guilds.members(call.account, call.id("guild_id"), after=after, limit=limit)


async def _member(call: Call) -> Json:
    return await call.service.guilds.member(call.account, call.id("guild_id"), call.someone())


async def _add(call: Call) -> Any:
    guild_id, user_id = call.id("guild_id"), call.someone()
    if user_id == call.account.user_id:
        return answer(await call.service.guilds.enter(call.account, guild_id), status=201)
    return answer(await call.service.guilds.add_bot(call.account, guild_id, user_id), status=201)


async def _remove(call: Call) -> None:
    await call.service.guilds.remove(call.account, call.id("guild_id"), call.someone())


async def _leave(call: Call) -> None:
    await call.service.guilds.remove(call.account, call.id("guild_id"), call.account.user_id)


async def _invite(call: Call) -> Json:
    return await call.service.invites.create(call.account, call.id("channel_id"), await call.body())


async def _invited(call: Call) -> Json:
    return await call.service.invites.get(call.text("code"))


async def _accept(call: Call) -> Json:
    return await call.service.invites.accept(call.account, call.text("code"))


async def _revoke(call: Call) -> Json:
    return await call.service.invites.revoke(call.account, call.text("code"))


ROUTES = (
    Route("GET", "/users/@me/guilds", _mine),
    Route("DELETE", "/users/@me/guilds/{guild_id}", _leave),
    Route("POST", "/guilds", _create),
    Route("GET", "/guilds/{guild_id}", _get),
    Route("PATCH", "/guilds/{guild_id}", _edit),
    Route("DELETE", "/guilds/{guild_id}", _delete),
    Route("GET", "/guilds/{guild_id}/members", _members),
    Route("GET", "/guilds/{guild_id}/members/{user_id}", _member),
    Route("PUT", "/guilds/{guild_id}/members/{user_id}", _add),
    Route("DELETE", "/guilds/{guild_id}/members/{user_id}", _remove),
    Route("POST", "/channels/{channel_id}/invites", _invite),
    Route("GET", "/invites/{code}", _invited),
    Route("POST", "/invites/{code}", _accept),
    Route("DELETE", "/invites/{code}", _revoke),
)
