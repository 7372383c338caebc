"""Requests the members of a guild (op 8); the answer is sent in chunks of up to 1 000."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onesocket.client._client import Client
from onesocket.client._gap import Gap, GapReason
from onesocket.errors import ClientClosed, DecodeError, DeliveryUnknown, InvalidOption, WaitTimeout

from ..protocol._errors import RequestLimited
from ..protocol._intents import Intents
from ..protocol._limits import NONCE_LIMIT, USER_IDS_LIMIT
from ..protocol._opcodes import Opcode
from ..protocol._payload import Dispatch
from ..protocol.events import GuildMembersChunk, RateLimitedEvent
from ..protocol.models import JsonObject, Member

_EVENTS = ("GUILD_MEMBERS_CHUNK", "RATE_LIMITED")


@dataclass(frozen=True, slots=True)
class Members:
    """The whole answer to a request for members."""

    guild_id: str
    members: tuple[Member, ...]
    not_found: tuple[Any, ...]
    """Requested ids that are no members."""
    presences: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildMembersRequest:
    """A checked request: Discord ignores an invalid one, or closes the connection."""

    guild_id: str
    query: str | None
    limit: int
    user_ids: tuple[str, ...] | None
    presences: bool
    nonce: str

    @classmethod
    def check(
        cls,
        guild_id: int | str,
        *,
        query: str | None,
        limit: int,
        user_ids: Sequence[int | str] | None,
        presences: bool,
        nonce: str | None,
        intents: Intents,
    ) -> GuildMembersRequest:
        """Check the arguments. Raises `InvalidOption`."""
        if (query is None) == (user_ids is None):
            raise InvalidOption("request_members() needs either query= (the beginning of a name) or user_ids=")
        if user_ids is not None and not 1 <= len(user_ids) <= USER_IDS_LIMIT:
            raise InvalidOption(f"user_ids may hold 1 to {USER_IDS_LIMIT} ids in one request, not {len(user_ids)}")
        if limit < 0:
            raise InvalidOption(f"limit must be >= 0 (0: all), not {limit}")
        if query == "" and not intents & Intents.GUILD_MEMBERS:
            raise InvalidOption("all members of a guild can be requested only with the intent GUILD_MEMBERS")
        if presences and not intents & Intents.GUILD_PRESENCES:
            raise InvalidOption("presences=True needs the intent GUILD_PRESENCES")
        if nonce is None:
            nonce = secrets.token_hex(NONCE_LIMIT // 2)
        elif not 1 <= len(nonce.encode()) <= NONCE_LIMIT:
            raise InvalidOption(f"a nonce has 1 to {NONCE_LIMIT} bytes; Discord ignores a longer one")
        return cls(
            guild_id=str(guild_id),
            query=query,
            limit=limit,
            user_ids=None if user_ids is None else tuple(map(str, user_ids)),
            presences=presences,
            nonce=nonce,
        )

    def payload(self) -> dict[str, Any]:
        """The payload that is sent."""
        body: dict[str, Any] = {"guild_id": self.guild_id, "nonce": self.nonce, "presences": self.presences}
        if self.user_ids is None:
            body |= {"query": self.query, "limit": self.limit}
        else:
            body |= {"user_ids": list(self.user_ids), "limit": self.limit}
        return {"op": int(Opcode.REQUEST_GUILD_MEMBERS), "d": body}

    def is_answer(self, message: Any) -> bool:
        """True if this dispatch belongs to the answer."""
        if not isinstance(message, Dispatch) or message.event not in _EVENTS:
            return False
        try:
            body: GuildMembersChunk | RateLimitedEvent = message.data
        except DecodeError:
            return False
        if isinstance(body, GuildMembersChunk):
            return body.nonce == self.nonce
        return body.opcode == Opcode.REQUEST_GUILD_MEMBERS and (body.meta or {}).get("nonce") == self.nonce


async def request_members(client: Client, request: GuildMembersRequest, timeout: float) -> Members:
    """Send the request, and collect the chunks; see `DiscordClient.request_members`."""
    chunks: dict[int, GuildMembersChunk] = {}
    deadline = asyncio.timeout(timeout)
    try:
        fan_out = client.internals.fan_out  # unlike subscribe(), it takes no message from before
        async with deadline, fan_out.subscribe(where=request.is_answer, limit=1024, from_now=True) as answers:
            await client.send(request.payload())
            async for answer in answers:
                if isinstance(answer, Gap):
                    if answer.reason is GapReason.RECONNECTED:
                        raise DeliveryUnknown("the session ended before all members were received; ask again")
                    continue
                body: GuildMembersChunk | RateLimitedEvent = answer.data
                if isinstance(body, RateLimitedEvent):
                    raise RequestLimited(
                        f"members are requested too often: retry in {body.retry_after:g} s",
                        retry_after=body.retry_after,
                    )
                chunks[body.chunk_index] = body
                if len(chunks) >= body.chunk_count:
                    break
            else:
                raise ClientClosed
    except TimeoutError:
        if not deadline.expired():
            raise
        raise WaitTimeout(
            f"the members of guild {request.guild_id} were not all received within {timeout:g} s"
        ) from None
    parts = [chunks[index] for index in sorted(chunks)]
    return Members(
        request.guild_id,
        tuple(member for part in parts for member in part.members),
        tuple(missing for part in parts for missing in part.not_found),
        tuple(presence for part in parts for presence in part.presences),
    )
