"""Attaches a session to a connection: a new one by Identify, or the previous one by Resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._serving import ClientViolation, EncodedDispatch, Identify, Resume
from ..._serving._server_payloads import RESUMED
from ...protocol._close_codes import CloseCode
from ...protocol._intents import Intents
from ...protocol._limits import API_VERSION
from ...protocol._sharding import shard_of
from .._login_guard import UnknownTokenLimit
from .._ports import Account, Json, ReadyData, token_digest
from ._identify_limiter import IdentifyVerdict
from ._presence_tracker import shown_presence
from ._session import GatewaySession

if TYPE_CHECKING:
    from ..cluster._shared_sessions import SharedSessions
    from ._connection import GatewayConnection


async def identify(connection: GatewayConnection, wanted: Identify) -> None:
    """Begin a session: send READY and the guilds, then published events. Raises `ClientViolation`."""
    state = connection.state
    account = await _admit(connection, wanted)
    shard = wanted.shard or (0, 1)
    verdict = await state.check_identify(account, shard[0])
    if verdict is IdentifyVerdict.TOO_FAST:
        connection.invalidate()
        return
    if verdict is IdentifyVerdict.SPENT:
        raise ClientViolation(CloseCode.AUTHENTICATION_FAILED)
    login = token_digest(wanted.token)
    threshold = wanted.large_threshold
    session = GatewaySession(account, login, wanted.intents, shard, state.options, large_threshold=threshold)
    if wanted.presence is not None:
        session.presence = shown_presence(wanted.presence)
    if not state.sessions.add(session):  # from now on it collects events
        raise ClientViolation(CloseCode.RATE_LIMITED)
    try:
        # The identify limit of a cluster takes a while, in which a token or an intent may have been taken away. That
        # ended the sessions there were; this one is among them only from now on.
        session.account = await _admit(connection, wanted)
        await _begin(connection, session, wanted)
    finally:
        if connection.session is not session and session.connection is None and session.seq == 0:
            state.sessions.end(session)
    state.stats_counter.add("identifies")


async def _admit(connection: GatewayConnection, wanted: Identify) -> Account:
    """Return the account of an Identify. Raises `ClientViolation` if its token is void, or an intent not allowed."""
    account = await _authenticate(connection, wanted.token)
    if account.bot and wanted.intents & (connection.state.options.disallowed_intents | account.denied_intents):
        raise ClientViolation(CloseCode.DISALLOWED_INTENTS)
    return account


async def _begin(connection: GatewayConnection, session: GatewaySession, wanted: Identify) -> None:
    """Send a session that collects events what it begins with, and then these events."""
    state, (number, count) = connection.state, session.shard
    at = None if state.cluster is None else state.cluster.sessions.position
    ready_data = await state.get_directory().ready_data(session.account)
    guilds = [guild for guild in ready_data.guilds if shard_of(guild["id"], count) == number]
    if len(guilds) > state.options.guilds_per_shard:
        raise ClientViolation(CloseCode.SHARDING_REQUIRED)
    own = [EncodedDispatch("READY", _ready_body(session, ready_data, guilds, state.url()))]
    if session.intents & Intents.GUILDS:
        own += [EncodedDispatch("GUILD_CREATE", session.guild_body(guild)) for guild in guilds]
    if state.cluster is not None and at is not None:
        await state.cluster.sessions.begin(session, at, own)
    early = session.begin()
    if len(early) >= state.options.replay_count:  # some are missing
        raise ClientViolation(CloseCode.UNKNOWN_ERROR)
    if connection.websocket.closing:
        return
    if session.signed_out:
        raise ClientViolation(CloseCode.AUTHENTICATION_FAILED)
    if state.sessions.get(session.id) is not session:  # ended with all others here, as this server has missed events
        connection.invalidate()
        return
    connection.attach(session)
    _send_first(connection, session, own, wanted)
    for dispatch in early:
        session.offer(dispatch)


async def resume(connection: GatewayConnection, wanted: Resume) -> None:
    """Continue a session: send the missed dispatches, then RESUMED; or op 9. Raises `ClientViolation`."""
    state = connection.state
    account = await _authenticate(connection, wanted.token)
    if state.cluster is not None:
        sessions = state.cluster.sessions
        await sessions.finish(_resume_shared(connection, wanted, account, sessions))
        return
    session = state.sessions.get(wanted.session_id)
    if session is not None and (session.account.user_id != account.user_id or session.early is not None):
        session = None
    if connection.restore(session, wanted.seq) and session is not None:
        session.login = token_digest(wanted.token)
        state.stats_counter.add("resumes")


async def _resume_shared(
    connection: GatewayConnection, wanted: Resume, account: Account, sessions: SharedSessions
) -> None:
    """Continue a session of this server or of another one; RESUMED is recorded before it is sent."""
    state, login = connection.state, token_digest(wanted.token)
    async with sessions.held(wanted.session_id, account, login, wanted.seq) as session:
        if session is not None and not await _is_valid(connection, wanted.token):  # no longer
            if session.login == login:
                state.sessions.end(session)
            connection.close(CloseCode.AUTHENTICATION_FAILED)
            return
        if session is not None:
            session.login = login  # from now on it ends with this one
        if session is None or not await sessions.record(session, [RESUMED]) or session not in state.sessions:
            connection.restore(None, wanted.seq)  # a third server has taken it, or it has ended meanwhile
        elif connection.restore(session, wanted.seq):
            state.stats_counter.add("resumes")
        elif session in state.sessions:  # the connection is closing
            session.push(RESUMED)
            if session.connection is None:
                state.sessions.detached(session)


async def _is_valid(connection: GatewayConnection, token: str) -> bool:
    return await connection.state.get_directory().authenticate(token) is not None


async def _authenticate(connection: GatewayConnection, token: str) -> Account:
    state = connection.state
    try:
        account = await state.login_guard.authenticate(state.get_directory(), token, connection.source.network)
    except UnknownTokenLimit:
        raise ClientViolation(CloseCode.RATE_LIMITED) from None
    if account is None:
        raise ClientViolation(CloseCode.AUTHENTICATION_FAILED)
    return account


def _send_first(
    connection: GatewayConnection, session: GatewaySession, own: list[EncodedDispatch], wanted: Identify
) -> None:
    ready, *guilds = own
    if wanted.compress and not connection.is_compressed:
        session.write = connection.write_compressed
        connection.state.stats_counter.add("packed")
    session.push(ready)
    connection.update_writer()
    for guild in guilds:
        session.push(guild)


def _ready_body(session: GatewaySession, ready_data: ReadyData, guilds: list[Json], url: str) -> Json:
    application = ready_data.application
    ready: Json = {
        "v": API_VERSION,
        "user": ready_data.user,
        "guilds": [{"id": guild["id"], "unavailable": True} for guild in guilds],
        "session_id": session.id,
        "resume_gateway_url": url,
        "shard": list(session.shard),
        "application": {"id": application.get("id", ready_data.user["id"]), "flags": application.get("flags", 0)},
        "private_channels": list(ready_data.private_channels),
        "relationships": list(ready_data.relationships),
        "user_settings": {},
        "_trace": [],
    }
    if not session.account.bot:
        ready["read_states"] = list(ready_data.read_states)
    return ready
