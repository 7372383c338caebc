"""The hook of the policy, and tokens that the server refuses."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from onesocket.client._client import Client
from onesocket.errors import (
    ClientClosed,
    ClosedByPeer,
    ConnectionReset,
    HandshakeRejected,
    InvalidOption,
    OnesocketError,
    OpenTimeout,
    ServerBusy,
    TokenFailed,
)
from onesocket.lifecycle._guards import MAX_TOKEN_REQUESTS
from onesocket.lifecycle._peer_errors import handshake_rejected
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict
from onesocket.protocols._raw import Raw
from onesocket.sharing._join import join
from onesocket.testing._virtual_time import run_virtual
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.virtual_time import on_virtual_time

URL = "ws://memory.test/"


def make(server: MemoryServer, **options: Any) -> Client:
    return Client(URL, transport=server.transport(), **options)


# --- the hook ---------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_the_hook_decides_about_each_failure() -> None:
    server = MemoryServer()
    seen: list[OnesocketError] = []

    def verdict(error: OnesocketError) -> Verdict | None:
        seen.append(error)
        if isinstance(error, ClosedByPeer):
            return {4100: Verdict.FAIL, 1010: Verdict.RETRY, 4200: Verdict.SLOW}.get(error.code)
        return None

    client = make(server, reconnect=ReconnectPolicy(verdict=verdict))
    loop = asyncio.get_running_loop()
    await client.connect()
    server.peers[-1].close(1010)
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    await asyncio.sleep(20)
    server.peers[-1].close(4200, "out of lunch")
    lost_at = loop.time()
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    assert loop.time() - lost_at >= 30
    server.peers[-1].drop()
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    server.peers[-1].close(4100)
    await client.wait_for(State.FAILED)
    assert [(getattr(error, "code", None), getattr(error, "reason", None)) for error in seen] == [
        (1010, ""),
        (4200, "out of lunch"),
        (None, None),
        (4100, ""),
    ]
    await client.aclose()


@on_virtual_time
async def test_the_hook_sees_statuses_and_missed_deadlines_of_attempts_that_are_retried() -> None:
    server = MemoryServer()

    def answer(peer: MemoryPeer) -> None:
        if len(server.peers) == 1:
            peer.refuse(handshake_rejected(404, {}))

    server.on_dial = answer
    seen: list[OnesocketError] = []

    def verdict(error: OnesocketError) -> Verdict:
        seen.append(error)
        return Verdict.FAIL if isinstance(error, OpenTimeout) else Verdict.RETRY

    client = make(server, reconnect=ReconnectPolicy(verdict=verdict, first=True))
    with pytest.raises(OpenTimeout):
        await client.connect()
    assert [getattr(error, "status", None) for error in seen] == [404, None]
    server.on_dial = lambda peer: peer.refuse(handshake_rejected(404, {}))
    with pytest.raises(HandshakeRejected):
        await client.connect(retry=False)
    assert len(seen) == 2  # that attempt wasn't to be retried, whatever the verdict
    await client.aclose()


@on_virtual_time
async def test_the_hook_is_asked_about_a_limit_that_is_retried_because_of_our_own_close() -> None:
    server = MemoryServer()
    seen: list[OnesocketError] = []

    def verdict(error: OnesocketError) -> Verdict:
        seen.append(error)
        return Verdict.FAIL

    client = make(server, reconnect=ReconnectPolicy(verdict=verdict))
    await client.connect()
    limit = handshake_rejected(429, {}, "too many connections")
    server.on_dial = lambda peer: peer.refuse(limit)
    with pytest.raises(ServerBusy):
        await client.reconnect()
    assert (seen, len(server.peers)) == ([limit], 2)
    await client.aclose()


@pytest.mark.parametrize("wrong", ["raises", "a value", "a coroutine"])
@on_virtual_time
async def test_a_hook_that_fails_is_reported_and_counts_as_none(wrong: str) -> None:
    async def late() -> None: ...

    def verdict(_: OnesocketError) -> Any:
        match wrong:
            case "raises":
                raise ZeroDivisionError("oops")
            case "a value":
                return "retry"
            case _:
                return late()

    server = MemoryServer()
    reported: list[BaseException] = []
    client = make(server, reconnect=ReconnectPolicy(verdict=verdict), on_error=reported.append)
    await client.connect()
    server.peers[-1].drop()
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    (error,) = reported
    if wrong == "raises":
        assert isinstance(error, ZeroDivisionError)
    else:
        assert isinstance(error, InvalidOption)
        assert "must return a Verdict or None at once, not" in str(error)
    await client.aclose()


def test_a_hook_may_end_the_program() -> None:
    def verdict(_: OnesocketError) -> Verdict:
        raise KeyboardInterrupt

    async def main() -> None:
        server = MemoryServer()
        client = make(server, reconnect=ReconnectPolicy(verdict=verdict))
        await client.connect()
        server.peers[-1].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        await client.aclose()

    with pytest.raises(KeyboardInterrupt):
        run_virtual(main)
    with pytest.warns(ResourceWarning, match="unclosed"):  # such an end closes no client
        gc.collect()


class Forgetful(Raw):
    """A protocol whose verdicts are none."""

    def __init__(self, verdict: Any) -> None:
        super().__init__()
        self.verdict = verdict

    def closed(self, code: int, reason: str) -> Any:
        del code, reason
        return self.verdict


@pytest.mark.parametrize("verdict", [None, RuntimeError("no"), "retry"], ids=repr)
@on_virtual_time
async def test_a_protocol_whose_verdict_is_no_error_has_failed(verdict: Any) -> None:
    server = MemoryServer()
    client = make(server, protocol=Forgetful(verdict))
    await client.connect()
    server.peers[-1].close(4001)
    await client.wait_for(State.FAILED)
    assert str(client.status.last_error) == "the protocol raw failed: TypeError"
    await client.aclose()


# --- refused tokens ---------------------------------------------------------------------------------------------------


class TokenVenue:
    """A server that knows one token."""

    def __init__(self, valid: str) -> None:
        self.valid = valid
        self.server = MemoryServer()
        self.seen: list[str] = []
        self.server.on_dial = self._answer

    def client(self, source: Any, *, shared: bool) -> Any:
        """A client of this server with a token source."""
        if not shared:
            return make(self.server, token=source)
        return join(URL, scope="loop", token=source, transport=self.server.transport()).client()

    def _answer(self, peer: MemoryPeer) -> None:
        token = dict(peer.request.headers)["Authorization"].removeprefix("Bearer ")
        self.seen.append(token)
        if token == self.valid:
            peer.accept()
        else:
            peer.refuse(handshake_rejected(401, {}))


@pytest.mark.parametrize("shared", [False, True])
@on_virtual_time
async def test_a_refused_token_is_told_to_its_source_and_one_fresh_one_is_tried(shared: bool) -> None:
    venue, told = TokenVenue("one"), []
    tokens = ["one", "one", "two"]

    async def source(previous: str | None, error: OnesocketError | None) -> str:
        told.append((previous, getattr(error, "status", None)))
        return tokens.pop(0)

    client = venue.client(source, shared=shared)
    await client.connect()
    venue.valid = "two"
    venue.server.peers[-1].drop()
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    assert venue.seen == ["one", "one", "two"]
    assert told == [(None, None), (None, None), ("one", 401)]
    tokens += ["two", "three"]
    venue.valid = "another"
    venue.server.peers[-1].drop()
    await client.wait_for(State.FAILED)
    assert venue.seen[3:] == ["two", "three"]
    assert isinstance(client.status.last_error, HandshakeRejected)
    await client.aclose()


@on_virtual_time
async def test_a_source_that_still_has_the_old_token_is_asked_again() -> None:
    venue, cached, asked = TokenVenue("one"), ["one"], []

    def source() -> str:
        asked.append(asyncio.get_running_loop().time())
        return cached[0]

    client = make(venue.server, token=source)
    await client.connect()
    venue.valid = "two"
    venue.server.peers[-1].drop()
    asyncio.get_running_loop().call_later(12, cached.__setitem__, 0, "two")
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    assert venue.seen == ["one", "one", "two"]  # the server isn't asked with a token that it has refused
    assert 5 < len(asked) < MAX_TOKEN_REQUESTS
    await client.aclose()


@pytest.mark.parametrize("shared", [False, True])
@on_virtual_time
async def test_the_source_learns_of_each_refusal_also_by_the_next_call(shared: bool) -> None:
    venue, told = TokenVenue("two"), []

    async def source(previous: str | None, error: OnesocketError | None) -> str:
        told.append((previous, getattr(error, "status", None)))
        return "one" if len(told) < 3 else "two"

    client = venue.client(source, shared=shared)
    for _ in range(2):
        with pytest.raises(HandshakeRejected):
            await client.connect()
    await client.connect()
    await client.reconnect()
    assert told == [(None, None), ("one", 401), ("one", 401), (None, None)]
    assert venue.seen == ["one", "one", "two", "two"]  # each call asks the server
    await client.aclose()


@pytest.mark.parametrize("shared", [False, True])
@on_virtual_time
async def test_a_source_that_never_has_another_one_is_asked_for_minutes(shared: bool) -> None:
    venue, asked = TokenVenue("one"), []

    def source() -> str:
        asked.append("one")
        return "one"

    client = venue.client(source, shared=shared)
    await client.connect()
    venue.valid = "two"
    venue.server.peers[-1].drop()
    began = asyncio.get_running_loop().time()
    await client.wait_for(State.FAILED)
    assert 30 < asyncio.get_running_loop().time() - began < 300
    assert (len(asked), venue.seen) == (2 + MAX_TOKEN_REQUESTS, ["one", "one"])
    assert isinstance(client.status.last_error, HandshakeRejected)
    with pytest.raises(HandshakeRejected):
        await client.connect()
    assert len(venue.seen) == 3  # a new call asks the server
    await client.aclose()


@on_virtual_time
async def test_a_fixed_token_is_refused_once() -> None:
    venue = TokenVenue("one")
    client = make(venue.server, token="one")
    await client.connect()
    venue.valid = "two"
    venue.server.peers[-1].drop()
    await client.wait_for(State.FAILED)
    assert venue.seen == ["one", "one"]
    await client.aclose()


@on_virtual_time
async def test_a_first_connect_that_is_retried_gets_a_fresh_token_too() -> None:
    venue, tokens = TokenVenue("two"), ["one", "two"]
    client = make(venue.server, token=lambda: tokens.pop(0))
    await client.connect(retry=True)
    assert venue.seen == ["one", "two"]
    await client.aclose()


@on_virtual_time
async def test_another_members_token_wins_over_the_refused_one() -> None:
    venue = TokenVenue("old")
    transport = venue.server.transport()
    has_new = False

    def make_member(token: Any) -> Any:
        return join(URL, key="feed", scope="loop", token=token, transport=transport).client()

    second = make_member(lambda: "new" if has_new else "old")
    first = make_member(lambda: "old")
    await second.connect()
    await first.connect()
    venue.valid, has_new = "new", True
    venue.server.peers[-1].drop()
    await first.wait_for(State.BACKING_OFF)
    await first.wait_for(State.CONNECTED)
    assert venue.seen[-1] == "new"
    await first.aclose()
    await second.aclose()


def test_what_a_token_source_may_take() -> None:
    class Source:
        def __call__(self, previous: str | None = None, error: OnesocketError | None = None) -> str:
            return f"{previous} {error}"

    def with_defaults(account: str = "me", tries: int = 3) -> str:
        return f"{account}{tries}"

    for source in (Source(), with_defaults, lambda *_: "token", lambda old, why: f"{old}{why}", int):
        Client(URL, token=source)  # type: ignore[arg-type] # some are none to a type checker
    for bad in (lambda one: one, lambda one, two, three: (one, two, three)):
        with pytest.raises(
            InvalidOption, match=r"or two: [(]previous, error[)]; this one requires the parameter 'one'"
        ):
            Client(URL, token=bad)  # type: ignore[arg-type] # that is the point
        with pytest.raises(InvalidOption, match="takes no arguments, or two"):
            join(URL, token=bad)  # type: ignore[arg-type] # that is the point


@on_virtual_time
async def test_a_token_source_that_raises_about_another_client_ends_no_stream_silently() -> None:
    server = MemoryServer()
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ClientClosed("some other client of mine is closed")
        return "token"

    client = make(server, token=source)
    await client.connect()
    reader = client.subscribe()
    server.peers[-1].drop()
    with pytest.raises(TokenFailed) as failure:
        await anext(reader)
    assert isinstance(failure.value.__cause__, ClientClosed)
    assert client.state is State.FAILED
    assert isinstance(client.status.last_loss, ConnectionReset)
    await client.aclose()


# --- a ghost of our own -----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_the_place_that_our_own_close_left_behind_is_asked_for_in_seconds() -> None:
    server = MemoryServer()
    loop = asyncio.get_running_loop()
    free_at = 0.0

    def answer(peer: MemoryPeer) -> None:
        peer.accept()
        if loop.time() < free_at:
            peer.close(1008, "connection limit exceeded")

    server.on_dial = answer
    client = make(server)
    await client.connect()
    free_at = loop.time() + 4
    began = loop.time()
    await client.reconnect()
    await asyncio.sleep(8)  # the memory server accepts and closes: that's a loss, and no failed attempt
    assert client.state is State.CONNECTED
    assert loop.time() - began < 9
    await asyncio.sleep(60)
    server.peers[-1].close(1001)  # now it's the server's close
    free_at = loop.time() + 4
    began = loop.time()
    await client.wait_for(State.BACKING_OFF)
    await asyncio.sleep(8)
    await client.wait_for(State.CONNECTED)
    assert loop.time() - began > 30
    await client.aclose()
