"""How a connection gets its session: a new one by Identify, or the one it had by Resume."""

from __future__ import annotations

from collections.abc import Callable

from .._ports import Account, Json, ReadyData, token_digest
from . import _intents as bits
from ._client_payloads import ClientViolation, Identify, Resume
from ._close_codes import (
    AUTHENTICATION_FAILED,
    DISALLOWED_INTENTS,
    INVALID_SEQ,
    RATE_LIMITED,
    RESUMED_ELSEWHERE,
    SHARDING_REQUIRED,
    UNKNOWN_ERROR,
)
from ._connection import GatewayConnection
from ._identify_limiter import IdentifyLimiter, IdentifyVerdict
from ._server_payloads import EncodedDispatch
from ._session import GatewaySession


async def identify(
    connection: GatewayConnection, wanted: Identify, starts: IdentifyLimiter, url: Callable[[], str]
) -> None:
    """Op 2: READY, the guilds, and from then on whatever happens; it resumes at `url`. Raises `ClientViolation`."""
    hub = connection.hub
    account = await _authenticate(connection, wanted.token)
    if account.bot and wanted.intents & hub.options.disallowed_intents:
        raise ClientViolation(DISALLOWED_INTENTS)
    verdict = starts.ask(account, wanted.shard[0])
    if verdict is IdentifyVerdict.TOO_FAST:
        connection.invalidate(resumable=False)
        return
    if verdict is IdentifyVerdict.SPENT:
        raise ClientViolation(AUTHENTICATION_FAILED)
    session = GatewaySession(account, token_digest(wanted.token), wanted.intents, wanted.shard, hub.options)
    if wanted.presence is not None:
        session.presence = wanted.presence
    if not hub.sessions.add(session):  # from now on it collects what happens
        raise ClientViolation(RATE_LIMITED)
    try:
        welcome = await hub.get_directory().ready_data(account)
        number, count = wanted.shard
        guilds = [guild for guild in welcome.guilds if (int(guild["id"]) >> 22) % count == number]
        if len(guilds) > hub.options.guilds_per_shard:
            raise ClientViolation(SHARDING_REQUIRED)
        early = session.begin()
        if len(early) >= hub.options.replay_count:  # some are missing
            raise ClientViolation(UNKNOWN_ERROR)
        if connection.line.closing:
            return
        if hub.sessions.get(session.id) is not session:  # signed out meanwhile
            raise ClientViolation(AUTHENTICATION_FAILED)
        connection.attach(session)
        ready = EncodedDispatch("READY", _ready_body(session, welcome, guilds, url()))
        _send_ready(connection, session, ready, guilds, wanted)
        for dispatch in early:
            session.offer(dispatch)
    finally:
        if connection.session is not session and session.connection is None and session.seq == 0:
            hub.sessions.end(session)
    hub.stats_counter.add("identifies")


async def resume(connection: GatewayConnection, wanted: Resume) -> None:
    """Op 6: what was missed, once and in order, then RESUMED; or op 9. Raises `ClientViolation`."""
    hub = connection.hub
    account = await _authenticate(connection, wanted.token)
    session = hub.sessions.get(wanted.session_id)
    if session is None or session.account.user_id != account.user_id or session.early is not None:
        connection.invalidate(resumable=False)
        return
    if not 0 <= wanted.seq <= session.seq:
        _end_session(connection, session)
        raise ClientViolation(INVALID_SEQ)
    if not session.covers(wanted.seq):
        _end_session(connection, session)
        connection.invalidate(resumable=False)
        return
    if connection.line.closing:
        return
    before = session.connection
    if before is not None:
        before.close(RESUMED_ELSEWHERE)
    session.login = token_digest(wanted.token)
    missed = list(session.missed(wanted.seq))
    connection.attach(session)
    connection.replay(missed)
    session.push(EncodedDispatch("RESUMED", {"_trace": []}))
    hub.stats_counter.add("resumes")


async def _authenticate(connection: GatewayConnection, token: str) -> Account:
    account = await connection.hub.get_directory().authenticate(token)
    if account is None:
        raise ClientViolation(AUTHENTICATION_FAILED)
    return account


def _end_session(connection: GatewayConnection, session: GatewaySession) -> None:
    before = session.connection
    connection.hub.sessions.end(session)
    if before is not None:
        before.close(RESUMED_ELSEWHERE)


def _send_ready(
    connection: GatewayConnection, session: GatewaySession, ready: EncodedDispatch, guilds: list[Json], wanted: Identify
) -> None:
    if wanted.compress and not connection.is_compressed:
        session.write = connection.write_packed
        connection.hub.stats_counter.add("packed")
    session.push(ready)
    connection.update_writer()
    if session.intents & bits.GUILDS:
        for guild in guilds:
            session.push(EncodedDispatch("GUILD_CREATE", _guild_body(guild, session, wanted.large_threshold)))


def _ready_body(session: GatewaySession, welcome: ReadyData, guilds: list[Json], url: str) -> Json:
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


def _guild_body(guild: Json, session: GatewaySession, large_threshold: int) -> Json:
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
