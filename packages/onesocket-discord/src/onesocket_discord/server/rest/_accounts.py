"""Signing in, users, one's application, and where the gateway is."""

from __future__ import annotations

from typing import Any

from .._field_reader import FieldReader
from .._ports import Json
from ..service import _serialization as shapes
from ..service._accounts import name_key
from ._request_context import RequestContext, RouteDefinition
from ._responses import json_response

_MAX_HASHES = 100


async def _get_gateway(call: RequestContext) -> Json:
    return {"url": call.settings.gateway_url()}


async def _get_gateway_bot(call: RequestContext) -> Json:
    limit = call.settings.session_start_limit(call.account)
    return {"url": call.settings.gateway_url(), "shards": 1, "session_start_limit": limit}


async def _register(call: RequestContext) -> Any:
    call.count_attempt("register", call.address, call.settings.limiter.address)
    return json_response(await call.service.accounts.register(await call.body(), call.client), status=201)


async def _login(call: RequestContext) -> Json:
    limiter, address = call.settings.limiter, call.address
    call.count_attempt("login", address, limiter.address)
    body = await call.body()
    who = f"{address} {name_key(FieldReader(body).text('login', most=64) or '')}"
    call.count_attempt("login", who, limiter.sign_in)  # counted before it's tried: many at once get no more tries
    signed_in = await call.service.accounts.login(body, call.client)
    for one in (address, who):
        limiter.release("login", one)
    return signed_in


async def _logout(call: RequestContext) -> None:
    await call.service.accounts.logout(call.account, call.token)


async def _list_logins(call: RequestContext) -> Json:
    return {"user_sessions": await call.service.logins.of(call.account, call.token)}


async def _end_logins(call: RequestContext) -> None:
    """Sign out of some logins, by their hashes; without a list everywhere, here too."""
    form = FieldReader(await call.body())
    hashes = form.texts("session_id_hashes", most=_MAX_HASHES)
    form.check()
    await call.service.logins.end(call.account, hashes)


async def _get_me(call: RequestContext) -> Json:
    return shapes.current_user(call.account)


async def _edit_me(call: RequestContext) -> Json:
    body = await call.body()
    if "new_password" not in FieldReader(body):
        return await call.service.accounts.rename(call.account, body)
    who = f"{call.address} {call.account.user_id}"
    call.count_attempt("password", who, call.settings.limiter.sign_in)
    token = await call.service.accounts.change_password(call.account, body, call.client)
    call.settings.limiter.release("password", who)
    return {**shapes.current_user(call.account), "token": token}


async def _get_user(call: RequestContext) -> Json:
    return await call.service.accounts.user(call.id("user_id"))


async def _get_application(call: RequestContext) -> Json:
    return await call.service.accounts.application(call.account)


ROUTES = (
    RouteDefinition("GET", "/gateway", _get_gateway, open=True),
    RouteDefinition("GET", "/gateway/bot", _get_gateway_bot),
    RouteDefinition("POST", "/auth/register", _register, open=True),
    RouteDefinition("POST", "/auth/login", _login, open=True),
    RouteDefinition("POST", "/auth/logout", _logout),
    RouteDefinition("GET", "/users/@me", _get_me),
    RouteDefinition("GET", "/auth/sessions", _list_logins),
    RouteDefinition("POST", "/auth/sessions/logout", _end_logins),
    RouteDefinition("PATCH", "/users/@me", _edit_me),
    RouteDefinition("GET", "/users/{user_id}", _get_user),
    RouteDefinition("GET", "/oauth2/applications/@me", _get_application),
    RouteDefinition("GET", "/applications/@me", _get_application),
)
