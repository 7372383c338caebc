"""Op 8: the members of a guild, in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .._ports import Json
from . import _intents as bits
from ._client_payloads import RequestGuildMembers
from ._presence_tracker import PresenceTracker
from ._server_payloads import EncodedDispatch
from ._session import GatewaySession

_CHUNK_SIZE: Final = 1000
_MAX_BY_NAME: Final = 100


def may_request_members(session: GatewaySession, wanted: RequestGuildMembers) -> bool:
    """Whether the session's intents allow the request: all members, of any name, only with GUILD_MEMBERS."""
    return wanted.user_ids is not None or bool(wanted.query) or bool(session.intents & bits.GUILD_MEMBERS)


def push_members(
    session: GatewaySession, wanted: RequestGuildMembers, members: Sequence[Json], presences: PresenceTracker
) -> None:
    """Push GUILD_MEMBERS_CHUNK, to this session only: those of `members` that are wanted."""
    if wanted.user_ids is None:
        members = _matching_members(members, wanted.query or "", wanted.limit)
    chunks = [members[start : start + _CHUNK_SIZE] for start in range(0, len(members), _CHUNK_SIZE)] or [()]
    found = {member["user"]["id"] for member in members}
    for index, chunk in enumerate(chunks):
        data: Json = {
            "guild_id": str(wanted.guild_id),
            "members": list(chunk),
            "chunk_index": index,
            "chunk_count": len(chunks),
        }
        if wanted.user_ids is not None:
            data["not_found"] = [str(one) for one in wanted.user_ids if str(one) not in found]
        if wanted.presences and session.intents & bits.GUILD_PRESENCES:
            updates = (presences.update(wanted.guild_id, int(one["user"]["id"])) for one in chunk)
            data["presences"] = [update for update in updates if update["status"] != "offline"]
        if wanted.nonce is not None:
            data["nonce"] = wanted.nonce
        session.push(EncodedDispatch("GUILD_MEMBERS_CHUNK", data))


def _matching_members(members: Sequence[Json], query: str, limit: int) -> Sequence[Json]:
    if not query:
        return members[:limit] if limit else members
    start = query.casefold()
    names = ("nick", "username", "global_name")
    found = [one for one in members if any(_has_prefix({**one["user"], **one}.get(name), start) for name in names)]
    return found[: min(limit or _MAX_BY_NAME, _MAX_BY_NAME)]


def _has_prefix(name: object, start: str) -> bool:
    return isinstance(name, str) and name.casefold().startswith(start)
