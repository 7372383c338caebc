"""Signing in, users, one's application, and where the gateway is."""

from __future__ import annotations

from typing import Any

from ..form import Form
from ..ports import Json
from ..service import shapes
from ..service.accounts import name_key
from .answers import answer
from .call import Call, Route


async def _gateway(call: Call) -> Json:
    return {"url": call.settings.gateway_url()}


async def _gateway_bot(call: Call) -> Json:
    limit = call.settings.session_start_limit(call.account)
    return {"url": call.settings.gateway_url(), "shards": 1, "session_start_limit": limit}


async def _register(call: Call) -> Any:
    call.limit("register", str(call.request.remote), call.settings.limiter.address)
    return answer(await call.service.accounts.register(await call.body()), status=201)


async def _login(call: Call) -> Json:
    address = str(call.request.remote)
    call.limit("login", address, call.settings.limiter.address)
    body = await call.body()
    name = Form(body).text("login", most=64) or ""
    call.limit("login", f"{address} {name_key(name)}", call.settings.limiter.sign_in)
    return await call.service.accounts.login(body)


async def _logout(call: Call) -> None:
    await call.service.accounts.logout(call.request.headers["Authorization"].removeprefix("Bot "))


async def _me(call: Call) -> Json:
    return shapes.myself(call.account)


async def _rename(call: Call) -> Json:
    return await call.service.accounts.rename(call.account, await call.body())


async def _user(call: Call) -> Json:
    return await call.service.accounts.user(call.id("user_id"))


async def _application(call: Call) -> Json:
    return await call.service.accounts.application(call.account)


ROUTES = (
    Route("GET", "/gateway", _gateway, open=True),
    Route("GET", "/gateway/bot", _gateway_bot),
    Route("POST", "/auth/register", _register, open=True),
    Route("POST", "/auth/login", _login, open=True),
    Route("POST", "/auth/logout", _logout),
    Route("GET", "/users/@me", _me),
    Route("PATCH", "/users/@me", _rename),
    Route("GET", "/users/{user_id}", _user),
    Route("GET", "/oauth2/applications/@me", _application),
    Route("GET", "/applications/@me", _application),
)
