"""Messages, reactions and pins."""

from __future__ import annotations

from .._ports import Json
from ._request_context import RequestContext, RouteDefinition


def _path_ids(call: RequestContext) -> tuple[int, int]:
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


async def _get(call: RequestContext) -> Json:
    return await call.service.messages.get(call.account, *_path_ids(call))


async def _post(call: RequestContext) -> Json:
    return await call.service.messages.post(call.account, call.id("channel_id"), await call.body())


async def _edit(call: RequestContext) -> Json:
    return await call.service.messages.edit(call.account, *_path_ids(call), await call.body())


async def _delete(call: RequestContext) -> None:
    await call.service.messages.delete(call.account, *_path_ids(call))


async def _bulk_delete(call: RequestContext) -> None:
    await call.service.messages.delete_many(call.account, call.id("channel_id"), await call.body())


async def _add_reaction(call: RequestContext) -> None:
    await call.service.reactions.add(call.account, *_path_ids(call), call.text("emoji"))


async def _remove_reaction(call: RequestContext) -> None:
    await call.service.reactions.remove(call.account, *_path_ids(call), call.text("emoji"), call.path_user_id())


async def _list_reaction_users(call: RequestContext) -> list[Json]:
    after, limit = call.query_id("after") or 0, call.query_int("limit", 25, 100)
    return await call.service.reactions.list_users(
        call.account, *_path_ids(call), call.text("emoji"), after=after, limit=limit
    )


async def _clear_reactions(call: RequestContext) -> None:
    await call.service.reactions.clear(call.account, *_path_ids(call), call.request.match_info.get("emoji"))


async def _list_pinned_messages(call: RequestContext) -> list[Json]:
    return [pin["message"] for pin in await call.service.pins.all(call.account, call.id("channel_id"))]


async def _list_pins(call: RequestContext) -> Json:
    return {"items": await call.service.pins.all(call.account, call.id("channel_id")), "has_more": False}


async def _pin(call: RequestContext) -> None:
    await call.service.pins.set(call.account, *_path_ids(call), pinned=True)


async def _unpin(call: RequestContext) -> None:
    await call.service.pins.set(call.account, *_path_ids(call), pinned=False)


_MESSAGES_PATH = "/channels/{channel_id}/messages"
_REACTIONS_PATH = f"{_MESSAGES_PATH}/{{message_id}}/reactions"

ROUTES = (
    RouteDefinition("GET", _MESSAGES_PATH, _list_messages),
    RouteDefinition("POST", _MESSAGES_PATH, _post),
    RouteDefinition("POST", f"{_MESSAGES_PATH}/bulk-delete", _bulk_delete),
    RouteDefinition("GET", f"{_MESSAGES_PATH}/pins", _list_pins),
    RouteDefinition("PUT", f"{_MESSAGES_PATH}/pins/{{message_id}}", _pin),
    RouteDefinition("DELETE", f"{_MESSAGES_PATH}/pins/{{message_id}}", _unpin),
    RouteDefinition("GET", f"{_MESSAGES_PATH}/{{message_id}}", _get),
    RouteDefinition("PATCH", f"{_MESSAGES_PATH}/{{message_id}}", _edit),
    RouteDefinition("DELETE", f"{_MESSAGES_PATH}/{{message_id}}", _delete),
    RouteDefinition("DELETE", _REACTIONS_PATH, _clear_reactions),
    RouteDefinition("GET", f"{_REACTIONS_PATH}/{{emoji}}", _list_reaction_users),
    RouteDefinition("DELETE", f"{_REACTIONS_PATH}/{{emoji}}", _clear_reactions),
    RouteDefinition("PUT", f"{_REACTIONS_PATH}/{{emoji}}/@me", _add_reaction),
    RouteDefinition("DELETE", f"{_REACTIONS_PATH}/{{emoji}}/{{user_id}}", _remove_reaction),
    RouteDefinition("GET", "/channels/{channel_id}/pins", _list_pinned_messages),
    RouteDefinition("PUT", "/channels/{channel_id}/pins/{message_id}", _pin),
    RouteDefinition("DELETE", "/channels/{channel_id}/pins/{message_id}", _unpin),
)
