"""Answers op 8: the members of a guild, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..._serving import EncodedDispatch, RequestGuildMembers
from ...protocol._intents import Intents
from .._ports import Json
from ._presence_tracker import PresenceTracker
from ._session import GatewaySession

_CHUNK_SIZE: Final = 1000
_MAX_BY_NAME: Final = 100


def may_request_members(session: GatewaySession, request: RequestGuildMembers) -> bool:
    """True if the session's intents allow the request: all members, of any name, only with GUILD_MEMBERS."""
    return request.user_ids is not None or bool(request.query) or bool(session.intents & Intents.GUILD_MEMBERS)


def member_chunks(
    session: GatewaySession, request: RequestGuildMembers, members: Sequence[Json], presences: PresenceTracker
) -> Iterator[EncodedDispatch]:
    """GUILD_MEMBERS_CHUNK for this session: those of `members` that match the request."""
    if request.user_ids is None:
        members = _matching_members(members, request.query or "", request.limit)
    chunks = [members[start : start + _CHUNK_SIZE] for start in range(0, len(members), _CHUNK_SIZE)] or [()]
    found = {member["user"]["id"] for member in members}
    for index, chunk in enumerate(chunks):
        data: Json = {
            "guild_id": str(request.guild_id),
            "members": list(chunk),
            "chunk_index": index,
            "chunk_count": len(chunks),
        }
        if request.user_ids is not None:
            data["not_found"] = [str(one) for one in request.user_ids if str(one) not in found]
        if request.presences and session.intents & Intents.GUILD_PRESENCES:
            updates = (presences.update(request.guild_id, int(one["user"]["id"])) for one in chunk)
            data["presences"] = [update for update in updates if update["status"] != "offline"]
        if request.nonce is not None:
            data["nonce"] = request.nonce
        yield EncodedDispatch("GUILD_MEMBERS_CHUNK", data)


def _matching_members(members: Sequence[Json], query: str, limit: int) -> Sequence[Json]:
    if not query:
        return members[:limit] if limit else members
    start = query.casefold()
    names = ("nick", "username", "global_name")
    found = [one for one in members if any(_has_prefix({**one["user"], **one}.get(name), start) for name in names)]
    return found[: min(limit or _MAX_BY_NAME, _MAX_BY_NAME)]


def _has_prefix(name: object, start: str) -> bool:
    return isinstance(name, str) and name.casefold().startswith(start)
