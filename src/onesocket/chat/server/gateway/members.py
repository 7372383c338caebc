"""Op 8: the members of a guild, in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..ports import Json
from . import intents as bits
from .payloads import Body
from .presences import Presences
from .requests import MembersWanted
from .session import Session

_CHUNK: Final = 1000
_MOST_BY_NAME: Final = 100


def may_list(session: Session, wanted: MembersWanted) -> bool:
    """Whether the session's intents allow the request: all members, of any name, only with GUILD_MEMBERS."""
    return wanted.user_ids is not None or bool(wanted.query) or bool(session.intents & bits.GUILD_MEMBERS)


def push_members(session: Session, wanted: MembersWanted, members: Sequence[Json], presences: Presences) -> None:
    """Push GUILD_MEMBERS_CHUNK, to this session only: those of `members` that are wanted."""
    if wanted.user_ids is None:
        members = _named(members, wanted.query or "", wanted.limit)
    chunks = [members[start : start + _CHUNK] for start in range(0, len(members), _CHUNK)] or [()]
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
        session.push(Body("GUILD_MEMBERS_CHUNK", data))


def _named(members: Sequence[Json], query: str, limit: int) -> Sequence[Json]:
    if not query:
        return members[:limit] if limit else members
    start = query.casefold()
    names = ("nick", "username", "global_name")
    found = [one for one in members if any(_begins({**one["user"], **one}.get(name), start) for name in names)]
    return found[: min(limit or _MOST_BY_NAME, _MOST_BY_NAME)]


def _begins(name: object, start: str) -> bool:
    return isinstance(name, str) and name.casefold().startswith(start)
