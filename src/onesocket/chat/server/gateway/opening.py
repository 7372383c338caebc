"""How a connection gets its session: a new one by Identify, or the one it had by Resume."""

from __future__ import annotations

from collections.abc import Callable

from ..ports import Account, Json, Welcome, digest
from . import intents as bits
from .close_codes import (
    AUTHENTICATION_FAILED,
    DISALLOWED_INTENTS,
    INVALID_SEQ,
    RATE_LIMITED,
    RESUMED_ELSEWHERE,
    SHARDING_REQUIRED,
    UNKNOWN_ERROR,
)
from .connection import Connection
from .payloads import Body
from .requests import Identify, Misuse, Resume
from .session import Session
from .starts import Starts, Verdict


async def identify(connection: Connection, wanted: Identify, starts: Starts, url: Callable[[], str]) -> None:
    """Op 2: READY, the guilds, and from then on whatever happens; it resumes at `url`. Raises `Misuse`."""
    hub = connection.hub
    account = await _account(connection, wanted.token)
    if account.bot and wanted.intents & hub.options.disallowed_intents:
        raise Misuse(DISALLOWED_INTENTS)
    verdict = starts.ask(account, wanted.shard[0])
    if verdict is Verdict.TOO_FAST:
        connection.invalidate(resumable=False)
        return
    if verdict is Verdict.SPENT:
        raise Misuse(AUTHENTICATION_FAILED)
    session = Session(account, digest(wanted.token), wanted.intents, wanted.shard, hub.options)
    if wanted.presence is not None:
        session.presence = wanted.presence
    if not hub.sessions.add(session):  # from now on it collects what happens
        raise Misuse(RATE_LIMITED)
    try:
        welcome = await hub.the_directory().welcome(account)
        number, count = wanted.shard
        guilds = [guild for guild in welcome.guilds if (int(guild["id"]) >> 22) % count == number]
        if len(guilds) > hub.options.guilds_per_shard:
            raise Misuse(SHARDING_REQUIRED)
        early = session.begin()
        if len(early) >= hub.options.replay_count:  # some are missing
            raise Misuse(UNKNOWN_ERROR)
        if connection.line.closing:
            return
        if hub.sessions.get(session.id) is not session:  # signed out meanwhile
            raise Misuse(AUTHENTICATION_FAILED)
        connection.attach(session)
        ready = Body("READY", _ready(session, welcome, guilds, url()))
        _greet(connection, session, ready, guilds, wanted)
        for dispatch in early:
            session.offer(dispatch)
    finally:
        if connection.session is not session and session.connection is None and session.seq == 0:
            hub.sessions.end(session)
    hub.counting.add("identifies")


async def resume(connection: Connection, wanted: Resume) -> None:
    """Op 6: what was missed, once and in order, then RESUMED; or op 9. Raises `Misuse`."""
    hub = connection.hub
    account = await _account(connection, wanted.token)
    session = hub.sessions.get(wanted.session_id)
    if session is None or session.account.user_id != account.user_id or session.early is not None:
        connection.invalidate(resumable=False)
        return
    if not 0 <= wanted.seq <= session.seq:
        _end(connection, session)
        raise Misuse(INVALID_SEQ)
    if not session.covers(wanted.seq):
        _end(connection, session)
        connection.invalidate(resumable=False)
        return
    if connection.line.closing:
        return
    before = session.connection
    if before is not None:
        before.close(RESUMED_ELSEWHERE)
    session.login = digest(wanted.token)
    missed = list(session.missed(wanted.seq))
    connection.attach(session)
    connection.replay(missed)
    session.push(Body("RESUMED", {"_trace": []}))
    hub.counting.add("resumes")


async def _account(connection: Connection, token: str) -> Account:
    account = await connection.hub.the_directory().authenticate(token)
    if account is None:
        raise Misuse(AUTHENTICATION_FAILED)
    return account


def _end(connection: Connection, session: Session) -> None:
    before = session.connection
    connection.hub.sessions.end(session)
    if before is not None:
        before.close(RESUMED_ELSEWHERE)


def _greet(connection: Connection, session: Session, ready: Body, guilds: list[Json], wanted: Identify) -> None:
    if wanted.compress and not connection.is_compressed:
        session.write = connection.write_packed
        connection.hub.counting.add("packed")
    session.push(ready)
    connection.rewire()
    if session.intents & bits.GUILDS:
        for guild in guilds:
            session.push(Body("GUILD_CREATE", _shown(guild, session, wanted.large_threshold)))


def _ready(session: Session, welcome: Welcome, guilds: list[Json], url: str) -> Json:
    application = welcome.application
    ready: Json = {
        "v": 10,
        "user": welcome.user,
        "guilds": [{"id": guild["id"], "unavailable": True} for guild in guilds],
        "session_id": session.id,
        "resume_gateway_url": url,
        "shard": list(session.shard),
        "application": {"id": application.get("id", welcome.user["id"]), "flags": application.get("flags", 0)},
        "private_channels": list(welcome.private_channels),
        "relationships": [],
        "user_settings": {},
        "_trace": [],
    }
    if not session.account.bot:
        ready["read_states"] = list(welcome.read_states)
    return ready


def _shown(guild: Json, session: Session, large_threshold: int) -> Json:
    """The guild as this session may see it: presences by intent; of a large one only the members who are there."""
    presences = guild.get("presences", [])
    members = guild.get("members", [])
    shown: Json = {
        **guild,
        "unavailable": False,
        "large": len(members) > large_threshold,
        "presences": presences if session.intents & bits.GUILD_PRESENCES else [],
    }
    if shown["large"]:
        near = {presence["user"]["id"] for presence in presences} | {str(session.account.user_id)}
        shown["members"] = [member for member in members if member["user"]["id"] in near]
    return shown
