"""The provider over real sockets: the server on loopback counts, never the client."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from onesocket import Client, Identity, OnesocketError, Outcome, Provider, Raw, ReconnectPolicy, State, TokenQuery
from onesocket.errors import HandshakeRejected, ManuallyDisconnected, SessionExpired
from onesocket.notices import Notice, Notices
from onesocket.testing._faults import Fault
from onesocket.testing._faulty_server import FaultyServer

ALICE = Identity("alice", "alice-s3cret")
BOB = Identity("bob", "bob-s3cret")
RECONNECT = ReconnectPolicy(initial=0.01, cap=0.02, stable_after=0.05)


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(close_timeout=0.5) as server:
        yield server
        assert server.counts.most_sockets <= 1
        assert server.counts.premature_closes == 0
        assert server.counts.unclean_closes == 0
        assert server.counts.protocol_errors == 0


def make(server: FaultyServer, auth: Any, **options: Any) -> Provider:
    def client(token: Callable[[], Awaitable[str]]) -> Client:
        return Client(
            server.url, token=token, protocol=Raw(token_place=TokenQuery()), reconnect=RECONNECT, ping_interval=None
        )

    return Provider(client, auth=auth, notices=Notices(), **options)


def tokens(server: FaultyServer) -> list[str]:
    return [connection.request_path.partition("token=")[2] for connection in server.connections]


def existing(provider: Provider) -> Client:
    assert provider.client is not None
    return provider.client


async def test_two_hundred_components_make_one_handshake(server: FaultyServer) -> None:
    async with Provider(server.url, auth=lambda: "s3cret") as provider:
        outcomes = await asyncio.gather(*(provider.connect_if_authenticated() for _ in range(200)))
        assert outcomes.count(Outcome.OPENED) == 1
        assert outcomes.count(Outcome.JOINED) == 199
        stream = existing(provider).subscribe()
        await existing(provider).send("hello")
        assert await anext(stream) == "hello"
        assert (server.counts.handshakes, server.counts.open_now) == (1, 1)
    assert (server.counts.handshakes, server.counts.open_now) == (1, 0)


async def test_without_a_token_the_server_hears_nothing(server: FaultyServer) -> None:
    async with make(server, lambda: None) as provider:
        assert await provider.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    assert server.counts.tcp_accepted == 0


async def test_a_failed_connection_is_a_notice_until_the_connection_is_back(server: FaultyServer) -> None:
    server.faults = [Fault.refuse(403), Fault.refuse(503)]
    shown: list[Notice] = []
    async with make(server, lambda: ALICE) as provider:
        provider.notices.add(RecordingNoticeSink(shown))
        for _ in range(2):
            with pytest.raises(HandshakeRejected):
                await provider.connect_if_authenticated()
            (notice,) = provider.notices.active
            assert notice.id == "connection-failed"
            assert notice.title == "Connection Failed"
            assert notice.text.startswith("Failed to connect to the server: ")
            assert ALICE.token not in notice.text
        assert await provider.connect_if_authenticated() is Outcome.OPENED
        assert provider.notices.active == ()
        assert len(shown) == 2  # 503 is news after 403
        assert shown[0].since == shown[1].since
    assert server.counts.handshakes == 3


class RecordingNoticeSink:
    def __init__(self, shown: list[Notice]) -> None:
        self._shown = shown

    def show(self, notice: Notice) -> None:
        self._shown.append(notice)

    def withdraw(self, notice_id: str) -> None:
        pass


async def test_logout_holds_against_components_that_go_on_asking(server: FaultyServer) -> None:
    async with make(server, lambda: ALICE) as provider:
        await provider.login()
        late = [asyncio.create_task(provider.connect_if_authenticated()) for _ in range(20)]
        await provider.logout()
        late += [asyncio.create_task(provider.connect_if_authenticated()) for _ in range(20)]
        results = await asyncio.gather(*late, return_exceptions=True)
        assert {type(result) for result in results[20:]} == {ManuallyDisconnected}
        assert (server.counts.open_now, server.counts.handshakes) == (0, 1)
        assert server.counts.close_codes == {1000: 1}
        assert await provider.login() is Outcome.OPENED
        assert server.counts.handshakes == 2


async def test_another_identity_never_overlaps_with_the_old_one(server: FaultyServer) -> None:
    people = [ALICE, BOB]
    async with make(server, lambda: people[0]) as provider:
        for _ in range(10):
            assert await provider.login() is Outcome.OPENED
            assert tokens(server) == [people[0].token]
            people.reverse()
    assert (server.counts.handshakes, server.counts.most_open) == (10, 1)


async def test_logout_during_the_upgrade_waits_for_it_and_leaves_nothing(server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = Fault.hold_upgrade(release)
    async with make(server, lambda: ALICE) as provider:
        caller = asyncio.create_task(provider.connect_if_authenticated())
        await server.wait_until(lambda counts: counts.handshakes == 1)
        leaving = asyncio.create_task(provider.logout())
        with pytest.raises(OnesocketError):
            await caller
        release.set()
        await leaving
        await server.wait_until(lambda counts: counts.open_now == 0)
        assert server.counts.handshakes == 1


async def test_a_lost_connection_is_resumed_with_a_fresh_token_until_the_session_expires(server: FaultyServer) -> None:
    answers: list[Any] = [ALICE, Identity("alice", "renewed"), None]
    async with make(server, lambda: answers.pop(0) if answers else None) as provider:
        await provider.connect_if_authenticated()
        client = existing(provider)
        assert tokens(server) == [ALICE.token]
        changes = client.changes()
        server.kill_connections()
        async for change in changes:
            if change.new is State.CONNECTED:
                break
        assert tokens(server) == ["renewed"]
        await server.close_connections(1012)
        async for change in changes:
            if change.new is State.FAILED:
                assert isinstance(change.error, SessionExpired)
                break
        assert await provider.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
        assert [notice.id for notice in provider.notices.active] == ["session-expired"]
    assert server.counts.handshakes == 2


async def test_a_resumption_that_finds_somebody_else_closes_first(server: FaultyServer) -> None:
    answers = [ALICE]
    async with make(server, lambda: answers.pop() if answers else BOB) as provider:
        await provider.connect_if_authenticated()
        old = existing(provider)
        server.kill_connections()
        await old.wait_for(State.CLOSED)
        await server.wait_until(lambda counts: counts.upgraded == 2)
        assert tokens(server) == [BOB.token]
        assert await provider.connect_if_authenticated() in {Outcome.JOINED, Outcome.ALREADY_CONNECTED}
    assert server.counts.handshakes == 2


async def outcome_of(verb: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await verb()
    except OnesocketError as error:
        return error


@pytest.mark.parametrize("seed", range(20))
async def test_any_interleaving(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    chance = random.Random(seed)

    def fault(_connection: object) -> Fault | None:
        return chance.choice(
            [
                None,
                None,
                Fault.slow_upgrade(0.02),
                Fault.refuse(503),
                Fault.accept_then_close(1012),
                Fault.never_acknowledge_close(),
            ]
        )

    async with FaultyServer(faults=fault, close_timeout=0.2) as server:
        who: Any = ALICE

        async def auth() -> Any:
            said = who
            await asyncio.sleep(chance.choice((0, 0, 0.002)))
            return said

        def client(token: Callable[[], Awaitable[str]]) -> Client:
            return Client(server.url, token=token, reconnect=RECONNECT, ping_interval=None, close_timeout=0.05)

        provider = Provider(client, auth=auth, notices=Notices())
        verbs: list[Callable[[], Awaitable[Any]]] = [
            provider.connect_if_authenticated,
            provider.connect_if_authenticated,
            provider.login,
            lambda: provider.login(BOB),
            provider.logout,
        ]
        calls: list[asyncio.Task[Any]] = []
        for _ in range(60):
            if chance.random() < 0.2:
                who = chance.choice([ALICE, BOB, None])
            calls.append(asyncio.create_task(outcome_of(chance.choice(verbs))))
            if chance.random() < 0.3:
                chance.choice(calls).cancel()
            # Not to wait for anything: this is the interleaving itself.
            await asyncio.sleep(chance.choice((0, 0, 0, 0.001, 0.01)))
        async with asyncio.timeout(20):  # never hangs
            await asyncio.gather(*calls, return_exceptions=True)
        await provider.logout()
        await server.wait_until(lambda counts: counts.open_now == 0)
        handshakes = server.counts.handshakes
        assert isinstance(await outcome_of(provider.connect_if_authenticated), ManuallyDisconnected)
        server.faults = None
        who = BOB
        assert await provider.login() is Outcome.OPENED
        assert server.counts.handshakes == handshakes + 1
        await provider.aclose()
        await server.wait_until(lambda counts: counts.open_now == 0)
        assert server.counts.most_open == 1
        assert server.counts.premature_closes == 0
