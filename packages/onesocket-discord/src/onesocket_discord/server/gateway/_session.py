"""A session of the local server's gateway: an account, a shard, and the events that it may see."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..._serving import EncodedDispatch, GatewayOptions, ServedSession
from ...protocol._intents import Intents
from ...protocol._limits import LARGE_THRESHOLD
from .._ports import Account, Json
from ._published_dispatch import PublishedDispatch


class GatewaySession(ServedSession):
    """A session of one account. Events before READY are collected, and sent after it."""

    __slots__ = (
        "_max_early",
        "_own_lock",
        "account",
        "blind",
        "early",
        "large_threshold",
        "login",
        "plain",
        "presence",
        "present",
        "shard",
        "signed_out",
        "write_frame",
    )

    def __init__(
        self,
        account: Account,
        login: bytes,
        intents: int,
        shard: tuple[int, int],
        options: GatewayOptions,
        *,
        large_threshold: int = LARGE_THRESHOLD[0],
    ) -> None:
        super().__init__(intents, options)
        self.login = login
        """The digest of the token that it was begun or resumed with."""
        self.account = account
        self.shard = shard
        """Its number, and the number of shards."""
        self.large_threshold = large_threshold
        """In guilds with more members GUILD_CREATE leaves those out who are offline."""
        self.blind = account.bot and not intents & Intents.MESSAGE_CONTENT
        """True if the content of messages is hidden from it."""
        self.early: list[PublishedDispatch] | None = []
        """Events from before READY was sent; None afterwards."""
        self.plain = False
        """True if READY was sent and there is one shard, so that an event is filtered by intents and content alone."""
        self.presence: dict[str, Any] = {"status": "online", "activities": []}
        self.signed_out = False
        """True if it was ended because the token of its login is void."""
        self.present = False
        """True if its user is shown as online because of it."""
        self.write_frame: Callable[[bytes], object] | None = None
        """Writes an encoded frame to the connection; None without one, and where dispatches need more than that."""
        self._max_early = options.replay_count
        self._own_lock = asyncio.Lock()

    @property
    def has_begun(self) -> bool:
        """True once READY was sent."""
        return self.seq > 0

    def begin(self) -> list[PublishedDispatch]:
        """Push dispatches from now on. Returns the events from before."""
        early, self.early = self.early or [], None
        self.plain = self.shard[1] == 1
        return early

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncGenerator[None, None]:
        """Collect events meanwhile, and push them after it: the numbers of what is pushed inside are known before.

        One at a time; what is cancelled or fails inside changes nothing. Raises `EventsLost` if there were too many.
        """
        async with self._own_lock:
            self.early, self.plain = [], False
            try:
                yield
            finally:
                early = self.begin()
                for dispatch in early:
                    self.offer(dispatch)
            if len(early) >= self._max_early:
                raise EventsLost

    def offer(self, dispatch: PublishedDispatch) -> None:
        """Push the event if it is for this session, in the form that it may see."""
        if self.early is not None:
            if len(self.early) < self._max_early:  # the login fails when the list is full
                self.early.append(dispatch)
        else:
            form = self.form_of(dispatch)
            if form is not None:
                self.push(form)

    def form_of(self, dispatch: PublishedDispatch) -> EncodedDispatch | None:
        """The form of the event that this session may see; None if it may see none."""
        number, count = self.shard
        if (dispatch.intents and not self.intents & dispatch.intents) or dispatch.shard_key % count != number:
            return None
        if dispatch.is_guild:
            return EncodedDispatch("GUILD_CREATE", self.guild_body(dispatch.data))
        is_limited = self.blind and dispatch.hides_content
        return dispatch.form_for(self.account.user_id) if is_limited else dispatch.shown

    def guild_body(self, guild: Json) -> Json:
        """A guild as this session may see it: presences by intent; of a large one only the members who are there."""
        presences, members = guild.get("presences", []), guild.get("members", [])
        shown: Json = {
            **guild,
            "unavailable": False,
            "large": guild.get("member_count", len(members)) > self.large_threshold,
            "presences": presences if self.intents & Intents.GUILD_PRESENCES else [],
        }
        if shown["large"]:
            near = {presence["user"]["id"] for presence in presences} | {str(self.account.user_id)}
            shown["members"] = [member for member in members if member["user"]["id"] in near]
        return shown


class EventsLost(Exception):
    """More events came while a session was paused than are kept."""
