"""Providers that share one connection for each identity: left by each logout, kept for the rest."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from onesocket import Client, Identity, Json, Outcome, Provider, SharedClient, State, blocking, join
from onesocket.errors import (
    ConnectAborted,
    ConnectionRefused,
    InvalidOption,
    ManuallyDisconnected,
    OnesocketError,
    SessionExpired,
    TokenFailed,
    UsageError,
)
from onesocket.notices import Notices
from onesocket.provider import current_provider, use
from onesocket.sharing import JoinRequest, OptionConflict
from onesocket.sharing._registry import current_registry
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.onesocket.provider.scripted_auth import ALICE, BOB, ScriptedAuth
from tests.unit.virtual_time import on_virtual_time, settle

URL = "ws://memory.test/"


def make(server: MemoryServer, auth: Any, **options: Any) -> Provider[SharedClient]:
    transport = server.transport()
    return Provider(
        lambda token: join(URL, token=token, scope="loop", transport=transport, ping_interval=None, **options),
        auth=auth,
        notices=Notices(),
    )


def existing(provider: Provider[SharedClient]) -> SharedClient:
    assert provider.client is not None
    return provider.client


async def lose(peer: MemoryPeer, shared: SharedClient) -> None:
    peer.drop()
    await shared.wait_for(State.BACKING_OFF, State.CONNECTING, timeout=10)


def tokens(server: MemoryServer) -> list[str]:
    return [dict(peer.request.headers)["Authorization"].removeprefix("Bearer ") for peer in server.peers]


async def raised(work: Any) -> OnesocketError:
    with pytest.raises(OnesocketError) as failure:
        await work
    return failure.value


@on_virtual_time
async def test_providers_of_one_identity_share_one_connection() -> None:
    server = MemoryServer(latency=0.1)
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth(Identity("alice", "renewed")))
    outcomes = await asyncio.gather(*(provider.connect_if_authenticated() for provider in (one, two) * 50))
    assert len(server.peers) == 1
    assert set(outcomes) <= {Outcome.OPENED, Outcome.JOINED}
    assert outcomes.count(Outcome.OPENED) == 1
    heard = [existing(provider).subscribe() for provider in (one, two)]
    server.peers[0].send("hello")
    assert [await anext(stream) for stream in heard] == ["hello", "hello"]
    await existing(two).send("from two")
    assert await two.connect_if_authenticated() is Outcome.ALREADY_CONNECTED
    await one.aclose()
    assert server.open_now == 1, "the other one still uses it"
    assert existing(two).state is State.CONNECTED
    await two.aclose()
    assert server.open_now == 0
    assert len(current_registry()) == 0


@on_virtual_time
async def test_links_of_the_same_token_source_and_other_identities_are_told_apart() -> None:
    server = MemoryServer()
    one, two = make(server, ScriptedAuth(ALICE)), make(server, ScriptedAuth(BOB))
    await asyncio.gather(one.connect_if_authenticated(), two.connect_if_authenticated())
    assert sorted(tokens(server)) == ["alice-s3cret", "bob-s3cret"]
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_logout_leaves_the_connection_to_the_others_and_holds_ones_own() -> None:
    server = MemoryServer()
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth())
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    stream = existing(one).subscribe()
    await one.logout()
    assert (one.client, server.open_now) == (None, 1)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert isinstance(await raised(one.connect_if_authenticated()), ManuallyDisconnected)
    assert await one.login() is Outcome.ALREADY_CONNECTED
    assert len(server.peers) == 1
    await one.logout()
    await two.logout()
    assert server.open_now == 0, "the last one out closed it"
    assert await two.login() is Outcome.OPENED
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_the_last_ones_logout_returns_when_the_connection_is_closed() -> None:
    server = MemoryServer(latency=1.0)
    provider = make(server, ScriptedAuth())
    await provider.connect_if_authenticated()
    await provider.logout()
    assert server.open_now == 0
    await provider.aclose()


@on_virtual_time
async def test_another_identity_leaves_the_old_connection_before_the_new_one_is_dialled() -> None:
    server = MemoryServer(latency=0.5)
    accounts = ScriptedAuth()
    one, two = make(server, accounts), make(server, accounts)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    accounts.who = BOB
    assert await one.login() is Outcome.OPENED
    assert tokens(server) == ["alice-s3cret", "bob-s3cret"]
    assert server.open_now == 2, "two is still signed in as alice"
    assert await two.login() is Outcome.ALREADY_CONNECTED
    assert server.open_now == 1
    counted: list[int] = []

    def count(peer: MemoryPeer) -> None:
        counted.append(server.open_now)
        peer.accept()

    server.on_dial = count
    accounts.who = ALICE
    two_left = asyncio.create_task(two.logout())
    await one.login()
    await two_left
    assert counted in ([1], [2])
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_a_lost_connection_is_resumed_with_the_token_of_somebody_who_is_still_there() -> None:
    server = MemoryServer()
    first, second = ScriptedAuth(Identity("alice", "first's")), ScriptedAuth(Identity("alice", "second's"))
    one, two = make(server, first), make(server, second)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    await one.aclose()
    asked = first.calls
    second.who = Identity("alice", "second's, renewed")
    await lose(server.peers[0], existing(two))
    await existing(two).wait_for(State.CONNECTED, timeout=100)
    assert tokens(server) == ["first's", "second's, renewed"]
    assert first.calls == asked
    await two.aclose()


@on_virtual_time
async def test_who_signed_out_meanwhile_leaves_and_the_others_go_on() -> None:
    server = MemoryServer()
    first, second = ScriptedAuth(), ScriptedAuth()
    one, two = make(server, first), make(server, second)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    second.who = None  # the newest: it's asked first
    await lose(server.peers[0], existing(one))
    await existing(one).wait_for(State.CONNECTED, timeout=100)
    await settle()
    assert two.client is None
    assert [notice.id for notice in two.notices.active] == ["session-expired"]
    assert one.notices.active == ()
    assert await two.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    second.who = ALICE
    assert await two.connect_if_authenticated() is Outcome.ALREADY_CONNECTED
    assert two.notices.active == ()
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_when_everybody_signed_out_the_connection_ends() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    one, two = make(server, accounts), make(server, accounts)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    accounts.who = None
    server.peers[0].drop()
    async with asyncio.timeout(100):
        await asyncio.gather(*(existing(provider).left() for provider in (one, two)))
    assert (one.client, two.client, server.open_now, len(server.peers)) == (None, None, 0, 1)
    assert len(current_registry()) == 0
    accounts.who = BOB
    assert await one.connect_if_authenticated() is Outcome.OPENED
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_somebody_else_signed_in_while_the_connection_was_lost() -> None:
    server = MemoryServer()
    first, second = ScriptedAuth(), ScriptedAuth()
    one, two = make(server, first), make(server, second)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    alices = existing(two)
    second.who = BOB
    await lose(server.peers[0], existing(one))
    await existing(one).wait_for(State.CONNECTED, timeout=100)
    await alices.wait_for(State.CLOSED, timeout=100)
    await alices.left()
    await settle()  # it dials for bob on its own
    await existing(two).wait_for(State.CONNECTED, timeout=100)
    assert sorted(tokens(server)) == ["alice-s3cret", "alice-s3cret", "bob-s3cret"]
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_a_source_that_fails_is_passed_over() -> None:
    server = MemoryServer()
    first, second = ScriptedAuth(), ScriptedAuth()
    one, two = make(server, first), make(server, second)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    second.who = ValueError("the service is down, s3cret")
    await lose(server.peers[0], existing(one))
    await existing(one).wait_for(State.CONNECTED, timeout=100)
    assert second.calls >= 2
    await one.aclose()
    assert existing(two).state is State.CONNECTED
    changes = existing(two).changes()
    server.peers[1].drop()
    async with asyncio.timeout(100):
        error = await anext(change.error async for change in changes if isinstance(change.error, TokenFailed))
    assert "s3cret" not in str(error)
    await two.aclose()


@on_virtual_time
async def test_a_source_that_hangs_does_not_keep_the_others_from_being_asked() -> None:
    server = MemoryServer()
    first, second = ScriptedAuth(), ScriptedAuth()
    one, two = make(server, first), make(server, second)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    hang = asyncio.Event()

    async def busy() -> str:
        await hang.wait()
        return "late"

    shared = join(URL, token=existing(two).token_source, scope="loop").client()
    shared.token_source = busy
    await lose(server.peers[0], existing(one))
    await existing(one).wait_for(State.CONNECTED, timeout=9)
    assert tokens(server)[-1] == "alice-s3cret"
    await shared.aclose()
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_an_attempt_that_fails_fails_for_all_and_can_be_made_again() -> None:
    server = MemoryServer()
    server.on_dial = lambda peer: peer.refuse(ConnectionRefused("not today"))
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth())
    errors = await asyncio.gather(raised(one.connect_if_authenticated()), raised(two.connect_if_authenticated()))
    assert [str(error) for error in errors] == ["not today"] * 2
    assert len(server.peers) == 1
    stream = existing(two).subscribe(raise_on_failure=False)
    server.on_dial = None
    assert await one.connect_if_authenticated() is Outcome.OPENED
    server.peers[1].send("to a reader from before")
    assert await anext(stream) == "to a reader from before"
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_logout_in_the_midst_of_an_attempt_hurts_nobody_else() -> None:
    server = MemoryServer()
    server.on_dial = lambda peer: None
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth())
    waiting = [asyncio.create_task(provider.connect_if_authenticated()) for provider in (one, two)]
    await settle()
    await one.logout()
    assert isinstance(await raised(waiting[0]), ConnectAborted)
    server.peers[0].accept()
    assert await waiting[1] in (Outcome.OPENED, Outcome.JOINED)
    assert len(server.peers) == 1
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_a_message_handler_may_log_out_and_in() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    provider = make(server, accounts)
    await provider.connect_if_authenticated()
    done = asyncio.Event()

    async def handler(message: Any) -> None:
        accounts.who = BOB
        await provider.login()
        await provider.logout()
        await provider.login()
        done.set()

    existing(provider).on(handler)
    server.peers[0].send("go")
    async with asyncio.timeout(50):
        await done.wait()
    assert tokens(server) == ["alice-s3cret", "bob-s3cret", "bob-s3cret"]
    assert server.open_now == 1
    await provider.aclose()


@on_virtual_time
async def test_a_disconnect_of_the_shared_connection_holds_for_components_and_is_lifted_by_login() -> None:
    server = MemoryServer()
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth())
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    await existing(one).disconnect()
    assert isinstance(await raised(two.connect_if_authenticated()), ManuallyDisconnected)
    assert await two.login() is Outcome.OPENED
    assert await one.connect_if_authenticated() is Outcome.ALREADY_CONNECTED
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_conflicting_options_are_told_to_whoever_came_second() -> None:
    server = MemoryServer()
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth(), open_timeout=3.0)
    await one.connect_if_authenticated()
    error = await raised(two.connect_if_authenticated())
    assert isinstance(error, OptionConflict)
    assert two.client is None
    await one.aclose()
    await two.aclose()
    assert len(current_registry()) == 0


@on_virtual_time
async def test_a_client_of_ones_own_is_called_with_the_token_source() -> None:
    server = MemoryServer()
    transport = server.transport()
    built: list[Client] = []

    def client(token: Any) -> Client:
        built.append(Client(URL, token=token, transport=transport, ping_interval=None))
        return built[-1]

    providers = [
        Provider(lambda token: join(URL, token=token, client_factory=client, scope="loop"), auth=ScriptedAuth())
        for _ in range(3)
    ]
    await asyncio.gather(*(provider.connect_if_authenticated() for provider in providers))
    assert (len(built), tokens(server)) == (1, ["alice-s3cret"])
    for provider in providers:
        await provider.aclose()


async def test_what_make_client_may_return() -> None:
    wrong: Any = lambda token: "a client"  # noqa: E731
    with pytest.raises(UsageError, match=r"onesocket\.join"):
        await Provider(wrong, auth=lambda: "token").connect_if_authenticated()
    joining = join(URL, token=lambda: "token")
    with pytest.raises(UsageError, match="token=token"):
        await Provider(lambda _: joining, auth=lambda: "token").connect_if_authenticated()
    assert len(current_registry()) == 0
    server = MemoryServer()

    class Linked(Client):
        def shared(self) -> None:
            """Of its own, and something else."""

    async with Provider(
        lambda token: Linked(URL, token=token, transport=server.transport()), auth=ScriptedAuth()
    ) as own:
        assert await own.connect_if_authenticated() is Outcome.OPENED


@on_virtual_time
async def test_links_of_a_named_key_bring_their_own_token_sources() -> None:
    server = MemoryServer()
    transport = server.transport()

    def source(token: str) -> Any:
        return lambda: token

    one = await join(URL, key="us", token=source("one's"), scope="loop", transport=transport)
    two = await join(URL, key="us", token=source("two's"), scope="loop", transport=transport)
    await one.aclose()
    await lose(server.peers[0], two)
    await two.wait_for(State.CONNECTED, timeout=100)
    assert tokens(server) == ["one's", "two's"]
    await two.aclose()
    async with join(URL, key="us", scope="loop", transport=transport):
        with pytest.raises(OptionConflict, match="token"):
            await join(URL, key="us", token=source("one's"), scope="loop", transport=transport)
    with pytest.raises(InvalidOption, match="token="):
        join(URL, scope="host", client_factory=lambda: Client(URL))


@on_virtual_time
async def test_a_client_can_be_read_before_it_connects_and_after_it_failed() -> None:
    server = MemoryServer()
    joining = join(URL, scope="loop", transport=server.transport())
    shared = joining.client()
    assert (shared.state, server.peers) == (State.DISCONNECTED, [])
    stream = shared.subscribe()
    server.on_dial = lambda peer: peer.refuse(SessionExpired("not today"))
    with pytest.raises(SessionExpired):
        await shared.connect()

    def greet(peer: MemoryPeer) -> None:
        peer.accept()
        peer.send("first")

    server.on_dial = greet
    assert await shared.connect() is Outcome.OPENED
    assert await anext(stream) == "first"
    await shared.aclose()
    await shared.left()
    fresh = join(URL, scope="loop", transport=server.transport()).client()
    assert await fresh.reconnect() is Outcome.OPENED
    await fresh.disconnect()
    await fresh.aclose()
    unused = join(URL, scope="loop", transport=server.transport()).client()
    await unused.aclose()
    assert len(current_registry()) == 0


# --- what is taken from nobody, and left by everybody ---------------------------------------------------------------


@on_virtual_time
async def test_who_is_signed_out_leaves_a_connection_that_rests_too() -> None:
    server = MemoryServer()
    accounts = ScriptedAuth()
    one, two = make(server, accounts), make(server, ScriptedAuth())
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    await existing(two).disconnect()
    accounts.who = None
    assert await one.connect_if_authenticated() is Outcome.NOT_AUTHENTICATED
    assert (one.client, one.notices.active) == (None, ())
    assert await two.login() is Outcome.OPENED
    await two.aclose()
    assert server.open_now == 0
    await one.aclose()


@on_virtual_time
async def test_a_logout_during_the_question_does_not_end_the_attempt_for_the_others() -> None:
    server = MemoryServer()
    first, second = ScriptedAuth(), ScriptedAuth()
    one, two = make(server, first), make(server, second)
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    first.who = ConnectionError("down for a moment")
    second.gate.clear()
    await lose(server.peers[0], existing(one))
    await settle()
    assert second.running == 1
    await two.logout()
    first.who = ALICE
    second.gate.set()
    assert await one.connect_if_authenticated() in (Outcome.OPENED, Outcome.JOINED)
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_who_asks_for_the_connection_is_asked_first() -> None:
    server = MemoryServer()
    one, two = (
        make(server, ScriptedAuth(Identity("alice", "old"))),
        make(server, ScriptedAuth(Identity("alice", "older"))),
    )
    await one.connect_if_authenticated()
    await two.connect_if_authenticated()
    await existing(one).disconnect()
    assert await one.login(Identity("alice", "renewed")) is Outcome.OPENED
    assert tokens(server) == ["old", "renewed"]
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_a_first_attempt_that_nobody_waits_for_any_more_leaves_nothing_behind() -> None:
    server = MemoryServer()
    server.on_dial = lambda peer: None
    one, two = make(server, ScriptedAuth()), make(server, ScriptedAuth())
    impatient = asyncio.create_task(one.connect_if_authenticated())
    await settle()
    patient = asyncio.create_task(two.connect_if_authenticated())
    await settle()
    impatient.cancel()
    await asyncio.wait([impatient])
    await settle()
    assert one.client is None
    server.peers[0].accept()
    await patient
    await two.logout()
    assert server.open_now == 0
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_a_provider_that_is_only_forgotten_does_not_keep_the_connection_up() -> None:
    server = MemoryServer()
    provider: Provider[SharedClient] | None = make(server, ScriptedAuth())
    assert provider is not None
    await provider.connect_if_authenticated()
    assert server.open_now == 1
    provider = None
    gc.collect()
    await asyncio.sleep(10)
    assert server.open_now == 0
    assert len(current_registry()) == 0


@on_virtual_time
async def test_the_same_name_does_not_make_two_identities_one() -> None:
    server = MemoryServer()
    one, two = make(server, ScriptedAuth(ALICE), key="feed"), make(server, ScriptedAuth(BOB), key="feed")
    await one.connect_if_authenticated()
    assert isinstance(await raised(two.connect_if_authenticated()), OptionConflict)
    await one.aclose()
    await two.aclose()


@on_virtual_time
async def test_a_protocol_that_was_used_is_still_the_one_that_was_made() -> None:
    server = MemoryServer()
    one, two = (make(server, ScriptedAuth(), protocol=Json()) for _ in range(2))
    await one.connect_if_authenticated()
    await one.logout()
    await one.login()
    assert await two.connect_if_authenticated() is Outcome.ALREADY_CONNECTED
    await one.aclose()
    await two.aclose()


async def test_no_token_is_in_the_log_of_slow_tasks(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(enabled=True)
    loop.slow_callback_duration = 0
    server = MemoryServer()
    try:
        async with make(server, ScriptedAuth()) as provider:
            await provider.connect_if_authenticated()
    finally:
        loop.set_debug(enabled=False)
    assert "onesocket asks for a token" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_provider_of_another_loop_is_asked_on_its_own() -> None:
    """Its token source was handed to a shared client elsewhere, whose owner thread asks."""
    server = MemoryServer()
    asked: list[threading.Thread] = []
    sources: list[Any] = []

    def auth() -> Identity:
        asked.append(threading.current_thread())
        return ALICE

    def share(token: Any) -> JoinRequest:
        sources.append(token)
        return join(URL, token=token, scope="loop", transport=server.transport())

    def elsewhere() -> None:
        with blocking.join(URL, token=sources[0], transport=server.transport()):
            pass

    async with Provider(share, auth=auth, notices=Notices()) as provider:
        await provider.connect_if_authenticated()
        await asyncio.to_thread(elsewhere)
    assert tokens(server) == ["alice-s3cret"] * 2
    assert set(asked) == {threading.main_thread()}
    fails = asyncio.to_thread(asyncio.run, raised(sources[0]()))
    assert isinstance(await fails, ConnectAborted), "it has left"


def test_the_current_provider_may_be_one_that_shares() -> None:
    provider = make(MemoryServer(), ScriptedAuth())
    with use(provider) as current:
        shared: SharedClient | None = current.client
        assert shared is None
        assert current_provider() is provider
