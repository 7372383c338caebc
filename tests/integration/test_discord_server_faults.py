"""Scripted faults on real sockets: each affects the chosen clients and no others."""

import asyncio
import json
import re
import threading
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from onesocket.errors import InvalidOption, UsageError, WaitTimeout
from onesocket_discord.pytest_plugin import chat_server as chat_server_fixture
from onesocket_discord.server import ChatServer, GatewayOptions
from onesocket_discord.server._chat_server import PortTaken
from onesocket_discord.server._fault_injector import FAULT_NAMES
from tests.unit.onesocket_discord.server.gateway.raw_client import DEADLINE, RawGatewayClient, dial

chat_server = chat_server_fixture
ROOT = Path(__file__).resolve().parents[2]
INTENTS = 1 << 0 | 1 << 9 | 1 << 15


class GatewayBot:
    """A bot that is connected, and what it needs to speak."""

    def __init__(self, server: ChatServer, name: str, token: str, client: RawGatewayClient) -> None:
        self.server, self.name, self.token, self.client = server, name, token, client
        self.ready: dict[str, Any] = {}
        self.channel = ""

    async def identify(self) -> None:
        await self.client.hello()
        await self.client.send(2, {"token": self.token, "intents": INTENTS, "properties": {}})
        self.ready = await self.client.until("READY")
        self.channel = (await self.client.until("GUILD_CREATE"))["d"]["channels"][0]["id"]

    async def post(self, content: str) -> int:
        url = f"{self.server.api_url}/channels/{self.channel}/messages"
        headers = {"Authorization": f"Bot {self.token}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, json={"content": content}, headers=headers) as answer,
        ):
            return answer.status

    async def messages(self, count: int) -> list[tuple[int, str]]:
        found = [await self.client.until("MESSAGE_CREATE") for _ in range(count)]
        return [(one["s"], one["d"]["content"]) for one in found]


@pytest.fixture
async def bot(chat_server: ChatServer) -> AsyncIterator[GatewayBot]:
    token = await chat_server.create_bot("robo")
    async with dial(chat_server.gateway_url) as client:
        bot = GatewayBot(chat_server, "robo", token, client)
        await bot.identify()
        yield bot


@pytest.fixture
async def bystander(chat_server: ChatServer) -> AsyncIterator[GatewayBot]:
    token = await chat_server.create_bot("bystander")
    async with dial(chat_server.gateway_url) as client:
        bot = GatewayBot(chat_server, "bystander", token, client)
        await bot.identify()
        yield bot


async def assert_undisturbed(bot: GatewayBot) -> None:
    """Its connection works, and nothing unusual came over it."""
    await bot.client.send(1)
    while (payload := await bot.client.receive())["op"] != 11:
        assert payload["op"] == 0


async def test_reconnect_is_op_7_for_whom_it_is_meant(bot: GatewayBot, bystander: GatewayBot) -> None:
    assert await bot.server.faults.reconnect(user="robo") == 1
    assert (await bot.client.receive())["op"] == 7
    await assert_undisturbed(bystander)
    assert await bot.server.faults.reconnect(session=bystander.ready["d"]["session_id"]) == 1
    while (await bystander.client.receive())["op"] != 7:
        pass
    assert await bot.server.faults.reconnect(user=int(bot.ready["d"]["user"]["id"])) == 1
    assert await bot.server.faults.reconnect() == 2
    assert await bot.server.faults.reconnect(user="nobody") == 0


async def test_an_invalid_session_can_be_resumed_on_the_same_socket_if_it_says_so(bot: GatewayBot) -> None:
    assert await bot.server.faults.invalid_session(resumable=True) == 1
    assert await bot.client.receive() == {"t": None, "s": None, "op": 9, "d": True}
    await bot.post("meanwhile")
    await bot.client.resume(bot.ready, 2, bot.token)
    assert await bot.messages(1) == [(3, "meanwhile")]
    assert (await bot.client.until("RESUMED"))["s"] == 4
    assert bot.server.stats.resumes == 1


async def test_an_invalid_session_that_is_final_is_forgotten(bot: GatewayBot) -> None:
    assert await bot.server.faults.invalid_session(resumable=False) == 1
    assert (await bot.client.receive())["d"] is False
    await bot.client.resume(bot.ready, 2, bot.token)
    assert (await bot.client.receive())["d"] is False
    await bot.client.send(2, {"token": bot.token, "intents": INTENTS})
    assert (await bot.client.until("READY"))["s"] == 1


async def test_acks_are_withheld_until_it_is_lifted(bot: GatewayBot) -> None:
    with bot.server.faults.withhold_acks(user="robo") as fault:
        await bot.client.send(1)
        await bot.client.send(1)
        await fault.wait(2)
        with pytest.raises(WaitTimeout, match="withhold_acks has happened 2 times within 0 s"):
            await fault.wait(3, timeout=0)
    await bot.client.send(1)
    assert (await bot.client.receive())["op"] == 11
    assert (fault.happened, fault.stands) == (2, False)


async def test_a_counted_fault_is_over_by_itself(bot: GatewayBot) -> None:
    fault = bot.server.faults.withhold_acks(1)
    await bot.client.send(1)
    await bot.client.send(1)
    assert (await bot.client.receive())["op"] == 11
    assert (fault.happened, fault.left, fault.stands) == (1, 0, False)


@pytest.mark.parametrize("code", [1000, 1012, 3000, 4000, 4003, 4008, 4999])
async def test_any_close_code_and_the_session_stays(bot: GatewayBot, code: int) -> None:
    closing = asyncio.ensure_future(bot.server.faults.close(code, "because", user="robo"))
    assert await bot.client.close_code() == code
    assert bot.client.socket.close_reason == "because"
    assert await closing == 1
    assert bot.server.stats.open == 0
    async with dial(bot.server.gateway_url) as client:
        await client.hello()
        await client.resume(bot.ready, 2, bot.token)
        await client.until("RESUMED")


@pytest.mark.parametrize("code", [4004, 4007, 4009, 4014])
async def test_close_codes_that_end_the_session(bot: GatewayBot, code: int) -> None:
    closing = asyncio.ensure_future(bot.server.faults.close(code))
    assert await bot.client.close_code() == code
    await closing
    assert bot.server.stats.sessions == 0


async def test_a_dropped_connection_is_a_reset_without_close(bot: GatewayBot) -> None:
    assert await bot.server.faults.drop_connection() == 1
    assert await bot.client.close_code() is None
    assert (bot.server.stats.open, bot.server.stats.sessions) == (0, 1)


async def test_a_heartbeat_can_be_asked_for(bot: GatewayBot) -> None:
    await bot.server.faults.request_heartbeat()
    assert (await bot.client.receive())["op"] == 1


async def test_upgrades_are_refused_and_then_taken_again(chat_server: ChatServer) -> None:
    fault = chat_server.faults.refuse_upgrade(503, retry_after=1.5, times=2)
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{chat_server.gateway_url}?v=10&encoding=json", open_timeout=DEADLINE).__aenter__()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1.5"
    assert not fault.stands
    async with dial(chat_server.gateway_url) as client:
        await client.hello()
    assert chat_server.stats.refused == 2


async def test_a_slow_upgrade_is_slow_once(chat_server: ChatServer) -> None:
    chat_server.faults.slow_upgrade(0.2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with dial(chat_server.gateway_url) as client:
        assert loop.time() - started >= 0.2
        await client.hello()


async def test_a_slow_upgrade_may_take_longer_than_the_handshake_timeout() -> None:
    async with ChatServer(options=GatewayOptions(handshake_timeout=0.1)) as server:
        server.faults.slow_upgrade(0.3)
        async with dial(server.gateway_url) as client:
            assert (await client.hello())["op"] == 10


async def test_no_hello_and_another_heartbeat_interval(chat_server: ChatServer) -> None:
    fault = chat_server.faults.no_hello()
    async with dial(chat_server.gateway_url) as client:
        await fault.wait()
        await client.send(1)
        assert (await client.receive())["op"] == 11
    with chat_server.faults.heartbeat_interval(5):
        async with dial(chat_server.gateway_url) as client:
            assert (await client.hello())["d"]["heartbeat_interval"] == 5000
    async with dial(chat_server.gateway_url) as client:
        assert (await client.hello())["d"]["heartbeat_interval"] == 41250


@pytest.mark.parametrize("forced", ["zlib-stream", "zstd-stream", None])
async def test_compression_is_forced_or_refused_whatever_is_asked(chat_server: ChatServer, forced: str | None) -> None:
    asked = "zlib-stream" if forced is None else ""
    with chat_server.faults.force_compression(forced):
        async with dial(chat_server.gateway_url) as probe:  # to know what is meant: without asking
            del probe
        url = f"{chat_server.gateway_url}?v=10&encoding=json&compress={asked}"
        async with connect(url, open_timeout=DEADLINE) as socket:
            client = RawGatewayClient(socket, forced or "")
            assert (await client.hello())["op"] == 10


async def test_dispatches_are_doubled_with_the_same_number(bot: GatewayBot, bystander: GatewayBot) -> None:
    bot.server.faults.duplicate_dispatches(user="robo")
    await bot.post("one")
    await bot.post("two")
    number = (await bot.messages(1))[0][0]
    assert await bot.messages(2) == [(number, "one"), (number + 1, "two")]
    assert [text for _, text in await bystander.messages(2)] == ["one", "two"]


async def test_dispatches_come_in_reverse_order(bot: GatewayBot) -> None:
    fault = bot.server.faults.reorder_dispatches(window=3, user="robo")
    await bystander_free(bot)
    for text in ("one", "two", "three", "four"):
        await bot.post(text)
    numbers = await bot.messages(4)
    assert [text for _, text in numbers] == ["three", "two", "one", "four"]
    first = numbers[2][0]
    assert [number for number, _ in numbers] == [first + 2, first + 1, first, first + 3]
    assert fault.happened == 1


async def bystander_free(bot: GatewayBot) -> None:
    """No dispatch but messages reaches a bot with these intents once it is ready."""
    await assert_undisturbed(bot)


async def test_lifting_a_fault_lets_go_what_it_held_back(bot: GatewayBot) -> None:
    reordering = bot.server.faults.reorder_dispatches(window=10, user="robo")
    await bot.post("one")
    await assert_undisturbed(bot)  # not held back, and nothing came before it
    reordering.lift()
    assert [text for _, text in await bot.messages(1)] == ["one"]
    delay = bot.server.faults.delay_dispatches(3600, user="robo")
    await bot.post("two")
    await bot.post("three")
    await delay.wait(2)
    await assert_undisturbed(bot)
    delay.lift()
    assert [text for _, text in await bot.messages(2)] == ["two", "three"]
    await bot.post("four")
    assert [text for _, text in await bot.messages(1)] == ["four"]


async def test_a_delay_keeps_the_order_even_of_what_is_not_delayed(bot: GatewayBot) -> None:
    loop = asyncio.get_running_loop()
    bot.server.faults.delay_dispatches(0.2, 1, user="robo")
    started = loop.time()
    await bot.post("one")
    await bot.post("two")
    assert [text for _, text in await bot.messages(2)] == ["one", "two"]
    assert loop.time() - started >= 0.2


async def test_what_was_held_back_when_the_connection_was_lost_is_replayed(bot: GatewayBot) -> None:
    bot.server.faults.delay_dispatches(3600, user="robo")
    await bot.post("one")
    await bot.server.faults.drop_connection()
    bot.server.faults.lift()
    async with dial(bot.server.gateway_url) as client:
        await client.hello()
        await client.resume(bot.ready, 2, bot.token)
        assert (await client.until("MESSAGE_CREATE"))["d"]["content"] == "one"
        await client.until("RESUMED")


async def test_rate_limits_by_route(bot: GatewayBot) -> None:
    headers = {"Authorization": f"Bot {bot.token}"}
    bot.server.faults.rate_limit(0.5, route="POST /channels/*/messages")
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(f"{bot.server.api_url}/users/@me") as answer:
            assert answer.status == 200
        url = f"{bot.server.api_url}/channels/{bot.channel}/messages"
        async with http.post(url, json={"content": "x"}) as answer:
            assert (answer.status, (await answer.json())["retry_after"]) == (429, 0.5)
            limited = answer.headers
        async with http.post(url, json={"content": "x"}) as answer:
            assert answer.status == 200
            assert limited["X-RateLimit-Bucket"] == answer.headers["X-RateLimit-Bucket"]
        assert (limited["X-RateLimit-Remaining"], limited["X-RateLimit-Reset-After"]) == ("0", "0.500")
        assert limited["Via"]
        bot.server.faults.rate_limit(0.5, everywhere=True)
        async with http.get(f"{bot.server.api_url}/users/@me") as answer:
            assert (answer.status, (await answer.json())["global"]) == (429, True)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("slow_upgrade", {"seconds": 0}),
        ("slow_upgrade", {"seconds": float("nan")}),
        ("refuse_upgrade", {"status": 200}),
        ("refuse_upgrade", {"status": 600}),
        ("refuse_upgrade", {"status": 499}),
        ("reorder_dispatches", {"window": 1}),
        ("withhold_acks", {"times": 0}),
        ("force_compression", {"name": "brotli"}),
        ("close", {"code": 1005}),
        ("close", {"code": 5000}),
        ("close", {}),
        ("reconnect", {"users": "robo"}),
        ("hook", {}),
        ("__init__", {}),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(
    chat_server: ChatServer, name: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidOption):
        await chat_server.faults.perform(name, arguments)
    assert chat_server.faults.lift() == 0


# --- the control endpoint -------------------------------------------------------------------------------------------


async def test_the_control_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "control.json"
    async with ChatServer(tmp_path / "chat.db", control_file=file) as server:
        assert file.stat().st_mode & 0o777 == 0o600
        control = json.loads(file.read_text())
        url, headers = control["url"], {"Authorization": f"Control {control['token']}"}
        assert control["token"] not in repr(server)
        async with aiohttp.ClientSession() as http:
            for wrong in ({}, {"Authorization": "Control x"}, {"Authorization": "Control é"}):
                async with http.get(f"{url}stats", headers=wrong) as answer:
                    assert answer.status == 401
            async with http.get(f"{url}stats", headers=headers) as answer:
                assert (await answer.json())["open"] == 0
            async with http.post(f"{url}bots", json={"name": "robo"}, headers=headers) as answer:
                token = (await answer.json())["token"]
            async with dial(server.gateway_url) as client:
                bot = GatewayBot(server, "robo", token, client)
                await bot.identify()
                async with http.post(f"{url}faults/reconnect", json={"user": "robo"}, headers=headers) as answer:
                    assert await answer.json() == {"count": 1}
                assert (await client.receive())["op"] == 7
            body = {"seconds": 1, "times": 3}
            async with http.post(f"{url}faults/slow_upgrade", json=body, headers=headers) as answer:
                expected = {"kind": "slow_upgrade", "happened": 0, "left": 3, "seconds": 1.0}
                assert await answer.json() == expected
            async with http.get(f"{url}faults", headers=headers) as answer:
                assert await answer.json() == {"standing": [expected]}
            async with http.post(f"{url}faults/lift", headers=headers) as answer:
                assert await answer.json() == {"count": 1}
            for path, data in (("faults/reconnect", "{"), ("faults/reconnect", "[]"), ("x", "{}"), ("bots", "{}")):
                async with http.post(f"{url}{path}", data=data, headers=headers) as answer:
                    assert answer.status == 400, path
    assert not file.exists()


async def test_a_server_that_can_not_listen_says_so_and_leaves_nothing_behind(
    tmp_path: Path, chat_server: ChatServer
) -> None:
    taken = int(chat_server.gateway_url.rstrip("/").rpartition(":")[2])
    http_port = int(re.findall(r":(\d+)/", chat_server.api_url)[0])
    file = tmp_path / "control.json"
    with pytest.raises(PortTaken, match="--gateway-port"):
        await ChatServer(gateway_port=taken, control_file=file).start()
    with pytest.raises(PortTaken, match="--port"):
        await ChatServer(port=http_port, control_file=file).start()
    assert not file.exists()


async def test_a_server_comes_back_on_its_ports_with_its_messages_and_without_its_sessions(tmp_path: Path) -> None:
    async with ChatServer(tmp_path / "chat.db") as server:
        token = await server.create_bot("robo")
        port, gateway_port = (int(re.findall(r":(\d+)/", url)[0]) for url in (server.api_url, server.gateway_url))
        async with dial(server.gateway_url) as client:
            bot = GatewayBot(server, "robo", token, client)
            await bot.identify()
            await bot.post("kept")
    again = ChatServer(
        tmp_path / "chat.db", port=port, gateway_port=gateway_port, options=GatewayOptions(identify_interval=0)
    )
    async with again as server, dial(server.gateway_url) as client:
        await client.hello()
        await client.resume(bot.ready, 2, token)
        assert (await client.receive())["op"] == 9
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bot {token}"}) as http,
            http.get(f"{server.api_url}/channels/{bot.channel}/messages") as answer,
        ):
            assert [one["content"] for one in await answer.json()] == ["kept"]


def test_synchronous_code_has_it_in_a_thread() -> None:
    with ChatServer().in_thread() as threaded:
        server, chat_server = threaded, threaded.server
        token = server.call(lambda chat: chat.create_bot("robo"))
        request = urllib.request.Request(f"{chat_server.api_url}/users/@me", headers={"Authorization": f"Bot {token}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:  # noqa: S310 - our own address
            assert json.load(answer)["username"] == "robo"
        assert server.call(lambda chat: chat.faults.reconnect()) == 0
        assert server.call(lambda chat: chat.stats).open == 0
        taken = int(chat_server.gateway_url.rstrip("/").rpartition(":")[2])
        with pytest.raises(PortTaken), ChatServer(gateway_port=taken).in_thread():
            pass
    with pytest.raises(UsageError, match="not started"):
        server.call(lambda chat: chat.stats)
    assert not [thread for thread in threading.enumerate() if thread.name == "onesocket test server"]


def test_every_fault_is_documented() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert {name for name in FAULT_NAMES if f"`{name}" not in text} == set()
