"""The calls of Discord's HTTP API, version 10, that a chat client needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from onesocket.errors import InvalidOption

from ._api_client import ApiClient
from ._errors import BadAnswer
from ._route import checked_emoji, checked_snowflake, parse_invite_code
from ._validation import Json, checked_name, checked_nonce, checked_page_size, expect_list, expect_object, message_body

Id = int | str
"""A snowflake, as a number or its digits."""
_MESSAGE = "/channels/{channel_id}/messages/{message_id}"


class Rest(ApiClient):
    """One account's calls: ``async with Rest(token) as rest: await rest.send_message(channel_id, "hello")``.

    `token_type`: ``"Bot"``, ``"Bearer"``, or None for the bare token (people on a local chat server).
    `timeout`: seconds for each call, waiting included. `session`: an aiohttp session to use; it stays open.
    `proxy`: as for `Client`, of HTTP alone (a given session may have one of its own instead).
    `max_retries`: after a 429, and for idempotent calls after a broken connection or a 5xx.
    """

    # --- messages ---------------------------------------------------------------------------------------------------

    async def send_message(
        self,
        channel_id: Id,
        content: str | None = None,
        *,
        reply_to: Id | None = None,
        nonce: str | int | None = None,
        embeds: Sequence[Json] | None = None,
        allowed_mentions: Json | None = None,
        resend: bool = True,
    ) -> Json:
        """Send one message; returns it as stored.

        It carries a nonce that the API enforces (by default a random one), so that retries don't double it. Messages to
        one channel arrive in the order of the calls. `resend=False` doesn't send it again after a lost answer: for
        callers who first look for it in the history, since a nonce is enforced for minutes only.
        """
        body = message_body(content, embeds, allowed_mentions)
        body |= {"nonce": checked_nonce(nonce), "enforce_nonce": True}
        if reply_to is not None:
            body["message_reference"] = {"message_id": checked_snowflake(reply_to, "reply_to")}
        route = "/channels/{channel_id}/messages"
        params = {"channel_id": channel_id}
        return await self._object("send_message", "POST", route, params=params, json=body, idempotent=resend)

    async def edit_message(
        self,
        channel_id: Id,
        message_id: Id,
        content: str | None = None,
        *,
        embeds: Sequence[Json] | None = None,
        allowed_mentions: Json | None = None,
    ) -> Json:
        """Replace the content or the embeds (None: unchanged) of an own message."""
        body = message_body(content, embeds, allowed_mentions, editing=True)
        params = _message_params(channel_id, message_id)
        return await self._object("edit_message", "PATCH", _MESSAGE, params=params, json=body, idempotent=True)

    async def delete_message(self, channel_id: Id, message_id: Id, *, reason: str | None = None) -> None:
        """Delete a message."""
        await self.request("DELETE", _MESSAGE, params=_message_params(channel_id, message_id), reason=reason)

    async def message(self, channel_id: Id, message_id: Id) -> Json:
        """One message."""
        return await self._object("message", "GET", _MESSAGE, params=_message_params(channel_id, message_id))

    async def messages(
        self,
        channel_id: Id,
        *,
        before: Id | None = None,
        after: Id | None = None,
        around: Id | None = None,
        limit: int = 50,
    ) -> list[Json]:
        """One page, newest first; `limit` from 1 to 100, and at most one of the other three."""
        ends = {"before": before, "after": after, "around": around}
        query: dict[str, object] = {
            name: checked_snowflake(value, name) for name, value in ends.items() if value is not None
        }
        if len(query) > 1:
            raise InvalidOption(f"{' and '.join(query)} can't be combined: give one of them")
        query["limit"] = checked_page_size(limit, 100)
        route = "/channels/{channel_id}/messages"
        return expect_list(await self.request("GET", route, params={"channel_id": channel_id}, query=query), "messages")

    async def history(
        self, channel_id: Id, *, before: Id | None = None, after: Id | None = None, limit: int | None = None
    ) -> AsyncIterator[Json]:
        """All messages (or `limit`), page by page: back from `before` (or now), or else on from `after`."""
        if before is not None and after is not None:
            raise InvalidOption("before and after can't be combined: give one of them, and stop where you like")
        mark = before if after is None else after
        left = limit
        while left is None or left > 0:
            size = 100 if left is None else min(100, left)
            if after is None:
                page = await self.messages(channel_id, before=mark, limit=size)
            else:
                page = await self.messages(channel_id, after=mark, limit=size)
            page.sort(key=lambda message: _id_of(message, "history"), reverse=after is None)
            for message in page:
                yield message
            if len(page) < size:
                return
            mark = _next_cursor(mark, _id_of(page[-1], "history"), "history", up=after is not None)
            left = None if left is None else left - len(page)

    async def add_reaction(self, channel_id: Id, message_id: Id, emoji_: str) -> None:
        """React with a Unicode emoji, or a custom one as ``name:id``."""
        params = {**_message_params(channel_id, message_id), "emoji": checked_emoji(emoji_)}
        await self.request("PUT", _MESSAGE + "/reactions/{emoji}/@me", params=params)

    async def remove_reaction(self, channel_id: Id, message_id: Id, emoji_: str, user_id: Id | None = None) -> None:
        """Remove the own reaction, or that of `user_id`."""
        params: dict[str, object] = {**_message_params(channel_id, message_id), "emoji": checked_emoji(emoji_)}
        if user_id is None:
            await self.request("DELETE", _MESSAGE + "/reactions/{emoji}/@me", params=params)
        else:
            params["user_id"] = user_id
            await self.request("DELETE", _MESSAGE + "/reactions/{emoji}/{user_id}", params=params)

    async def typing(self, channel_id: Id) -> None:
        """Show the typing indicator, for ten seconds or until the next message."""
        route = "/channels/{channel_id}/typing"
        await self.request("POST", route, params={"channel_id": channel_id}, idempotent=True)

    async def ack(self, channel_id: Id, message_id: Id) -> None:
        """Mark the channel as read up to this message; for people, not for bots."""
        route = _MESSAGE + "/ack"
        params = _message_params(channel_id, message_id)
        await self.request("POST", route, params=params, json={"token": None}, idempotent=True)

    async def pin(self, channel_id: Id, message_id: Id, *, reason: str | None = None) -> None:
        """Pin a message."""
        route = "/channels/{channel_id}/messages/pins/{message_id}"
        await self.request("PUT", route, params=_message_params(channel_id, message_id), reason=reason)

    async def unpin(self, channel_id: Id, message_id: Id, *, reason: str | None = None) -> None:
        """Unpin a message."""
        route = "/channels/{channel_id}/messages/pins/{message_id}"
        await self.request("DELETE", route, params=_message_params(channel_id, message_id), reason=reason)

    async def pins(self, channel_id: Id, *, before: str | None = None, limit: int = 50) -> list[Json]:
        """The pinned messages, newest pin first: ``{"pinned_at": …, "message": {…}}``; `before`: such a date."""
        query = {"before": before, "limit": checked_page_size(limit, 50)}
        route = "/channels/{channel_id}/messages/pins"
        page = await self._object("pins", "GET", route, params={"channel_id": channel_id}, query=query)
        return expect_list(page.get("items"), "pins")

    # --- guilds and channels ----------------------------------------------------------------------------------------

    async def create_guild(self, name: str) -> Json:
        """Create a guild (at Discord only people may)."""
        return await self._object("create_guild", "POST", "/guilds", json={"name": checked_name(name, shortest=2)})

    async def guild(self, guild_id: Id) -> Json:
        """One guild."""
        return await self._object("guild", "GET", "/guilds/{guild_id}", params={"guild_id": guild_id})

    async def guilds(self, *, before: Id | None = None, after: Id | None = None, limit: int = 200) -> list[Json]:
        """One page of the guilds that this account is in."""
        query: dict[str, object] = {"limit": checked_page_size(limit, 200)}
        query["before"] = None if before is None else checked_snowflake(before, "before")
        query["after"] = None if after is None else checked_snowflake(after, "after")
        return expect_list(await self.request("GET", "/users/@me/guilds", query=query), "guilds")

    async def leave_guild(self, guild_id: Id) -> None:
        """Leave a guild."""
        await self.request("DELETE", "/users/@me/guilds/{guild_id}", params={"guild_id": guild_id})

    async def guild_channels(self, guild_id: Id) -> list[Json]:
        """A guild's channels."""
        route = "/guilds/{guild_id}/channels"
        return expect_list(await self.request("GET", route, params={"guild_id": guild_id}), "guild_channels")

    async def create_channel(
        self,
        guild_id: Id,
        name: str,
        *,
        type: int = 0,  # noqa: A002 - Discord's word
        topic: str | None = None,
        parent_id: Id | None = None,
        reason: str | None = None,
    ) -> Json:
        """Create a channel; `type` 0 is text."""
        body: Json = {"name": checked_name(name), "type": type}
        if topic is not None:
            body["topic"] = topic
        if parent_id is not None:
            body["parent_id"] = checked_snowflake(parent_id, "parent_id")
        route = "/guilds/{guild_id}/channels"
        params = {"guild_id": guild_id}
        return await self._object("create_channel", "POST", route, params=params, json=body, reason=reason)

    async def channel(self, channel_id: Id) -> Json:
        """One channel."""
        return await self._object("channel", "GET", "/channels/{channel_id}", params={"channel_id": channel_id})

    async def members(self, guild_id: Id, *, after: Id = 0, limit: int | None = None) -> AsyncIterator[Json]:
        """All members (or `limit`), by their user ids, page by page; a bot needs the intent GUILD_MEMBERS."""
        mark: Id = checked_snowflake(after, "after")
        left = limit
        while left is None or left > 0:
            size = 1_000 if left is None else min(1_000, left)
            query = {"after": mark, "limit": size}
            route = "/guilds/{guild_id}/members"
            page = expect_list(await self.request("GET", route, params={"guild_id": guild_id}, query=query), "members")
            page.sort(key=_user_id_of)
            for member in page:
                yield member
            if len(page) < size:
                return
            mark = _next_cursor(mark, _user_id_of(page[-1]), "members", up=True)
            left = None if left is None else left - len(page)

    # --- invites and direct messages --------------------------------------------------------------------------------

    async def create_invite(
        self, channel_id: Id, *, max_age: float = 86_400, max_uses: int = 0, unique: bool = False
    ) -> Json:
        """Create an invite; `max_age` in seconds (0: no end), `max_uses` 0: any number."""
        body = {"max_age": int(max_age), "max_uses": max_uses, "unique": unique}
        route = "/channels/{channel_id}/invites"
        return await self._object("create_invite", "POST", route, params={"channel_id": channel_id}, json=body)

    async def invite(self, code: str) -> Json:
        """The guild and channel of an invite, given by its code or link."""
        return await self._object("invite", "GET", "/invites/{code}", params={"code": parse_invite_code(code)})

    async def accept_invite(self, code: str) -> Json:
        """Join by an invite (its code or link); for people, not for bots."""
        params = {"code": parse_invite_code(code)}
        return await self._object("accept_invite", "POST", "/invites/{code}", params=params, json={})

    async def create_dm(self, user_id: Id) -> Json:
        """Open the direct message channel with this user."""
        body = {"recipient_id": checked_snowflake(user_id, "user_id")}
        return await self._object("create_dm", "POST", "/users/@me/channels", json=body, idempotent=True)

    # --- accounts and the gateway -----------------------------------------------------------------------------------

    async def me(self) -> Json:
        """This account."""
        return await self._object("me", "GET", "/users/@me")

    async def user(self, user_id: Id) -> Json:
        """Another account."""
        return await self._object("user", "GET", "/users/{user_id}", params={"user_id": user_id})

    async def gateway(self) -> str:
        """The gateway's URL."""
        return _url_of(await self.request("GET", "/gateway"), "gateway")

    async def gateway_bot(self) -> Json:
        """The gateway's `url`, the advised number of `shards`, and the `session_start_limit`."""
        found = await self._object("gateway_bot", "GET", "/gateway/bot")
        _url_of(found, "gateway_bot")
        return found

    async def _object(self, what: str, method: str, route: str, **options: Any) -> Json:
        """Make a call whose answer is an object; `what` names the call in errors."""
        return expect_object(await self.request(method, route, **options), what)


def _message_params(channel_id: Id, message_id: Id) -> dict[str, object]:
    return {"channel_id": channel_id, "message_id": message_id}


def _url_of(found: object, what: str) -> str:
    url = expect_object(found, what).get("url")
    if not isinstance(url, str):
        raise BadAnswer(f"{what}: the answer holds no url", status=200)
    return url


def _id_of(item: Json, what: str) -> int:
    try:
        return int(checked_snowflake(item.get("id")))
    except InvalidOption:
        raise BadAnswer(f"{what}: an item of the answer has no id", status=200) from None


def _user_id_of(member: Json) -> int:
    user = member.get("user")
    return _id_of(expect_object(user, "members"), "members")


def _next_cursor(mark: Id | None, last: int, what: str, *, up: bool) -> int:
    """Return the cursor of the next page. Raises `BadAnswer` if the server repeats a page."""
    if mark is not None and (last <= int(mark) if up else last >= int(mark)):
        raise BadAnswer(f"{what}: the pages don't go on: after {mark} came {last} again", status=200)
    return last
