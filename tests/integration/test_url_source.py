"""A function as `url=`: it is asked for each attempt, and what it says is checked and judged."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Json, Outcome, Raw, ReconnectPolicy, State, TokenQuery, join
from onesocket.errors import (
    ConnectAborted,
    HandshakeRejected,
    InvalidOption,
    InvalidURL,
    OnesocketError,
    OpenTimeout,
    URLFailed,
)
from onesocket.sharing import HostOptions
from onesocket.testing import Fault, FaultyServer

DEADLINE = 20
FAST = ReconnectPolicy(initial=0.01, cap=0.02)
SECRET = "s3cret-signature"


class Urls:
    """Signed URLs, each of which is good once, and the errors between them."""

    def __init__(self, server: FaultyServer, *errors: BaseException | Any) -> None:
        self.server = server
        self.asked = 0
        self.answers = list(errors)

    def next(self) -> str:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return f"{self.server.url}feed?number={self.asked}&sign={SECRET}" if answer is None else answer

    async def next_later(self) -> str:
        await asyncio.sleep(0)
        return self.next()

    def __call__(self) -> Awaitable[str]:
        return self.next_later()


@pytest.mark.parametrize("kind", ["function", "coroutine function", "callable object"])
async def test_it_is_asked_for_every_attempt(server: FaultyServer, kind: str) -> None:
    urls = Urls(server)
    source: Any = {"function": urls.next, "coroutine function": urls.next_later, "callable object": urls}[kind]
    client = Client(source, reconnect=FAST)
    assert urls.asked == 0
    async with asyncio.timeout(DEADLINE), client:
        assert server.connections[0].request_path == f"/feed?number=1&sign={SECRET}"
        server.faults = [Fault.refuse(503), None]
        server.kill_connections()
        await client.wait_for(State.BACKING_OFF, State.CONNECTING)
        await client.wait_for(State.CONNECTED)
        await client.reconnect()
        assert server.connections[-1].request_path == f"/feed?number=4&sign={SECRET}"
    assert urls.asked == server.counts.handshakes == 4


async def test_it_may_name_another_server_each_time(server: FaultyServer) -> None:
    async with FaultyServer() as other, asyncio.timeout(DEADLINE):
        places = [server.url, other.url]
        async with Client(lambda: places.pop(0), reconnect=FAST) as client:
            assert client.status.url == server.url
            server.kill_connections()
            await other.wait_until(lambda counts: counts.upgraded == 1)
            await client.wait_for(State.CONNECTED)
            assert client.status.url == other.url


async def test_user_info_and_token_find_their_places(server: FaultyServer) -> None:
    source = lambda: server.url.replace("ws://", "ws://ann:pass@") + "?a=%20"  # noqa: E731
    async with asyncio.timeout(DEADLINE), Client(source, token="t", protocol=Raw(token_place=TokenQuery())):
        connection = server.connections[0]
        assert connection.request_headers["Authorization"].startswith("Basic ")
        assert connection.request_path == "/?a=%20&token=t"


async def test_a_token_that_a_function_gives_replaces_a_header_and_user_info(server: FaultyServer) -> None:
    url = server.url.replace("ws://", "ws://ann:pass@")
    async with asyncio.timeout(DEADLINE), Client(url, token="fixed"):
        assert server.connections[0].request_headers["Authorization"] == "Bearer fixed"
    answers = [None, "fresh"]
    client = Client(server.url, token=lambda: answers.pop(0), headers={"Authorization": "own"})
    async with asyncio.timeout(DEADLINE), client:
        assert server.connections[-1].request_headers["Authorization"] == "own"
        await client.reconnect()
        assert server.connections[-1].request_headers["Authorization"] == "Bearer fresh"


async def test_no_secret_of_a_url_is_shown(server: FaultyServer) -> None:
    urls = Urls(server)
    client = Client(urls.next)
    assert client.status.url == "<the URL of next()>"
    assert "next()" in repr(client)
    server.faults = [Fault.refuse(403, body=f"bad signature {SECRET}")]
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(HandshakeRejected) as caught:
            await client.connect()
        assert SECRET not in str(caught.value)
        await client.connect()
        assert client.status.url == f"{server.url}feed?number=***&sign=***"
        assert SECRET not in repr(client) + repr(client.status)
        await client.aclose()


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "retryable", "text"),
    [
        (OSError(SECRET), URLFailed, True, "the function that gives the URL raised OSError"),
        (HandshakeRejected("no", status=401, retryable=False), URLFailed, False, "raised HandshakeRejected"),
        (asyncio.CancelledError(), URLFailed, True, "was cancelled"),
        (URLFailed("no address for this user"), URLFailed, False, "no address for this user"),
        (5, InvalidURL, False, "must be a str, not int"),
        (b"ws://h/", InvalidURL, False, "must be a str, not bytes"),
        (f"http://h/?sign={SECRET}", InvalidURL, False, "did you mean ws://?"),
        ("ws://.example/", InvalidURL, False, "left empty"),
    ],
)
async def test_what_goes_wrong_is_a_typed_error(
    server: FaultyServer, answer: Any, kind: type[OnesocketError], retryable: bool, text: str
) -> None:
    client = Client(Urls(server, answer).next)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(kind, match=text.replace("?", "[?]")) as caught:
            await client.connect()
        assert caught.value.retryable is retryable
        assert SECRET not in str(caught.value)
        assert type(caught.value) is kind
        assert server.counts.tcp_accepted == 0
        assert await client.connect() is Outcome.OPENED
        await client.aclose()


async def test_a_client_that_resumes_asks_again_until_no_retry_can_help(server: FaultyServer) -> None:
    urls = Urls(server, None, OSError(), OSError(), None, "no URL")
    client = Client(urls.next, reconnect=FAST)
    async with asyncio.timeout(DEADLINE), client:
        server.kill_connections()
        await server.wait_until(lambda counts: counts.upgraded == 2)
        await client.wait_for(State.CONNECTED)
        assert urls.asked == 4
        server.kill_connections()
        await client.wait_for(State.FAILED)
        assert isinstance(client.status.last_error, InvalidURL)


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("ws://h/", {"ssl": ssl.create_default_context()}, "ssl= was given"),
        ("ws://h/", {"server_hostname": "h"}, "server_hostname= was given"),
        ("ws+unix:///s", {"local_address": "127.0.0.1"}, "local_address= was given"),
        ("ws+unix:///s", {"proxy": "http://p/"}, "proxy= was given"),
    ],
)
async def test_options_are_checked_against_the_url_that_came(url: str, options: dict[str, Any], text: str) -> None:
    client = Client(lambda: url, **options)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(InvalidOption, match=text):
            await client.connect()
        await client.aclose()


async def test_an_answer_that_does_not_come_is_bounded_and_named() -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    client = Client(never, open_timeout=0.05)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(OpenTimeout, match="waiting for the URL"):
            await client.connect()
        await client.aclose()


@pytest.mark.parametrize("slow", ["URL", "token"])
async def test_a_function_that_blocks_is_blamed_for_the_time_it_took(server: FaultyServer, slow: str) -> None:
    def answer(what: str, value: str) -> str:
        if what == slow:
            time.sleep(0.06)
        return value

    client = Client(lambda: answer("URL", server.url), token=lambda: answer("token", "t"), open_timeout=0.03)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(
            OpenTimeout, match=rf"still waiting for the {slow} \(meanwhile the event loop was blocked\)"
        ):
            await client.connect()
        await client.aclose()


@pytest.mark.parametrize("stubborn", [False, True])
async def test_disconnect_ends_the_attempt_while_it_is_asked(server: FaultyServer, stubborn: bool) -> None:
    asked, token_asked = asyncio.Event(), asyncio.Event()
    goes_on = asyncio.Event()

    async def slow() -> str:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError) if stubborn else contextlib.nullcontext():
            await asyncio.Event().wait()
        await goes_on.wait()
        return server.url

    def token() -> str:
        token_asked.set()
        return "t"

    client = Client(slow, token=token)
    async with asyncio.timeout(DEADLINE):
        connecting = asyncio.ensure_future(client.connect())
        await asked.wait()
        closing = asyncio.ensure_future(client.disconnect())
        with pytest.raises(ConnectAborted):
            await connecting
        await closing  # for a stubborn one, after the grace
        goes_on.set()
        for _ in range(5):
            await asyncio.sleep(0)
        await client.aclose()
    assert (server.counts.tcp_accepted, token_asked.is_set()) == (0, False)


# --- sharing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_join_needs_a_url_that_names_the_feed(scope: Any) -> None:
    def source() -> str:
        return "ws://h/"

    with pytest.raises(InvalidOption, match="client_factory=lambda: Client"):
        join(source, scope=scope, key="feed")  # type: ignore[call-overload]


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_shared_client_may_ask_a_function_for_each_attempt(
    server: FaultyServer, scope: Any, tmp_path: Path
) -> None:
    urls = Urls(server)

    def make() -> Client:
        return Client(urls.next, protocol=Json(), reconnect=FAST)

    def request() -> Any:
        return join("wss://feed.example/", scope=scope, key="feed", client_factory=make, **host)

    host: dict[str, Any] = {"host_options": HostOptions(directory=str(tmp_path / "run"))} if scope == "host" else {}
    async with asyncio.timeout(DEADLINE), request() as one, request() as other:
        assert urls.asked == server.counts.handshakes == 1
        server.kill_connections()
        await server.wait_until(lambda counts: counts.upgraded == 2)
        for client in (one, other):
            await client.wait_for(State.CONNECTED)
        assert urls.asked == 2
        assert SECRET not in repr(one.status)
