"""All routes: most call one method of the service, some have a handler here."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .._api_error import invalid_field
from .._field_reader import FieldReader
from .._names import name_key
from .._password_rules import MIN_PASSWORD_LENGTH
from .._ports import Json
from ..service import _serialization as serialize
from ..service._search import MAX_OFFSET, MAX_SEARCH_LENGTH, MessageQuery
from ._request_context import RequestContext
from ._responses import json_response
from ._route import RouteDefinition as Route

_MAX_HASHES = 100


async def _get_gateway(context: RequestContext) -> Json:
    return {"url": context.settings.gateway_url()}


async def _get_gateway_bot(context: RequestContext) -> Json:
    limit = await context.settings.session_start_limit(context.account)
    return {"url": context.settings.gateway_url(), "shards": 1, "session_start_limit": limit}


async def _get_registration(context: RequestContext) -> Json:
    """Tell a page what its form has to ask for; Discord has no such route."""
    return {"registration": context.service.accounts.registration, "min_password_length": MIN_PASSWORD_LENGTH}


async def _register(context: RequestContext) -> Json:
    context.count_attempt("register", context.network, context.settings.limiter.address)
    return await context.service.accounts.register(await context.body(), context.client)


async def _login(context: RequestContext) -> Json:
    limiter, network = context.settings.limiter, context.network
    context.count_attempt("login", network, limiter.address)
    body = await context.body()
    name = f"{network} {name_key(FieldReader(body).text('login', most=64) or '')}"
    context.count_attempt("login", name, limiter.sign_in)  # counted before the check, so that many at once get no more
    signed_in = await context.service.accounts.login(body, context.client)
    limiter.release("login", network, limiter.address)
    limiter.release("login", name, limiter.sign_in)
    return signed_in


async def _end_logins(context: RequestContext) -> None:
    """End the logins with these hashes; without a list, all of them."""
    fields = FieldReader(await context.body())
    hashes = fields.texts("session_id_hashes", most=_MAX_HASHES)
    fields.check()
    await context.service.logins.end(context.account, hashes)


async def _get_me(context: RequestContext) -> Json:
    return serialize.current_user(context.account)


async def _edit_me(context: RequestContext) -> Json:
    body = await context.body()
    if "new_password" not in FieldReader(body):
        return await context.service.accounts.rename(context.account, body)
    limiter, name = context.settings.limiter, f"{context.network} {context.account.user_id}"
    context.count_attempt("password", name, limiter.sign_in)
    token = await context.service.accounts.change_password(context.account, body, context.client)
    limiter.release("password", name, limiter.sign_in)
    return {**serialize.current_user(context.account), "token": token}


async def _search_guild(context: RequestContext) -> Json:
    return await context.service.search.in_guild(context.account, context.id("guild_id"), _query(context))


async def _search_channel(context: RequestContext) -> Json:
    return await context.service.search.in_channel(context.account, context.id("channel_id"), _query(context))


def _query(context: RequestContext) -> MessageQuery:
    content = context.request.query.get("content", "")
    if len(content) > MAX_SEARCH_LENGTH:
        raise invalid_field("content", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_SEARCH_LENGTH} or fewer in length.")
    return MessageQuery(
        content=content,
        author_id=context.query_id("author_id", None),
        channel_id=context.query_id("channel_id", None),
        min_id=context.query_id("min_id", None),
        max_id=context.query_id("max_id", None),
        limit=context.query_int("limit", 25, 25),
        offset=context.query_int("offset", 0, MAX_OFFSET) if context.request.query.get("offset") != "0" else 0,
    )


def _put_command_response(stored: tuple[Json, bool]) -> web.Response:
    command, is_new = stored
    return json_response(command, status=201 if is_new else 200)


def _command_routes(commands: str, **fixed: Any) -> tuple[Route, ...]:
    command = f"{commands}/{{command_id}}"
    return (
        Route("GET", commands, lambda service: service.commands.all, fixed=fixed),
        Route("POST", commands, lambda service: service.commands.put, fixed=fixed, result=_put_command_response),
        Route("PUT", commands, lambda service: service.commands.replace, fixed=fixed),
        Route("GET", command, lambda service: service.commands.get, fixed=fixed),
        Route("PATCH", command, lambda service: service.commands.edit, fixed=fixed),
        Route("DELETE", command, lambda service: service.commands.delete, fixed=fixed),
    )


_APPLICATION = "/applications/{application_id}"
_CHANNEL = "/channels/{channel_id}"
_GUILD = "/guilds/{guild_id}"
_INVITE = "/invites/{code}"
_MEMBER = f"{_GUILD}/members/{{user_id}}"
_BAN = f"{_GUILD}/bans/{{user_id}}"
_RELATIONSHIP = "/users/@me/relationships/{user_id}"
_MESSAGES = f"{_CHANNEL}/messages"
_MESSAGE = f"{_MESSAGES}/{{message_id}}"
_REACTIONS = f"{_MESSAGE}/reactions"
_PIN = f"{_MESSAGES}/pins/{{message_id}}"
_OLD_PIN = f"{_CHANNEL}/pins/{{message_id}}"

ROUTES = (
    # accounts and the gateway's address
    Route("GET", "/gateway", lambda _: _get_gateway, open=True),
    Route("GET", "/gateway/bot", lambda _: _get_gateway_bot),
    Route("GET", "/auth/registration", lambda _: _get_registration, open=True),
    Route("POST", "/auth/register", lambda _: _register, open=True, status=201),
    Route("POST", "/auth/login", lambda _: _login, open=True),
    Route("POST", "/auth/logout", lambda service: service.accounts.logout),
    Route("GET", "/auth/sessions", lambda service: service.logins.of, result=lambda found: {"user_sessions": found}),
    Route("POST", "/auth/sessions/logout", lambda _: _end_logins),
    Route("GET", "/users/@me", lambda _: _get_me),
    Route("PATCH", "/users/@me", lambda _: _edit_me),
    Route("GET", "/users/{user_id}", lambda service: service.accounts.user),
    Route("GET", "/oauth2/applications/@me", lambda service: service.bots.application),
    Route("GET", "/applications/@me", lambda service: service.bots.application),
    # guilds, members and invites
    Route("GET", "/users/@me/guilds", lambda service: service.guilds.mine, max_limit=200),
    Route("DELETE", "/users/@me/guilds/{guild_id}", lambda service: service.guilds.remove),
    Route("POST", "/guilds", lambda service: service.guilds.create, status=201),
    Route("GET", _GUILD, lambda service: service.guilds.get),
    Route("PATCH", _GUILD, lambda service: service.guilds.edit),
    Route("DELETE", _GUILD, lambda service: service.guilds.delete),
    Route("GET", f"{_GUILD}/members", lambda service: service.guilds.members, max_limit=1000),
    Route("GET", _MEMBER, lambda service: service.guilds.member),
    Route("PUT", _MEMBER, lambda service: service.guilds.add_member, status=201),
    Route("DELETE", _MEMBER, lambda service: service.guilds.remove),
    # roles, bans, blocked users and reports
    Route("GET", f"{_GUILD}/roles", lambda service: service.roles.all),
    Route("POST", f"{_GUILD}/roles", lambda service: service.roles.create),
    Route("PATCH", f"{_GUILD}/roles/{{role_id}}", lambda service: service.roles.edit),
    Route("DELETE", f"{_GUILD}/roles/{{role_id}}", lambda service: service.roles.delete),
    Route("PUT", f"{_MEMBER}/roles/{{role_id}}", lambda service: service.roles.give, fixed={"given": True}),
    Route("DELETE", f"{_MEMBER}/roles/{{role_id}}", lambda service: service.roles.give, fixed={"given": False}),
    Route("GET", f"{_GUILD}/bans", lambda service: service.bans.all, max_limit=1000),
    Route("GET", _BAN, lambda service: service.bans.get),
    Route("PUT", _BAN, lambda service: service.bans.ban),
    Route("DELETE", _BAN, lambda service: service.bans.lift),
    Route("GET", "/users/@me/relationships", lambda service: service.relationships.all),
    Route("PUT", _RELATIONSHIP, lambda service: service.relationships.put),
    Route("DELETE", _RELATIONSHIP, lambda service: service.relationships.delete),
    Route("GET", "/users/@me/settings", lambda service: service.relationships.settings),
    Route("PATCH", "/users/@me/settings", lambda service: service.relationships.edit_settings),
    Route("POST", f"{_MESSAGE}/report", lambda service: service.reports.create, status=201),
    Route("POST", f"{_CHANNEL}/invites", lambda service: service.invites.create),
    Route("GET", _INVITE, lambda service: service.invites.get),
    Route("POST", _INVITE, lambda service: service.invites.accept),
    Route("DELETE", _INVITE, lambda service: service.invites.revoke),
    # channels, direct messages, typing and read states
    Route("GET", f"{_GUILD}/messages/search", lambda _: _search_guild),
    Route("GET", f"{_GUILD}/channels", lambda service: service.channels.of_guild),
    Route("POST", f"{_GUILD}/channels", lambda service: service.channels.create, status=201),
    Route("GET", "/users/@me/channels", lambda service: service.channels.dms),
    Route("POST", "/users/@me/channels", lambda service: service.channels.open_dm),
    Route("GET", _CHANNEL, lambda service: service.channels.get),
    Route("PATCH", _CHANNEL, lambda service: service.channels.edit),
    Route("DELETE", _CHANNEL, lambda service: service.channels.delete),
    Route("POST", f"{_CHANNEL}/typing", lambda service: service.channels.type_in),
    Route("POST", f"{_MESSAGE}/ack", lambda service: service.channels.acknowledge, result=lambda _: {"token": None}),
    # messages, reactions and pins
    Route("GET", _MESSAGES, lambda service: service.messages.history, max_limit=100),
    Route("POST", _MESSAGES, lambda service: service.messages.post),
    Route("POST", f"{_MESSAGES}/bulk-delete", lambda service: service.messages.delete_many),
    Route(
        "GET",
        f"{_MESSAGES}/pins",
        lambda service: service.pins.all,
        result=lambda pins: {"items": pins, "has_more": False},
    ),
    Route("PUT", _PIN, lambda service: service.pins.set, fixed={"pinned": True}),
    Route("DELETE", _PIN, lambda service: service.pins.set, fixed={"pinned": False}),
    Route("GET", f"{_MESSAGES}/search", lambda _: _search_channel),
    Route("GET", _MESSAGE, lambda service: service.messages.get),
    Route("PATCH", _MESSAGE, lambda service: service.messages.edit),
    Route("DELETE", _MESSAGE, lambda service: service.messages.delete),
    Route("DELETE", _REACTIONS, lambda service: service.reactions.clear, fixed={"emoji": None}),
    Route("GET", f"{_REACTIONS}/{{emoji}}", lambda service: service.reactions.list_users, max_limit=100),
    Route("DELETE", f"{_REACTIONS}/{{emoji}}", lambda service: service.reactions.clear),
    Route("PUT", f"{_REACTIONS}/{{emoji}}/@me", lambda service: service.reactions.add),
    Route("DELETE", f"{_REACTIONS}/{{emoji}}/{{user_id}}", lambda service: service.reactions.remove),
    Route(
        "GET",
        f"{_CHANNEL}/pins",
        lambda service: service.pins.all,
        result=lambda pins: [pin["message"] for pin in pins],
    ),
    Route("PUT", _OLD_PIN, lambda service: service.pins.set, fixed={"pinned": True}),
    Route("DELETE", _OLD_PIN, lambda service: service.pins.set, fixed={"pinned": False}),
    # application commands, global or of one guild
    *_command_routes(f"{_APPLICATION}/commands", guild_id=None),
    *_command_routes(f"{_APPLICATION}/guilds/{{guild_id}}/commands"),
)
