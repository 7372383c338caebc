"""Application commands, everywhere or in one guild."""

from __future__ import annotations

from typing import Any

from ..ports import Json
from .answers import answer
from .call import Call, Route


def _at(call: Call) -> tuple[int, int | None]:
    return call.id("application_id"), call.maybe_id("guild_id")


async def _all(call: Call) -> list[Json]:
    return await call.service.commands.all(call.account, *_at(call))


async def _put(call: Call) -> Any:
    command, new = await call.service.commands.put(call.account, *_at(call), await call.body())
    return answer(command, status=201 if new else 200)


async def _replace(call: Call) -> list[Json]:
    return await call.service.commands.replace(call.account, *_at(call), await call.body())


async def _get(call: Call) -> Json:
    return await call.service.commands.get(call.account, *_at(call), call.id("command_id"))


async def _edit(call: Call) -> Json:
    return await call.service.commands.edit(call.account, *_at(call), call.id("command_id"), await call.body())


async def _delete(call: Call) -> None:
    await call.service.commands.delete(call.account, *_at(call), call.id("command_id"))


def _routes(base: str) -> tuple[Route, ...]:
    return (
        Route("GET", base, _all),
        Route("POST", base, _put),
        Route("PUT", base, _replace),
        Route("GET", f"{base}/{{command_id}}", _get),
        Route("PATCH", f"{base}/{{command_id}}", _edit),
        Route("DELETE", f"{base}/{{command_id}}", _delete),
    )


_APPLICATION = "/applications/{application_id}"
ROUTES = (*_routes(f"{_APPLICATION}/commands"), *_routes(f"{_APPLICATION}/guilds/{{guild_id}}/commands"))
