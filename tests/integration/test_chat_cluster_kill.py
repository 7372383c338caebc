"""Two real servers, PostgreSQL and Redis: one is killed in traffic, and no client can tell."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.test_serve_command import ServeProcess, run, serving
from tests.support.postgresql import PostgresqlServer
from tests.support.redis_server import RedisServer, redis_server
from tests.unit.onesocket_discord.server.gateway.raw_client import RawGatewayClient, dial

INTENTS = 1 << 0 | 1 << 9 | 1 << 15
LISTENERS = 6
SENDERS = 3


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


class Addresses:
    """The servers, as a balancer sees them: where one ends, the next is asked."""

    def __init__(self, *servers: ServeProcess) -> None:
        self.servers = list(servers)

    def pick(self, number: int) -> ServeProcess:
        return self.servers[number % len(self.servers)]


@dataclass
class Listener:
    """Receives dispatches, and resumes where its connection ends."""

    token: str
    number: int
    addresses: Addresses
    contents: list[str] = field(default_factory=list)
    ready: dict[str, Any] | None = None
    seq: int = 0
    resumes: int = 0
    identifies: int = 0
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        for attempt in itertools.count():
            try:
                async with dial(self.addresses.pick(self.number + attempt).gateway_url) as client:
                    await self._serve(client)
            except (ConnectionClosed, OSError):
                continue

    async def _serve(self, client: RawGatewayClient) -> None:
        await client.hello()
        if self.ready is None:
            await client.send(2, {"token": self.token, "intents": INTENTS, "properties": {}})
        else:
            await client.resume(self.ready, self.seq, self.token)
        while True:
            payload = json.loads(await client.socket.recv())
            assert payload["op"] in {0, 7}, payload
            if payload["op"] != 0:
                continue
            assert payload["s"] == self.seq + 1, (payload, self.seq)
            self.seq = payload["s"]
            match payload["t"]:
                case "READY":
                    self.ready = payload
                    self.identifies += 1
                case "RESUMED":
                    self.resumes += 1
                case "MESSAGE_CREATE":
                    self.contents.append(payload["d"]["content"])
                case _:
                    pass
            async with self.progress:
                self.progress.notify_all()

    async def until(self, reached: Any) -> None:
        async with self.progress, asyncio.timeout(30):
            await self.progress.wait_for(lambda: reached(self))


class Sender:
    """Posts messages one after another, each with a nonce, until it is acknowledged by one of the servers."""

    def __init__(self, token: str, name: int, channel: str, addresses: Addresses, http: aiohttp.ClientSession) -> None:
        self._headers = {"Authorization": f"Bot {token}"}
        self._name, self._channel, self._addresses, self._http = name, channel, addresses, http
        self.acknowledged: dict[str, str] = {}
        self.repeated = 0
        self.going = True

    async def send(self) -> None:
        for number in itertools.count():
            if not self.going:
                break
            content = f"{self._name}:{number}"
            self.acknowledged[content] = await self._post(content)

    async def _post(self, content: str) -> str:
        body = {"content": content, "nonce": content, "enforce_nonce": True}
        for attempt in itertools.count(self._name):
            url = f"{self._addresses.pick(attempt).api_url}/channels/{self._channel}/messages"
            try:
                async with self._http.post(url, json=body, headers=self._headers) as answer:
                    if answer.status == 200:
                        return str((await answer.json())["id"])
                    assert answer.status in {429, 503}, await answer.text()
                    await asyncio.sleep(float(answer.headers.get("Retry-After", "0.05")))
            except (aiohttp.ClientError, OSError):
                self.repeated += 1
        raise AssertionError


@asynccontextmanager
async def in_background(*work: Any) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_of_two_servers_is_killed_in_traffic(
    tmp_path: Path, postgresql: PostgresqlServer, redis: RedisServer
) -> None:
    where = ("--database", postgresql.emptied_place(), "--cluster", redis.url, "--identify-interval", "0")
    async with (
        serving(tmp_path / "one", *where) as one,
        serving(tmp_path / "other", *where) as other,
        aiohttp.ClientSession() as http,
    ):
        names = [f"robo{n}" for n in range(SENDERS)]
        # By the server that has its control file there, and beside the servers.
        places = (tmp_path / "one", tmp_path / "elsewhere", tmp_path / "elsewhere")
        made = [
            await run("bot", name, *where[:2], "--data", str(place)) for name, place in zip(names, places, strict=True)
        ]
        tokens = [token for _, token, _ in made]
        addresses = Addresses(one, other)
        headers = {"Authorization": f"Bot {tokens[0]}"}
        async with http.get(f"{other.api_url}/users/@me/guilds", headers=headers) as answer:
            guild = (await answer.json())[0]["id"]
        async with http.get(f"{other.api_url}/guilds/{guild}/channels", headers=headers) as answer:
            channel = (await answer.json())[0]["id"]
        listeners = [Listener(tokens[n % SENDERS], n, addresses) for n in range(LISTENERS)]
        senders = [Sender(token, n, channel, addresses, http) for n, token in enumerate(tokens)]
        async with in_background(*(listener.listen() for listener in listeners)) as listening:
            await asyncio.gather(*(listener.until(lambda each: each.ready is not None) for listener in listeners))
            async with in_background(*(sender.send() for sender in senders)) as sending:
                await asyncio.gather(*(listener.until(lambda each: len(each.contents) >= 15) for listener in listeners))
                one.process.kill()
                addresses.servers.remove(one)
                await asyncio.gather(
                    *(listener.until(lambda each: each.resumes > 0) for listener in listeners[::2])  # those on it
                )
                count = len(listeners[0].contents)
                await listeners[0].until(lambda each: len(each.contents) >= count + 15)
                for sender in senders:
                    sender.going = False
                async with asyncio.timeout(30):
                    await asyncio.gather(*sending)
            acknowledged = {content: id_ for sender in senders for content, id_ in sender.acknowledged.items()}
            await asyncio.gather(
                *(listener.until(lambda each: len(each.contents) >= len(acknowledged)) for listener in listeners)
            )
            assert not any(task.done() for task in listening), [task for task in listening if task.done()]
        # Nothing acknowledged is lost or doubled: with the clients that listened, and in the history.
        for listener in listeners:
            assert len(listener.contents) == len(set(listener.contents))
            assert set(listener.contents) == set(acknowledged)
            assert listener.contents == listeners[0].contents  # in one order
            assert (listener.identifies, listener.resumes) == (1, 1 if listener.number % 2 == 0 else 0)
        stored: dict[str, str] = {}
        before: dict[str, str] = {}
        while True:
            url = f"{other.api_url}/channels/{channel}/messages"
            async with http.get(url, params={"limit": "100", **before}, headers=headers) as answer:
                page = await answer.json()
            if not page:
                break
            assert not stored.keys() & {message["content"] for message in page}
            stored |= {message["content"]: message["id"] for message in page}
            before = {"before": page[-1]["id"]}
        assert stored == acknowledged
        assert sum(sender.repeated for sender in senders) > 0
