"""Routes for messages, reactions and pins."""

from __future__ import annotations

from .._ports import Json
from ._request_context import Handler, RequestContext, RouteDefinition


def _message(call: RequestContext) -> tuple[int, int]:
    return call.id("channel_id"), call.id("message_id")


async def _list_messages(call: RequestContext) -> list[Json]:
    return await call.service.messages.history(
        call.account,
        call.id("channel_id"),
        limit=call.query_int("limit", 50, 100),
        around=call.query_id("around"),
        before=call.query_id("before"),
        after=call.query_id("after"),
    )


async def _list_reaction_users(call: RequestContext) -> list[Json]:
    after, limit = call.query_id("after") or 0, call.query_int("limit", 25, 100)
    return await call.service.reactions.list_users(
        call.account, *_message(call), call.text("emoji"), after=after, limit=limit
    )


async def _clear_reactions(call: RequestContext) -> None:
    await call.service.reactions.clear(call.account, *_message(call), call.request.match_info.get("emoji"))


async def _list_pinned_messages(call: RequestContext) -> list[Json]:
    return [pin["message"] for pin in await call.service.pins.all(call.account, call.id("channel_id"))]


async def _list_pins(call: RequestContext) -> Json:
    return {"items": await call.service.pins.all(call.account, call.id("channel_id")), "has_more": False}


def _set_pin(*, pinned: bool) -> Handler:
    return lambda call: call.service.pins.set(call.account, *_message(call), pinned=pinned)


_MESSAGES = "/channels/{channel_id}/messages"
_MESSAGE = f"{_MESSAGES}/{{message_id}}"
_REACTIONS = f"{_MESSAGE}/reactions"
_PINS = f"{_MESSAGES}/pins"
_OLD_PINS = "/channels/{channel_id}/pins"

ROUTES = (
    RouteDefinition("GET", _MESSAGES, _list_messages),
    RouteDefinition(
        "POST",
        _MESSAGES,
        lambda call: call.service.messages.post(call.account, call.id("channel_id"), call.json),
        has_body=True,
    ),
    RouteDefinition(
        "POST",
        f"{_MESSAGES}/bulk-delete",
        lambda call: call.service.messages.delete_many(call.account, call.id("channel_id"), call.json),
        has_body=True,
    ),
    RouteDefinition("GET", _PINS, _list_pins),
    RouteDefinition("PUT", f"{_PINS}/{{message_id}}", _set_pin(pinned=True)),
    RouteDefinition("DELETE", f"{_PINS}/{{message_id}}", _set_pin(pinned=False)),
    RouteDefinition("GET", _MESSAGE, lambda call: call.service.messages.get(call.account, *_message(call))),
    RouteDefinition(
        "PATCH",
        _MESSAGE,
        lambda call: call.service.messages.edit(call.account, *_message(call), call.json),
        has_body=True,
    ),
    RouteDefinition("DELETE", _MESSAGE, lambda call: call.service.messages.delete(call.account, *_message(call))),
    RouteDefinition("DELETE", _REACTIONS, _clear_reactions),
    RouteDefinition("GET", f"{_REACTIONS}/{{emoji}}", _list_reaction_users),
    RouteDefinition("DELETE", f"{_REACTIONS}/{{emoji}}", _clear_reactions),
    RouteDefinition(
        "PUT",
        f"{_REACTIONS}/{{emoji}}/@me",
        lambda call: call.service.reactions.add(call.account, *_message(call), call.text("emoji")),
    ),
    RouteDefinition(
        "DELETE",
        f"{_REACTIONS}/{{emoji}}/{{user_id}}",
        lambda call: call.service.reactions.remove(
            call.account, *_message(call), call.text("emoji"), call.path_user_id()
        ),
    ),
    RouteDefinition("GET", _OLD_PINS, _list_pinned_messages),
    RouteDefinition("PUT", f"{_OLD_PINS}/{{message_id}}", _set_pin(pinned=True)),
    RouteDefinition("DELETE", f"{_OLD_PINS}/{{message_id}}", _set_pin(pinned=False)),
)
