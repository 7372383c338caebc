"""The Discord client over real sockets: a scripted gateway on loopback, which counts."""

import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from multidict import CIMultiDictProxy
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from onesocket import Gap, OnesocketError, ReconnectPolicy, State, Subscription
from onesocket.errors import ConnectFailed, ConnectionRefused, DecodeError, HandshakeRejected, LoginRefused, ServerBusy
from onesocket_discord import DisallowedIntents, DiscordClient, Dispatch, Intents, WrongToken
from onesocket_discord.client import _identify_budget as budget
from onesocket_discord.protocol import _gateway as gateway_module
from onesocket_discord.protocol._zstd import zstd

FAST = ReconnectPolicy(initial=0.01, cap=0.05, stable_after=0.05)
_TOKENS = itertools.count()


def packer(kind: str) -> Callable[[str], str | bytes]:
    if kind == "zlib-stream":
        stream = zlib.compressobj()
        return lambda text: stream.compress(text.encode()) + stream.flush(zlib.Z_SYNC_FLUSH)
    if kind == "zstd-stream":
        frame = zstd.ZstdCompressor()
        return lambda text: frame.compress(text.encode(), frame.FLUSH_BLOCK)
    return lambda text: text


class ScriptedGateway:
    """One session at a time; every dispatch is kept for a resume."""

    def __init__(self) -> None:
        self.interval = 30.0
        self.acks = True
        self.first: list[dict[str, Any]] | None = None
        """Payloads sent instead of HELLO, once."""
        self.close_on_identify: int | None = None
        self.refuse_resumes = 0
        self.ended = asyncio.Event()
        """The first connection is over."""
        self.sockets = self.most_sockets = 0
        self.paths: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.close_codes: list[int | None] = []
        self.history: list[dict[str, Any]] = []
        self.now: tuple[ServerConnection, Callable[[str], str | bytes]] | None = None
        self.http_answers: list[web.Response] = []
        self.questions: list[tuple[str, str | None]] = []
        self.question_headers: list[CIMultiDictProxy[str]] = []
        self._server: Server | None = None
        self._runner: web.AppRunner | None = None
        self.url = self.api_url = ""

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        app = web.Application()
        app.router.add_get("/api/v10/{path:.*}", self._asked)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.api_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/v10"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._runner is not None
        self._server.close()
        await self._server.wait_closed()
        await self._runner.cleanup()

    def ops(self, op: int) -> list[dict[str, Any]]:
        return [payload["d"] for payload in self.heard if payload["op"] == op]

    async def say(self, op: int, d: Any = None) -> None:
        await self._write({"op": op, "d": d, "s": None, "t": None})

    async def event(self, name: str, d: Any, *, kept: bool = True) -> None:
        payload = {"op": 0, "d": d, "s": len(self.history) + 1, "t": name}
        if kept:
            self.history.append(payload)
        await self._write(payload)

    async def end(self, how: str) -> None:
        assert self.now is not None
        connection, _ = self.now
        match how:
            case "op 7":
                await self.say(7)
            case "op 9 true":
                await self.say(9, d=True)
            case "4000":
                await connection.close(4000)
            case "no code":
                connection.protocol.send_close()
                connection.transport.write(b"".join(connection.protocol.data_to_send()))
            case _:
                connection.transport.abort()

    async def _write(self, payload: dict[str, Any]) -> None:
        assert self.now is not None
        connection, pack = self.now
        with contextlib.suppress(ConnectionClosed):
            await connection.send(pack(json.dumps(payload)))

    async def _asked(self, request: web.Request) -> web.Response:
        self.questions.append((request.path, request.headers.get("Authorization")))
        self.question_headers.append(request.headers)
        if self.http_answers:
            return self.http_answers.pop(0)
        limit = {"total": 1000, "remaining": 999, "reset_after": 3_600_000, "max_concurrency": 1}
        return web.json_response({"url": self.url, "shards": 1, "session_start_limit": limit})

    async def _serve(self, connection: ServerConnection) -> None:
        self.sockets += 1
        self.most_sockets = max(self.most_sockets, self.sockets)
        assert connection.request is not None
        path = connection.request.path
        self.paths.append(path)
        self.now = connection, packer(path.partition("compress=")[2])
        try:
            first, self.first = self.first, None
            hello = {"op": 10, "d": {"heartbeat_interval": self.interval * 1000}, "s": None, "t": None}
            for payload in first or [hello]:
                await self._write(payload)
            async for text in connection:
                payload = json.loads(text)
                self.heard.append(payload)
                await self._answer(connection, payload)
        except ConnectionClosed:
            pass
        finally:
            self.sockets -= 1
            await connection.wait_closed()
            self.close_codes.append(connection.close_code)
            self.ended.set()

    async def _answer(self, connection: ServerConnection, payload: dict[str, Any]) -> None:
        match payload["op"]:
            case 1 if self.acks:
                await self.say(11)
            case 2 if self.close_on_identify is not None:
                await connection.close(self.close_on_identify, "No.")
            case 2:
                self.history.clear()
                user = {"id": "1", "username": "bot", "discriminator": "0", "avatar": None}
                await self.event("READY", {"session_id": "s", "resume_gateway_url": self.url, "user": user})
            case 6 if self.refuse_resumes:
                self.refuse_resumes -= 1
                await self.say(9, d=False)
            case 6:
                for missed in self.history[payload["d"]["seq"] :]:
                    await self._write(missed)
                await self.event("RESUMED", {})
            case _:
                pass


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedGateway]:
    # The rules of these seconds are tested on virtual time.
    monkeypatch.setattr(budget, "IDENTIFY_PERIOD", 0.01)
    monkeypatch.setattr(gateway_module, "INVALID_SESSION_WAIT", (0.01, 0.02))
    async with ScriptedGateway() as gateway:
        yield gateway
    assert gateway.most_sockets <= 1


def make(server: ScriptedGateway, **options: Any) -> DiscordClient:
    defaults: dict[str, Any] = {"api_url": server.api_url, "reconnect": FAST, "open_timeout": 5.0}
    return DiscordClient(f"integration-token-{next(_TOKENS)}", Intents.GUILD_MESSAGES, **(defaults | options))


async def dispatch(stream: Subscription[Any]) -> Dispatch:
    """The next message, which is no gap."""
    item = await anext(stream)
    assert isinstance(item, Dispatch)
    return item


def message(number: int) -> dict[str, Any]:
    return {"id": str(number), "channel_id": "1", "content": "text " * number}


async def test_a_storm_of_callers_is_one_question_one_handshake_and_one_identify(server: ScriptedGateway) -> None:
    client = make(server)
    await asyncio.gather(*(client.connect() for _ in range(500)))
    assert (len(server.questions), len(server.paths), len(server.ops(2))) == (1, 1, 1)
    assert server.paths == ["/?v=10&encoding=json"]
    path, authorization = server.questions[0]
    assert path == "/api/v10/gateway/bot"
    assert authorization == f"Bot {server.ops(2)[0]['token']}"
    assert client.status.url == server.url
    await client.aclose()
    await asyncio.wait_for(server.ended.wait(), 5)
    assert server.close_codes == [1000]


@pytest.mark.parametrize("compress", ["zlib-stream", "zstd-stream"])
async def test_compressed_messages_over_two_connections(server: ScriptedGateway, compress: Any) -> None:
    async with make(server, compress=compress) as client:
        stream = client.subscribe("MESSAGE_CREATE")
        for number in range(50):
            await server.event("MESSAGE_CREATE", message(number * 20))
        await server.say(7)
        got = [(await dispatch(stream)).data.content for _ in range(50)]
        assert got == [message(number * 20)["content"] for number in range(50)]
        async with client.subscribe("RESUMED") as resumed:
            await anext(resumed)
        await server.event("MESSAGE_CREATE", message(3))
        assert (await dispatch(stream)).data.id == "3"
        assert server.paths == [f"/?v=10&encoding=json&compress={compress}"] * 2


@pytest.mark.parametrize("ending", ["op 7", "op 9 true", "4000", "no code", "abort"])
async def test_a_resume_delivers_everything_exactly_once(server: ScriptedGateway, ending: str) -> None:
    async with make(server) as client:
        stream = client.subscribe()
        assert (await dispatch(stream)).event == "READY", "it waited for its first reader"
        await server.event("MESSAGE_CREATE", message(1))
        first = await dispatch(stream)
        # It happened while the connection was on its way out.
        server.history.append({"op": 0, "d": message(2), "s": 3, "t": "MESSAGE_CREATE"})
        await server.end(ending)
        async with asyncio.timeout(10):
            rest = [await dispatch(stream) for _ in range(2)]
        assert [(item.event, item.sequence) for item in [first, *rest]] == [
            ("MESSAGE_CREATE", 2),
            ("MESSAGE_CREATE", 3),
            ("RESUMED", 4),
        ]
        assert (len(server.ops(2)), len(server.ops(6))) == (1, 1)


async def test_op_9_false_begins_a_new_session_and_says_that_something_may_be_missing(server: ScriptedGateway) -> None:
    async with make(server) as client:
        stream = client.subscribe()
        assert (await dispatch(stream)).event == "READY"
        server.refuse_resumes = 1
        await server.say(7)
        async with asyncio.timeout(10):
            first, second = await anext(stream), await dispatch(stream)
        assert isinstance(first, Gap)
        assert second.event == "READY"
        assert len(server.ops(2)) == 2


async def test_op_7_instead_of_hello_while_resuming(server: ScriptedGateway) -> None:
    async with make(server) as client:
        stream = client.subscribe("RESUMED")
        server.first = [{"op": 7, "d": None, "s": None, "t": None}]
        await server.say(7)
        async with asyncio.timeout(10):
            await anext(stream)
        assert len(server.paths) == 3
        assert server.close_codes[:2] == [4000, 4000]


async def test_a_zombie_is_replaced(server: ScriptedGateway) -> None:
    server.interval = 0.1
    async with make(server) as client:
        stream = client.subscribe("RESUMED")
        server.acks = False
        async with asyncio.timeout(10):
            await client.wait_for(State.CLOSING, State.BACKING_OFF)
            server.acks = True
            await anext(stream)
        assert server.close_codes[0] == 4000
        assert len(server.ops(2)) == 1


@pytest.mark.parametrize(("code", "kind"), [(4004, WrongToken), (4014, DisallowedIntents)])
async def test_a_fatal_code_is_not_retried(server: ScriptedGateway, code: int, kind: type[OnesocketError]) -> None:
    server.close_on_identify = code
    client = make(server)
    with pytest.raises(kind, match=f"{code}.*portal"):
        await client.connect()
    assert client.state is State.FAILED
    await client.aclose()
    assert len(server.paths) == 1


@pytest.mark.parametrize("given", [None, {"user-agent": "Mine (x, 1)", "X-Edge": "y", "Host": "edge.example"}])
async def test_headers_go_with_the_question_and_with_the_upgrade(
    server: ScriptedGateway, given: dict[str, str] | None
) -> None:
    """An edge may refuse requests without a User-Agent."""
    async with asyncio.timeout(10), make(server, headers=given):
        agent = "Mine (x, 1)" if given else f"DiscordBot (onesocket, {importlib.metadata.version('onesocket')})"
        assert server.now is not None
        assert server.now[0].request is not None
        upgrade, question = server.now[0].request.headers, server.question_headers[0]
        assert upgrade.get_all("User-Agent") == [agent]
        assert question.getall("User-Agent") == [agent]
        wanted = "y" if given else None
        assert (upgrade.get("X-Edge"), question.get("X-Edge")) == (wanted, wanted)
        assert question.getall("Host") == [urlsplit(server.api_url).netloc]
        assert upgrade["Host"] == ("edge.example" if given else urlsplit(server.url).netloc)
        assert question.getall("Authorization") == [server.questions[0][1]]


# --- the gateway's address --------------------------------------------------------------------------------------------


async def test_people_of_a_chat_server_ask_the_other_address(server: ScriptedGateway) -> None:
    async with make(server, token_type=None):
        token = server.ops(2)[0]["token"]
        assert server.questions == [("/api/v10/gateway", token)]


@pytest.mark.parametrize(
    ("answer", "kind", "retryable", "retry_after"),
    [
        (web.Response(status=401, text="{}"), LoginRefused, False, None),
        (web.Response(status=429, headers={"Retry-After": "7"}), ServerBusy, True, 7),
        (web.Response(status=404), HandshakeRejected, False, None),
        (web.Response(status=503, headers={"Retry-After": "3"}), HandshakeRejected, True, 3),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), HandshakeRejected, False, None),
        (web.Response(text="<html>"), DecodeError, True, None),
        (web.Response(text='{"url":"http://x/"}'), DecodeError, True, None),
        (web.Response(text='{"url":"ws://x/","shards":"' + "9" * 100_000), DecodeError, True, None),
    ],
)
async def test_an_api_that_says_no(
    server: ScriptedGateway,
    answer: web.Response,
    kind: type[OnesocketError],
    retryable: bool,
    retry_after: float | None,
) -> None:
    server.http_answers = [answer]
    client = make(server)
    with pytest.raises(kind) as caught:
        await client.connect()
    assert (caught.value.retryable, caught.value.retry_after) == (retryable, retry_after)
    assert "integration-token" not in str(caught.value)
    assert server.paths == []
    if retry_after is None:
        await client.connect()  # it was asked again
        assert len(server.questions) == 2
    else:
        with pytest.raises(ServerBusy, match="no attempt before"):
            client.connect_nowait()
    await client.aclose()


async def test_an_api_that_isnt_there(server: ScriptedGateway) -> None:
    client = make(server, api_url="http://127.0.0.1:9/api")
    # ConnectionRefused: while a lost connection is resumed, the next attempt is soon, as it costs nothing.
    with pytest.raises(ConnectionRefused, match=r"127\.0\.0\.1:9/api/gateway/bot"):
        await client.connect()
    await client.aclose()


async def test_an_address_where_nobody_is_is_asked_again(server: ScriptedGateway) -> None:
    server.http_answers = [web.json_response({"url": "ws://127.0.0.1:9/"})]
    client = make(server)
    with pytest.raises(ConnectFailed):
        await client.connect()
    await client.connect()
    assert len(server.questions) == 2
    await client.reconnect()
    assert len(server.questions) == 2  # known now
    await client.aclose()


async def test_the_servers_count_of_identifies_is_obeyed(server: ScriptedGateway) -> None:
    limit = {"total": 1000, "remaining": 3, "reset_after": 60_000, "max_concurrency": 1}
    server.http_answers = [web.json_response({"url": server.url, "shards": 1, "session_start_limit": limit})]
    client = make(server, identify_reserve=0)
    for _ in range(3):
        await client.reconnect()
    with pytest.raises(ServerBusy, match="0 of 1000"):
        await client.reconnect()
    assert len(server.ops(2)) == 3
    await client.aclose()


async def test_an_answer_of_the_api_that_comes_in_pieces_is_read_to_its_end(server: ScriptedGateway) -> None:
    body = json.dumps({"url": server.url, "more": "x" * 10_000}).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 1000):
            writer.write(body[start : start + 1000])
            await writer.drain()
            for _ in range(20):  # turns in which the client reads what there is
                await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as api:
        port = api.sockets[0].getsockname()[1]
        async with make(server, api_url=f"http://127.0.0.1:{port}") as client:
            assert client.ready is not None
