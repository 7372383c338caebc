"""The provider on virtual time and the in-memory transport; the *server's* side counts."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from onesocket import Client, Identity, OnesocketError, Outcome, Provider, Rotation, State
from onesocket.errors import (
    AuthTimeout,
    ClientClosed,
    ClosedByPeer,
    ConnectAborted,
    ConnectionRefused,
    HandshakeRejected,
    InvalidOption,
    InvalidURL,
    ManuallyDisconnected,
    NoCurrentProvider,
    ServerBusy,
    SessionExpired,
    TokenFailed,
    UsageError,
    WrongEventLoop,
)
from onesocket.lifecycle._peer_errors import handshake_rejected
from onesocket.notices import Notice, NoticeLevel, Notices
from onesocket.provider import current_provider, use
from onesocket.sharing._join import join
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.onesocket.provider.scripted_auth import ALICE, BOB, ScriptedAuth
from tests.unit.virtual_time import on_virtual_time, settle


class ProviderBoard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.told: list[Notice | str] = []

    def show(self, notice: Notice) -> None:
        self.told.append(notice)

    def withdraw(self, notice_id: str) -> None:
        self.told.append(notice_id)

    @property
    def shown(self) -> list[Notice]:
        return [news for news in self.told if isinstance(news, Notice)]


def make(
    server: MemoryServer,
    auth: Any,
    board: ProviderBoard | None = None,
    built: list[Client] | None = None,
    **options: Any,
) -> Provider:
    def client(token: Callable[[], Awaitable[str]]) -> Client:
        new = Client("ws://memory.test/", transport=server.transport(), token=token, ping_interval=None)
        if built is not None:
            built.append(new)
        return new

    return Provider(client, auth=auth, notices=board if board is not None else ProviderBoard(), **options)


def tokens(server: MemoryServer) -> list[str]:
    return [dict(peer.request.headers)["Authorization"].removeprefix("Bearer ") for peer in server.peers]


def ids(provider: Provider) -> list[str]:
    return [notice.id for notice in provider.notices.active]


def existing(provider: Provider) -> Client:
    assert provider.client is not None
    return provider.client


async def outcome_of(work: Awaitable[Outcome | None]) -> Outcome | OnesocketError | None:
    try:
        return await work
    except OnesocketError as error:
        return error


async def wait_connected(provider: Provider) -> None:
    await existing(provider).wait_for(State.CONNECTED, timeout=100)


# --- connect_if_authenticated ---------------------------------------------------------------------------------------


@on_virtual_time
async def test_without_a_token_nothing_is_attempted() -> None:
    server = MemoryServer()
    built: list[Client] = []
    board = ProviderBoard()
    provider = make(server, lambda: None, board, built)
    assert await provider.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    assert (server.peers, built, provider.client, board.told) == ([], [], None, [])
    await provider.aclose()


@pytest.mark.parametrize("shared", [False, True])
@on_virtual_time
async def test_auth_learns_of_a_token_that_was_refused_by_the_call_before(shared: bool) -> None:
    told: list[tuple[str | None, int | None]] = []

    async def auth(previous: str | None, error: OnesocketError | None) -> Identity:
        told.append((previous, getattr(error, "status", None)))
        return Identity("me", "old" if previous is None else "new")

    def answer(peer: MemoryPeer) -> None:
        peer.refuse(handshake_rejected(401, {})) if tokens(server)[-1] == "old" else peer.accept()

    server = MemoryServer(on_dial=answer)
    provider: Provider[Any] = make(server, auth)
    if shared:
        transport = server.transport()
        provider = Provider(
            lambda token: join("ws://memory.test/", scope="loop", token=token, transport=transport), auth=auth
        )
    with pytest.raises(HandshakeRejected):
        await provider.connect_if_authenticated()
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    assert (told, tokens(server)) == ([(None, None), ("old", 401)], ["old", "new"])
    await provider.aclose()


@on_virtual_time
async def test_a_thousand_callers_share_one_question_one_client_and_one_connection() -> None:
    server = MemoryServer(latency=0.1)
    built: list[Client] = []
    accounts = ScriptedAuth()
    provider = make(server, accounts, built=built)
    outcomes = await asyncio.gather(*(provider.connect_if_authenticated() for _ in range(1000)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert outcomes.count(Outcome.JOINED) == 999
    assert (accounts.calls, len(built), len(server.peers)) == (1, 1, 1)
    assert await provider.connect_if_authenticated() is Outcome.ALREADY_CONNECTED
    assert accounts.calls == 1
    await provider.aclose()
    assert (server.open_now, server.most_open) == (0, 1)


@on_virtual_time
async def test_who_comes_at_any_moment_of_it_joins() -> None:
    server = MemoryServer(latency=1)
    accounts = ScriptedAuth()
    accounts.gate.clear()
    provider = make(server, accounts)
    first = asyncio.create_task(provider.connect_if_authenticated())
    await settle()
    second = asyncio.create_task(provider.connect_if_authenticated())
    await settle()
    before = provider.status
    assert (before.is_connecting, before.callers) == (True, 2)
    accounts.gate.set()
    await settle()
    assert len(server.peers) == 1
    third = asyncio.create_task(provider.connect_if_authenticated())
    assert [await first, await second, await third] == [Outcome.OPENED, Outcome.JOINED, Outcome.JOINED]
    assert (accounts.calls, len(server.peers)) == (1, 1)
    assert not provider.status.is_connecting
    await provider.aclose()


@pytest.mark.parametrize("answer", ["plain-s3cret", Identity("key", "plain-s3cret")])
@pytest.mark.parametrize("is_async", [False, True])
def test_every_form_of_auth(answer: Any, is_async: bool) -> None:
    @on_virtual_time
    async def main() -> None:
        async def later() -> Any:
            return answer

        server = MemoryServer()
        async with make(server, later if is_async else lambda: answer) as provider:
            assert await provider.connect_if_authenticated() is Outcome.OPENED
            assert tokens(server) == ["plain-s3cret"]

    main()


@on_virtual_time
async def test_the_attempts_error_is_everybodys_and_a_notice() -> None:
    server = MemoryServer(on_dial=lambda peer: peer.refuse(ConnectionRefused("nobody home")), latency=0.1)
    board = ProviderBoard()
    provider = make(server, ScriptedAuth(), board)
    results = await asyncio.gather(*(provider.connect_if_authenticated() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {ConnectionRefused}
    assert len({id(result) for result in results}) == 20
    assert len(server.peers) == 1
    (notice,) = board.shown
    assert (notice.id, notice.level, notice.title, notice.text) == (
        "connection-failed",
        NoticeLevel.ERROR,
        "Connection Failed",
        "Failed to connect to the server: nobody home",
    )
    with pytest.raises(ConnectionRefused):
        await provider.connect_if_authenticated()
    assert board.shown == [notice]  # it lasts: no news
    server.on_dial = None
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    assert board.told == [notice, "connection-failed"]
    await provider.aclose()


@on_virtual_time
async def test_auth_that_raises_is_a_typed_error_without_its_text() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth(ValueError("password hunter2 refused"))
    accounts.gate.clear()
    provider = make(server, accounts, service="feed")
    waiting = [asyncio.create_task(provider.connect_if_authenticated()) for _ in range(3)]
    await settle()
    accounts.gate.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert isinstance(error, TokenFailed)
        assert "hunter2" not in str(error)
        assert isinstance(error.__cause__, ValueError)
    (notice,) = provider.notices.active
    assert notice.id == "sign-in-failed"
    assert notice.text == "Failed to sign in to feed: the auth callback raised ValueError"
    assert (accounts.calls, server.peers, provider.status.is_connecting) == (1, [], False)
    accounts.who = ALICE
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    assert ids(provider) == []
    await provider.aclose()


@pytest.mark.parametrize("answer", [42, "", "line\nhunter2", Identity("alice", "")])
def test_what_is_no_identity_is_refused_and_never_shown(answer: Any) -> None:
    @on_virtual_time
    async def main() -> None:
        provider = make(MemoryServer(), lambda: answer)
        with pytest.raises(TokenFailed) as caught:
            await provider.connect_if_authenticated()
        assert "hunter2" not in str(caught.value)
        await provider.aclose()

    main()


@pytest.mark.parametrize("stubborn", [False, True])
def test_auth_that_never_answers_ends_at_its_deadline(stubborn: bool) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer()
        release = asyncio.Event()
        calls = 0

        async def auth() -> Identity:
            nonlocal calls
            calls += 1
            if calls == 1:
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()
                if stubborn:
                    await release.wait()
            return ALICE

        provider = make(server, auth, auth_timeout=3)
        started = asyncio.get_running_loop().time()
        results = await asyncio.gather(*(outcome_of(provider.connect_if_authenticated()) for _ in range(2)))
        assert asyncio.get_running_loop().time() - started == pytest.approx(3)
        for error in results:
            assert isinstance(error, AuthTimeout)
            assert isinstance(error, TimeoutError)
            assert error.retryable
        assert ids(provider) == ["sign-in-failed"]
        assert await provider.connect_if_authenticated() is Outcome.OPENED
        assert ids(provider) == []
        release.set()
        await settle()
        await provider.aclose()

    main()


@on_virtual_time
async def test_an_auth_callback_that_cancels_itself_is_a_typed_error() -> None:
    async def auth() -> Identity:
        raise asyncio.CancelledError

    provider = make(MemoryServer(), auth)
    with pytest.raises(TokenFailed, match="cancelled"):
        await provider.connect_if_authenticated()
    await provider.aclose()


@on_virtual_time
async def test_one_callers_cancellation_hurts_nobody_else() -> None:
    server = MemoryServer(latency=1)
    accounts = ScriptedAuth()
    accounts.gate.clear()
    provider = make(server, accounts)
    opener, joiner = (asyncio.create_task(provider.connect_if_authenticated()) for _ in range(2))
    await settle()
    opener.cancel()
    await settle()
    assert opener.cancelled()
    accounts.gate.set()
    assert await joiner is Outcome.JOINED
    await provider.aclose()


@on_virtual_time
async def test_the_last_callers_cancellation_ends_the_question() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    accounts.gate.clear()
    provider = make(server, accounts)
    callers = [asyncio.create_task(provider.connect_if_authenticated()) for _ in range(3)]
    await settle()
    for caller in callers:
        caller.cancel()
    await settle()
    assert (accounts.running, server.peers, provider.status.is_connecting, ids(provider)) == (0, [], False, [])
    accounts.gate.set()
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    await provider.aclose()


@on_virtual_time
async def test_the_last_callers_cancellation_winds_the_attempt_down() -> None:
    server = MemoryServer(latency=1)
    provider = make(server, ScriptedAuth())
    callers = [asyncio.create_task(provider.connect_if_authenticated()) for _ in range(2)]
    await settle()
    assert server.open_now == 1
    for caller in callers:
        caller.cancel()
    await existing(provider).wait_for(State.DISCONNECTED, timeout=10)
    assert (server.open_now, server.peers[0].close_code) == (0, 1000)
    await provider.aclose()


# --- login, logout --------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_logout_holds_until_login() -> None:
    server = MemoryServer(latency=0.1)
    built: list[Client] = []
    accounts = ScriptedAuth()
    provider = make(server, accounts, built=built)
    await provider.connect_if_authenticated()
    await provider.logout()
    assert (server.open_now, provider.status.is_held, existing(provider).state) == (0, True, State.STOPPED)
    with pytest.raises(ManuallyDisconnected, match="login"):
        await provider.connect_if_authenticated()
    assert (accounts.calls, existing(provider).state) == (1, State.STOPPED)
    with pytest.raises(ManuallyDisconnected):
        await existing(provider).connect()
    assert await provider.login() is Outcome.OPENED
    assert (len(built), server.most_open, server.open_now) == (1, 1, 1)
    await provider.logout()
    await provider.logout()
    await provider.aclose()


@on_virtual_time
async def test_logout_before_anything_else_holds_too() -> None:
    server = MemoryServer()
    provider = make(server, ScriptedAuth())
    await provider.logout()
    with pytest.raises(ManuallyDisconnected):
        await provider.connect_if_authenticated()
    assert await provider.login() is Outcome.OPENED
    await provider.aclose()


@on_virtual_time
async def test_a_login_without_a_token_lifts_the_hold_and_attempts_nothing() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth(None)
    provider = make(server, accounts)
    await provider.logout()
    assert await provider.login() is Outcome.NOT_AUTHENTICATED
    assert await provider.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    accounts.who = ALICE
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    await provider.aclose()


@on_virtual_time
async def test_somebody_signs_in_after_logout_login_by_a_component() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.login()
    await provider.logout()
    accounts.who = None
    assert await provider.login() is Outcome.NOT_AUTHENTICATED
    accounts.who = ALICE
    # The client still holds, but it was the provider that stopped it.
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    await provider.aclose()


@pytest.mark.parametrize("when", ["asking", "dialling"])
def test_logout_aborts_who_waits(when: str) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer(latency=1)
        accounts = ScriptedAuth()
        if when == "asking":
            accounts.gate.clear()
        provider = make(server, accounts)
        callers = [asyncio.create_task(outcome_of(provider.connect_if_authenticated())) for _ in range(3)]
        callers.append(asyncio.create_task(outcome_of(provider.login())))
        await settle()
        loop = asyncio.get_running_loop()
        started = loop.time()
        leaving = asyncio.create_task(provider.logout())
        for caller in callers:
            error = await caller
            assert isinstance(error, ConnectAborted)
            assert "logout" in str(error)
        assert loop.time() == started
        await leaving
        assert (server.open_now, provider.status.is_held, accounts.running) == (0, True, 0)
        await provider.aclose()

    main()


@on_virtual_time
async def test_a_login_during_a_logout_waits_for_the_close_and_wins() -> None:
    server = MemoryServer(latency=1)
    provider = make(server, ScriptedAuth())
    await provider.login()
    leaving = asyncio.create_task(provider.logout())
    await settle()
    coming = asyncio.create_task(provider.login())
    await leaving
    assert await coming is Outcome.OPENED
    assert (server.most_open, server.open_now, len(server.peers)) == (1, 1, 2)
    await provider.aclose()


@on_virtual_time
async def test_another_identity_closes_the_old_connection_before_the_new_one_is_dialled() -> None:
    server = MemoryServer(latency=1)
    built: list[Client] = []
    accounts = ScriptedAuth()
    provider = make(server, accounts, built=built)
    await provider.connect_if_authenticated()
    stream = existing(provider).subscribe()
    accounts.who = BOB
    assert await provider.login() is Outcome.OPENED
    assert [client.state for client in built] == [State.CLOSED, State.CONNECTED]
    assert [message async for message in stream] == []
    assert provider.client is built[1]
    assert tokens(server) == [ALICE.token, BOB.token]
    assert (server.most_open, server.peers[0].close_code) == (1, 1000)
    assert await provider.login(ALICE) is Outcome.OPENED
    assert tokens(server)[2] == ALICE.token
    assert server.most_open == 1
    await provider.aclose()


@on_virtual_time
async def test_a_login_of_the_same_identity_changes_nothing() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    assert await provider.login() is Outcome.OPENED
    accounts.who = Identity("alice", "renewed-s3cret")
    assert await provider.login() is Outcome.ALREADY_CONNECTED
    assert (accounts.calls, len(server.peers)) == (2, 1)
    await provider.aclose()


@on_virtual_time
async def test_a_login_that_finds_nobody_takes_the_connection_down() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.login()
    accounts.who = None
    assert await provider.login() is Outcome.NOT_AUTHENTICATED
    assert (server.open_now, ids(provider)) == (0, ["session-expired"])
    accounts.who = BOB
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    assert ids(provider) == []
    await provider.aclose()


@on_virtual_time
async def test_a_login_does_not_trust_what_was_asked_before_it() -> None:
    server = MemoryServer()
    answers: list[Any] = [None, ALICE]
    gate = asyncio.Event()

    async def auth() -> Any:
        answer = answers.pop(0)  # what the storage said when it was read
        await gate.wait()
        return answer

    provider = make(server, auth)
    early = asyncio.create_task(provider.connect_if_authenticated())
    await settle()
    login = asyncio.create_task(provider.login())
    await settle()
    gate.set()
    assert await login is Outcome.OPENED
    assert await early is Outcome.JOINED
    await provider.aclose()


@on_virtual_time
async def test_a_login_does_not_trust_what_an_earlier_login_asked() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth(None)
    accounts.gate.clear()
    provider = make(server, accounts)
    first = asyncio.create_task(provider.login())
    await settle()
    accounts.who = ALICE
    second = asyncio.create_task(provider.login())
    await settle()
    assert accounts.calls == 2
    accounts.gate.set()
    assert [await first, await second] == [Outcome.JOINED, Outcome.OPENED]
    await provider.aclose()


@pytest.mark.parametrize("given", [None, ALICE])
def test_a_login_makes_a_resumption_ask_again(given: Identity | None) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer()
        answers: list[Any] = [ALICE, None, *([ALICE, ALICE] if given is None else [BOB])]
        gate = asyncio.Event()
        gate.set()

        async def auth() -> Any:
            answer = answers.pop(0)
            await gate.wait()
            return answer

        board = ProviderBoard()
        provider = make(server, auth, board)
        await provider.connect_if_authenticated()
        gate.clear()
        server.peers[0].drop()
        await existing(provider).wait_for(State.CONNECTING)
        await settle()
        login = asyncio.create_task(provider.login(given))
        await settle()
        gate.set()
        assert await login is Outcome.JOINED
        assert tokens(server) == [ALICE.token] * 2
        assert [notice.id for notice in board.shown] == ["connection-lost"]
        await provider.aclose()

    main()


@on_virtual_time
async def test_a_hundred_logins_at_once_ask_once_and_dial_once() -> None:
    server = MemoryServer(latency=1)
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    outcomes = await asyncio.gather(*(provider.login() for _ in range(100)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert outcomes.count(Outcome.JOINED) == 99
    assert (accounts.calls, len(server.peers)) == (1, 1)
    await provider.aclose()


@on_virtual_time
async def test_a_login_while_dialling_for_the_same_identity_joins_the_attempt() -> None:
    server = MemoryServer(latency=1)
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    first = asyncio.create_task(provider.connect_if_authenticated())
    await settle()
    assert await provider.login() is Outcome.JOINED
    assert await first is Outcome.OPENED
    assert (accounts.calls, len(server.peers)) == (2, 1)
    await provider.aclose()


@on_virtual_time
async def test_a_failed_attempt_fails_for_a_login_that_joined_it_too() -> None:
    server = MemoryServer(on_dial=lambda peer: peer.refuse(ConnectionRefused("nobody home")), latency=1)
    provider = make(server, ScriptedAuth())
    callers = [asyncio.create_task(outcome_of(provider.connect_if_authenticated()))]
    await settle()
    callers += [asyncio.create_task(outcome_of(provider.login()))]
    assert [type(await caller) for caller in callers] == [ConnectionRefused, ConnectionRefused]
    assert len(server.peers) == 1
    await provider.aclose()


@pytest.mark.parametrize("when", ["asking", "dialling"])
def test_the_newest_login_wins(when: str) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer(latency=1)
        accounts = ScriptedAuth()
        if when == "asking":
            accounts.gate.clear()
        provider = make(server, accounts)
        component = asyncio.create_task(provider.connect_if_authenticated())
        await settle()
        alice = asyncio.create_task(outcome_of(provider.login(ALICE if when == "dialling" else None)))
        await settle()
        bob = asyncio.create_task(provider.login(BOB))
        assert await bob is Outcome.OPENED
        assert isinstance(await alice, ConnectAborted)
        assert await component is Outcome.JOINED
        assert tokens(server)[-1] == BOB.token
        assert (server.most_open, server.open_now) == (1, 1)
        await provider.aclose()

    main()


@on_virtual_time
async def test_a_message_handler_may_log_somebody_else_in() -> None:
    server = MemoryServer(latency=0.1)
    provider = make(server, ScriptedAuth())
    await provider.connect_if_authenticated()
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def handler(_message: Any) -> None:
        done.set_result(await provider.login(BOB))

    existing(provider).on(None, handler)
    server.peers[0].send("your session was taken over")
    async with asyncio.timeout(1):
        assert await done is Outcome.OPENED
    assert server.most_open == 1
    await provider.aclose()


@on_virtual_time
async def test_auth_may_log_out() -> None:
    server = MemoryServer()

    async def auth() -> Identity:
        await provider.logout()
        return ALICE

    provider = make(server, auth)
    with pytest.raises(ConnectAborted):
        await provider.connect_if_authenticated()
    assert provider.status.is_held
    await provider.aclose()
    assert server.peers == []


@on_virtual_time
async def test_the_client_itself_cannot_go_round_a_logout() -> None:
    server = MemoryServer()
    provider = make(server, ScriptedAuth())
    await provider.login()
    await provider.logout()
    with pytest.raises(ManuallyDisconnected):
        await existing(provider).reconnect()
    assert server.open_now == 0
    assert len(server.peers) == 1
    await provider.aclose()


@on_virtual_time
async def test_a_stop_at_the_client_holds_for_components_and_is_lifted_by_login() -> None:
    server = MemoryServer()
    provider = make(server, ScriptedAuth())
    await provider.connect_if_authenticated()
    await existing(provider).disconnect()
    with pytest.raises(ManuallyDisconnected):
        await provider.connect_if_authenticated()
    assert await provider.login() is Outcome.OPENED
    await provider.aclose()


@on_virtual_time
async def test_a_client_that_somebody_closed_is_replaced() -> None:
    server = MemoryServer()
    built: list[Client] = []
    provider = make(server, ScriptedAuth(), built=built)
    await provider.connect_if_authenticated()
    await existing(provider).aclose()
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    assert len(built) == 2
    await provider.aclose()


# --- later attempts -------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_the_first_attempt_asks_once_and_each_later_one_anew() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    board = ProviderBoard()
    provider = make(server, accounts, board)
    await provider.connect_if_authenticated()
    assert accounts.calls == 1
    accounts.who = Identity("alice", "renewed-s3cret")
    client = existing(provider)
    server.peers[0].close(1012, "restarting, alice-s3cret")
    await client.wait_for(State.BACKING_OFF)
    await wait_connected(provider)
    await settle()
    assert provider.client is client
    assert (accounts.calls, tokens(server)) == (2, [ALICE.token, "renewed-s3cret"])
    (lost,) = board.shown
    assert (lost.id, lost.level, lost.title) == ("connection-lost", NoticeLevel.WARNING, "Connection Lost")
    assert lost.text.startswith("Lost the connection to the server: ")
    assert lost.text.endswith("; trying again now")
    assert "restarting" in lost.text
    assert "s3cret" not in lost.text
    assert ids(provider) == []
    await provider.aclose()


@on_virtual_time
async def test_a_token_that_no_attempt_used_is_not_kept() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.connect_if_authenticated()
    accepted = asyncio.Event()
    server.on_dial = lambda _peer: accepted.set()
    server.peers[0].drop()
    await accepted.wait()
    caller = asyncio.create_task(provider.connect_if_authenticated())  # joins an attempt that has its token
    await settle()
    server.on_dial = None
    server.peers[1].accept()
    assert await caller is Outcome.JOINED
    accounts.who = Identity("alice", "renewed-s3cret")
    server.peers[1].drop()
    await existing(provider).wait_for(State.CONNECTING, timeout=100)
    await wait_connected(provider)
    assert tokens(server) == [ALICE.token, ALICE.token, "renewed-s3cret"]
    await provider.aclose()


@on_virtual_time
async def test_a_session_that_expired_is_not_resumed() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.connect_if_authenticated()
    client = existing(provider)
    accounts.who = None
    server.peers[0].drop()
    await client.wait_for(State.FAILED, timeout=100)
    await settle()
    assert isinstance(client.status.last_error, SessionExpired)
    assert (len(server.peers), ids(provider)) == (1, ["session-expired"])
    assert await provider.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    accounts.who = ALICE
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    assert (provider.client is client, ids(provider), server.most_open) == (True, [], 1)
    await provider.aclose()


@on_virtual_time
async def test_who_joins_a_resumption_of_an_expired_session_is_told_so() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.connect_if_authenticated()
    accounts.who = None
    accounts.gate.clear()
    server.peers[0].drop()
    await existing(provider).wait_for(State.CONNECTING)
    caller = asyncio.create_task(provider.connect_if_authenticated())
    await settle()
    accounts.gate.set()
    assert await caller is Outcome.NOT_AUTHENTICATED
    assert accounts.calls == 2
    assert ids(provider) == ["session-expired"]
    await provider.aclose()


@on_virtual_time
async def test_a_caller_in_a_back_off_that_finds_nobody_ends_it() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.connect_if_authenticated()
    server.on_dial = lambda peer: peer.refuse(ServerBusy("limit exceeded", retry_after=30))
    server.peers[0].drop()
    await existing(provider).wait_for(State.CONNECTING)
    await existing(provider).wait_for(State.BACKING_OFF)
    await settle()
    (busy,) = provider.notices.active
    assert (busy.id, busy.level) == ("service-busy", NoticeLevel.WARNING)
    assert busy.text.startswith("Not accepted by the server: limit exceeded; trying again in 3")
    accounts.who = None
    assert await provider.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    assert (existing(provider).state, ids(provider)) == (State.STOPPED, ["session-expired"])
    server.on_dial = None
    accounts.who = ALICE
    await asyncio.sleep(30)  # the server has asked for that
    assert await provider.connect_if_authenticated() is Outcome.OPENED
    await provider.aclose()


@pytest.mark.parametrize("joined", [False, True])
def test_a_resumption_that_finds_somebody_else_changes_the_identity(joined: bool) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer(latency=0.5)
        accounts = ScriptedAuth()
        board = ProviderBoard()
        provider = make(server, accounts, board)
        await provider.connect_if_authenticated()
        old = existing(provider)
        accounts.who = BOB
        accounts.gate.clear()
        server.peers[0].drop()
        await old.wait_for(State.CONNECTING)
        caller = asyncio.create_task(provider.connect_if_authenticated()) if joined else None
        await settle()
        accounts.gate.set()
        await old.wait_for(State.CLOSED)
        if caller is not None:
            assert await caller is Outcome.OPENED
        await settle()
        await wait_connected(provider)
        assert provider.client is not old
        assert (tokens(server), server.most_open) == ([ALICE.token, BOB.token], 1)
        await settle()
        assert [notice.id for notice in board.shown] == ["connection-lost"]
        assert ids(provider) == []
        await provider.aclose()

    main()


@on_virtual_time
async def test_auth_that_fails_during_a_resumption_is_tried_again() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.connect_if_authenticated()
    accounts.who = OSError("no route to the account service")
    server.peers[0].drop()
    await existing(provider).wait_for(State.CONNECTING)
    await existing(provider).wait_for(State.BACKING_OFF)
    await settle()
    assert sorted(ids(provider)) == ["connection-lost", "sign-in-failed"]
    accounts.who = ALICE
    await wait_connected(provider)
    await settle()
    assert ids(provider) == []
    await provider.aclose()


# --- notices --------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_service_without_a_place_for_us_is_said_aloud() -> None:
    server = MemoryServer(on_dial=lambda peer: peer.refuse(ServerBusy("connection limit exceeded")))
    provider = make(server, ScriptedAuth(), service="feed")
    with pytest.raises(ServerBusy):
        await provider.connect_if_authenticated()
    (notice,) = provider.notices.active
    assert (notice.id, notice.level, notice.title, notice.text) == (
        "service-busy",
        NoticeLevel.ERROR,
        "Service Busy",
        "Not accepted by feed: connection limit exceeded",
    )
    await provider.logout()
    assert ids(provider) == []
    await provider.aclose()


@on_virtual_time
async def test_a_fatal_end_replaces_the_warning() -> None:
    server = MemoryServer()
    provider = make(server, ScriptedAuth())
    await provider.connect_if_authenticated()
    server.on_dial = lambda peer: peer.refuse(ClosedByPeer("policy", code=1008, reason="", retryable=False))
    server.peers[0].drop()
    await existing(provider).wait_for(State.FAILED, timeout=100)
    await settle()
    assert ids(provider) == ["connection-failed"]
    await provider.aclose()
    assert ids(provider) == []


@on_virtual_time
async def test_a_sink_that_raises_harms_nobody() -> None:
    class Broken(ProviderBoard):
        def show(self, notice: Notice) -> None:
            raise RuntimeError("broken sink")

    server = MemoryServer(on_dial=lambda peer: peer.refuse(ConnectionRefused("nobody home")))
    provider = make(server, ScriptedAuth(), Broken())
    with pytest.raises(ConnectionRefused):
        await provider.connect_if_authenticated()
    assert ids(provider) == ["connection-failed"]
    assert not provider.status.is_connecting
    await provider.aclose()


# --- building, closing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ValueError("hunter2"), UsageError),
        (InvalidURL("not a URL"), InvalidURL),
        (None, UsageError),
    ],
)
def test_a_client_that_cannot_be_built_is_a_typed_error_and_everything_is_released(
    fault: Exception | None, error: type[OnesocketError]
) -> None:
    @on_virtual_time
    async def main() -> None:
        broken = True
        server = MemoryServer()

        def client(token: Callable[[], Awaitable[str]]) -> Any:
            if not broken:
                return Client("ws://memory.test/", transport=server.transport(), token=token)
            if fault is not None:
                raise fault
            return None

        provider = Provider(client, auth=ScriptedAuth(), notices=Notices())
        for _ in range(2):
            with pytest.raises(error) as caught:
                await provider.connect_if_authenticated()
            assert "hunter2" not in str(caught.value)
        assert ids(provider) == ["connection-failed"]
        broken = False
        assert await provider.connect_if_authenticated() is Outcome.OPENED
        await settle()
        assert ids(provider) == []
        await provider.aclose()

    main()


@on_virtual_time
async def test_a_closed_client_is_not_what_make_client_may_return() -> None:
    server = MemoryServer()
    one = Client("ws://memory.test/", transport=server.transport())
    provider = Provider(lambda _token: one, auth=lambda: ALICE, notices=Notices())
    await provider.connect_if_authenticated()
    with pytest.raises(UsageError, match="closed client"):
        await provider.login(BOB)
    assert server.open_now == 0
    await provider.aclose()


@pytest.mark.parametrize("when", ["asking", "dialling", "connected", "idle"])
def test_aclose_is_final_at_any_moment(when: str) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer(latency=1)
        accounts = ScriptedAuth()
        if when == "asking":
            accounts.gate.clear()
        provider = make(server, accounts)
        caller = None
        if when != "idle":
            caller = asyncio.create_task(outcome_of(provider.connect_if_authenticated()))
            await settle()
        if when == "connected":
            assert caller is not None
            assert await caller is Outcome.OPENED
        await asyncio.gather(provider.aclose(), provider.aclose())
        await provider.aclose()
        if when in ("asking", "dialling"):
            assert caller is not None
            assert isinstance(await caller, ClientClosed)
        assert (server.open_now, accounts.running, provider.status.is_closed) == (0, 0, True)
        for verb in (provider.connect_if_authenticated, provider.login):
            with pytest.raises(ClientClosed):
                await verb()
        await provider.logout()

    main()


@on_virtual_time
async def test_aclose_does_not_wait_forever_for_a_stubborn_callback() -> None:
    release = asyncio.Event()

    async def auth() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    provider = make(MemoryServer(), auth)
    caller = asyncio.create_task(outcome_of(provider.connect_if_authenticated()))
    await settle()
    async with asyncio.timeout(2):
        await provider.aclose()
    assert isinstance(await caller, ClientClosed)
    release.set()
    await settle()


def test_options_are_checked_at_once() -> None:
    with pytest.raises(InvalidURL):
        Provider("http://example.org", auth=lambda: None)
    for options in ({"make_client": 3}, {"auth": "a token"}, {"auth_timeout": 0}, {"notices": print}):
        arguments: dict[str, Any] = {"make_client": "ws://example.org", "auth": lambda: None} | options
        with pytest.raises(InvalidOption):
            Provider(**arguments)


def test_it_belongs_to_one_event_loop() -> None:
    provider = Provider("ws://example.org", auth=lambda: None)
    assert asyncio.run(provider.connect_if_authenticated()) is Outcome.NOT_AUTHENTICATED
    with pytest.raises(WrongEventLoop):
        asyncio.run(provider.connect_if_authenticated())


@on_virtual_time
async def test_no_secret_is_shown() -> None:
    server = MemoryServer()
    provider = make(server, lambda: "plain-s3cret")
    await provider.connect_if_authenticated()
    for shown in (repr(provider), repr(provider.status), str(provider.client), repr(ALICE), repr(provider.notices)):
        assert "s3cret" not in shown
    assert "alice" in repr(ALICE)
    assert "the server" in repr(provider)
    assert provider.status.is_connected
    await provider.aclose()
    assert "closed" in repr(provider)


# --- the current provider -------------------------------------------------------------------------------------------


@on_virtual_time
async def test_the_current_provider_nests_and_reaches_tasks() -> None:
    outer, inner = (Provider("ws://example.org", auth=lambda: None) for _ in range(2))

    async def component() -> Provider:
        return current_provider()

    with pytest.raises(NoCurrentProvider, match="use"):
        current_provider()
    with use(outer) as same:
        assert same is outer
        started_outside = asyncio.create_task(component())
        with use(inner):
            assert await asyncio.create_task(component()) is inner
            assert await started_outside is outer
        assert current_provider() is outer
        with pytest.raises(ZeroDivisionError), use(inner):
            raise ZeroDivisionError
        assert current_provider() is outer
    with pytest.raises(LookupError):
        current_provider()


# --- any interleaving -----------------------------------------------------------------------------------------------


async def run_virtual_provider(seed: int) -> None:
    chance = random.Random(seed)
    server = MemoryServer(latency=chance.choice((0.0, 0.01, 0.3)))

    def on_dial(peer: MemoryPeer) -> None:
        if chance.random() < 0.15:
            peer.refuse(ConnectionRefused("nobody home"))
        else:
            peer.accept()
            if chance.random() < 0.2:
                asyncio.get_running_loop().call_later(chance.random(), peer.drop)

    server.on_dial = on_dial
    people: list[Any] = [ALICE, BOB, "carol-s3cret", None, OSError("no route")]
    who: Any = ALICE

    async def auth() -> Any:
        said = who
        await asyncio.sleep(chance.choice((0, 0, 0.01, 0.5)))
        if isinstance(said, Exception):
            raise said
        return said

    provider = make(server, auth)
    verbs: list[Callable[[], Awaitable[Any]]] = [
        provider.connect_if_authenticated,
        provider.connect_if_authenticated,
        provider.login,
        lambda: provider.login(BOB),
        lambda: provider.login("carol-s3cret"),
        provider.logout,
    ]

    async def call_one(verb: Callable[[], Awaitable[Any]]) -> Any:
        return await outcome_of(verb())  # called in here: a task may be cancelled before it starts

    calls: list[asyncio.Task[Any]] = []
    for _ in range(40):
        if chance.random() < 0.3:
            who = chance.choice(people)
        calls.append(asyncio.create_task(call_one(chance.choice(verbs))))
        if chance.random() < 0.3:
            chance.choice(calls).cancel()
        await asyncio.sleep(chance.choice((0, 0, 0, 0.01, 0.2, 1.5)))
    async with asyncio.timeout(60):  # never hangs
        await asyncio.gather(*calls, return_exceptions=True)
    for call in calls:
        assert call.cancelled() or call.exception() is None, call
    assert server.most_open <= 1, server

    await provider.logout()
    await asyncio.sleep(100)
    assert server.open_now == 0, "a connection after logout"
    who = ALICE
    server.on_dial = None
    assert await provider.login() is Outcome.OPENED
    assert server.open_now == 1
    await settle()
    assert ids(provider) == []
    assert tokens(server)[-1] == ALICE.token
    await provider.aclose()
    assert (server.open_now, server.most_open) == (0, 1)


@pytest.mark.parametrize("block", range(4))
def test_any_interleaving_has_one_connection_at_most_and_none_after_logout(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        print(f"seed {seed}")  # noqa: T201 - shown when it fails; play(seed) replays it

        @on_virtual_time
        async def main(seed: int = seed) -> None:
            await run_virtual_provider(seed)

        main()


# --- rotations --------------------------------------------------------------------------------------------------------


def make_rotating(server: MemoryServer, auth: ScriptedAuth, board: ProviderBoard | None = None) -> Provider:
    def client(token: Callable[[], Awaitable[str]]) -> Client:
        rotation = Rotation(identity=lambda message: message, overlap=0.1)
        return Client(
            "ws://memory.test/", transport=server.transport(), token=token, ping_interval=None, rotation=rotation
        )

    return Provider(client, auth=auth, notices=board or ProviderBoard())


@on_virtual_time
async def test_a_rotation_asks_for_the_identity_and_keeps_the_client() -> None:
    server, auth, board = MemoryServer(), ScriptedAuth(), ProviderBoard()
    async with make_rotating(server, auth, board) as provider:
        await provider.connect_if_authenticated()
        client = provider.client
        assert client is not None
        auth.who = Identity("alice", "renewed")
        assert await client.rotate() is Outcome.OPENED
        assert provider.client is client
        assert [peer.request.headers[-1][1] for peer in server.peers] == ["Bearer alice-s3cret", "Bearer renewed"]
        assert (server.open_now, server.most_open, board.shown) == (1, 2, [])


@on_virtual_time
async def test_a_rotation_that_finds_another_identity_gives_way_to_its_connection() -> None:
    server, auth = MemoryServer(), ScriptedAuth()
    async with make_rotating(server, auth) as provider:
        await provider.connect_if_authenticated()
        client = provider.client
        assert client is not None
        auth.who = BOB
        with pytest.raises(OnesocketError):
            await client.rotate()
        assert await provider.connect_if_authenticated() in (Outcome.JOINED, Outcome.ALREADY_CONNECTED)
        assert provider.client is not client
        assert [peer.request.headers[-1][1] for peer in server.peers] == ["Bearer alice-s3cret", "Bearer bob-s3cret"]
        assert (server.open_now, server.most_open) == (1, 1)


@on_virtual_time
async def test_a_rotation_without_a_signed_in_user_fails_and_logout_ends_both_connections() -> None:
    server, auth = MemoryServer(), ScriptedAuth()
    async with make_rotating(server, auth) as provider:
        await provider.connect_if_authenticated()
        client = provider.client
        assert client is not None
        auth.who = None
        with pytest.raises(SessionExpired):
            await client.rotate()
        assert (client.state, client.epoch, server.open_now) == (State.CONNECTED, 1, 1)
        auth.who = ALICE
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(0.05)
        assert server.open_now == 2
        await provider.logout()
        with pytest.raises(ConnectAborted):
            await rotating
        assert server.open_now == 0
        with pytest.raises(ManuallyDisconnected):
            await client.rotate()
