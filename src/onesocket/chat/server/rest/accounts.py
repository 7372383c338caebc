"""Signing in, users, one's application, and where the gateway is."""

from __future__ import annotations

from typing import Any

from ..form import Form
from ..ports import Json
from ..service import shapes
from ..service.accounts import name_key
from .answers import answer
from .call import Call, Route

_MOST_HASHES = 100


async def _gateway(call: Call) -> Json:
    return {"url": call.settings.gateway_url()}


async def _gateway_bot(call: Call) -> Json:
    limit = call.settings.session_start_limit(call.account)
    return {"url": call.settings.gateway_url(), "shards": 1, "session_start_limit": limit}


async def _register(call: Call) -> Any:
    call.brake("register", call.address, call.settings.limiter.address)
    return answer(await call.service.accounts.register(await call.body(), call.client), status=201)


async def _login(call: Call) -> Json:
    limiter, address = call.settings.limiter, call.address
    call.brake("login", address, limiter.address)
    body = await call.body()
    who = f"{address} {name_key(Form(body).text('login', most=64) or '')}"
    call.brake("login", who, limiter.sign_in)  # counted before it's tried: many at once get no more tries
    signed_in = await call.service.accounts.login(body, call.client)
    for one in (address, who):
        limiter.release("login", one)
    return signed_in


async def _logout(call: Call) -> None:
    await call.service.accounts.logout(call.account, call.token)


async def _logins(call: Call) -> Json:
    return {"user_sessions": await call.service.logins.of(call.account, call.token)}


async def _end_logins(call: Call) -> None:
    """Sign out of some logins, by their hashes; without a list everywhere, here too."""
    form = Form(await call.body())
    hashes = form.texts("session_id_hashes", most=_MOST_HASHES)
    form.check()
    await call.service.logins.end(call.account, hashes)


async def _me(call: Call) -> Json:
    return shapes.myself(call.account)


async def _change(call: Call) -> Json:
    body = await call.body()
    if "new_password" not in Form(body):
        return await call.service.accounts.rename(call.account, body)
    who = f"{call.address} {call.account.user_id}"
    call.brake("password", who, call.settings.limiter.sign_in)
    token = await call.service.accounts.change_password(call.account, body, call.client)
    call.settings.limiter.release("password", who)
    return {**shapes.myself(call.account), "token": token}


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
    Route("GET", "/auth/sessions", _logins),
    Route("POST", "/auth/sessions/logout", _end_logins),
    Route("PATCH", "/users/@me", _change),
    Route("GET", "/users/{user_id}", _user),
    Route("GET", "/oauth2/applications/@me", _application),
    Route("GET", "/applications/@me", _application),
)
