"""Messages, reactions and pins."""

from __future__ import annotations

from ..ports import Json
from .call import Call, Route


def _at(call: Call) -> tuple[int, int]:
    return call.id("channel_id"), call.id("message_id")


async def _history(call: Call) -> list[Json]:
    return await call.service.messages.history(
        call.account,
        call.id("channel_id"),
        limit=call.asked_number("limit", 50, 100),
        around=call.asked_id("around"),
        before=call.asked_id("before"),
        after=call.asked_id("after"),
    )


async def _get(call: Call) -> Json:
    return await call.service.messages.get(call.account, *_at(call))


async def _post(call: Call) -> Json:
    return await call.service.messages.post(call.account, call.id("channel_id"), await call.body())


async def _edit(call: Call) -> Json:
    return await call.service.messages.edit(call.account, *_at(call), await call.body())


async def _delete(call: Call) -> None:
    await call.service.messages.delete(call.account, *_at(call))


async def _delete_many(call: Call) -> None:
    await call.service.messages.delete_many(call.account, call.id("channel_id"), await call.body())


async def _react(call: Call) -> None:
    await call.service.reactions.add(call.account, *_at(call), call.text("emoji"))


async def _unreact(call: Call) -> None:
    await call.service.reactions.remove(call.account, *_at(call), call.text("emoji"), call.someone())


async def _reacted(call: Call) -> list[Json]:
    after, limit = call.asked_id("after") or 0, call.asked_number("limit", 25, 100)
    return await call.service.reactions.who(call.account, *_at(call), call.text("emoji"), after=after, limit=limit)


async def _clear(call: Call) -> None:
    await call.service.reactions.clear(call.account, *_at(call), call.request.match_info.get("emoji"))


async def _pinned(call: Call) -> list[Json]:
    return [pin["message"] for pin in await call.service.pins.all(call.account, call.id("channel_id"))]


async def _pins(call: Call) -> Json:
    return {"items": await call.service.pins.all(call.account, call.id("channel_id")), "has_more": False}


async def _pin(call: Call) -> None:
    await call.service.pins.set(call.account, *_at(call), pinned=True)


async def _unpin(call: Call) -> None:
    await call.service.pins.set(call.account, *_at(call), pinned=False)


_MESSAGES = "/channels/{channel_id}/messages"
_REACTIONS = f"{_MESSAGES}/{{message_id}}/reactions"

ROUTES = (
    Route("GET", _MESSAGES, _history),
    Route("POST", _MESSAGES, _post),
    Route("POST", f"{_MESSAGES}/bulk-delete", _delete_many),
    Route("GET", f"{_MESSAGES}/pins", _pins),
    Route("PUT", f"{_MESSAGES}/pins/{{message_id}}", _pin),
    Route("DELETE", f"{_MESSAGES}/pins/{{message_id}}", _unpin),
    Route("GET", f"{_MESSAGES}/{{message_id}}", _get),
    Route("PATCH", f"{_MESSAGES}/{{message_id}}", _edit),
    Route("DELETE", f"{_MESSAGES}/{{message_id}}", _delete),
    Route("DELETE", _REACTIONS, _clear),
    Route("GET", f"{_REACTIONS}/{{emoji}}", _reacted),
    Route("DELETE", f"{_REACTIONS}/{{emoji}}", _clear),
    Route("PUT", f"{_REACTIONS}/{{emoji}}/@me", _react),
    Route("DELETE", f"{_REACTIONS}/{{emoji}}/{{user_id}}", _unreact),
    Route("GET", "/channels/{channel_id}/pins", _pinned),
    Route("PUT", "/channels/{channel_id}/pins/{message_id}", _pin),
    Route("DELETE", "/channels/{channel_id}/pins/{message_id}", _unpin),
)
