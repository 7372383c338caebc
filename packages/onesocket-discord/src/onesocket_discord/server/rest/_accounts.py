"""Routes for signing in, users, the own application, and the gateway's address."""

from __future__ import annotations

from .._field_reader import FieldReader
from .._ports import Json
from ..service import _serialization as serialize
from ..service._accounts import name_key
from ._request_context import RequestContext, RouteDefinition

_MAX_HASHES = 100


async def _get_gateway_bot(call: RequestContext) -> Json:
    limit = call.settings.session_start_limit(call.account)
    return {"url": call.settings.gateway_url(), "shards": 1, "session_start_limit": limit}


async def _register(call: RequestContext) -> Json:
    call.count_attempt("register", call.address, call.settings.limiter.address)
    return await call.service.accounts.register(await call.body(), call.client)


async def _login(call: RequestContext) -> Json:
    limiter, address = call.settings.limiter, call.address
    call.count_attempt("login", address, limiter.address)
    body = await call.body()
    name = f"{address} {name_key(FieldReader(body).text('login', most=64) or '')}"
    call.count_attempt("login", name, limiter.sign_in)  # counted before the check, so that many at once get no more
    signed_in = await call.service.accounts.login(body, call.client)
    for counted in (address, name):
        limiter.release("login", counted)
    return signed_in


async def _list_logins(call: RequestContext) -> Json:
    return {"user_sessions": await call.service.logins.of(call.account, call.token)}


async def _end_logins(call: RequestContext) -> None:
    """End the logins with these hashes; without a list, all of them."""
    form = FieldReader(call.json)
    hashes = form.texts("session_id_hashes", most=_MAX_HASHES)
    form.check()
    await call.service.logins.end(call.account, hashes)


async def _edit_me(call: RequestContext) -> Json:
    body = call.json
    if "new_password" not in FieldReader(body):
        return await call.service.accounts.rename(call.account, body)
    name = f"{call.address} {call.account.user_id}"
    call.count_attempt("password", name, call.settings.limiter.sign_in)
    token = await call.service.accounts.change_password(call.account, body, call.client)
    call.settings.limiter.release("password", name)
    return {**serialize.current_user(call.account), "token": token}


async def _get_gateway(call: RequestContext) -> Json:
    return {"url": call.settings.gateway_url()}


async def _get_me(call: RequestContext) -> Json:
    return serialize.current_user(call.account)


ROUTES = (
    RouteDefinition("GET", "/gateway", _get_gateway, open=True),
    RouteDefinition("GET", "/gateway/bot", _get_gateway_bot),
    RouteDefinition("POST", "/auth/register", _register, open=True, status=201),
    RouteDefinition("POST", "/auth/login", _login, open=True),
    RouteDefinition("POST", "/auth/logout", lambda call: call.service.accounts.logout(call.account, call.token)),
    RouteDefinition("GET", "/users/@me", _get_me),
    RouteDefinition("GET", "/auth/sessions", _list_logins),
    RouteDefinition("POST", "/auth/sessions/logout", _end_logins, has_body=True),
    RouteDefinition("PATCH", "/users/@me", _edit_me, has_body=True),
    RouteDefinition("GET", "/users/{user_id}", lambda call: call.service.accounts.user(call.id("user_id"))),
    RouteDefinition("GET", "/oauth2/applications/@me", lambda call: call.service.accounts.application(call.account)),
    RouteDefinition("GET", "/applications/@me", lambda call: call.service.accounts.application(call.account)),
)
