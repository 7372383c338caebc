"""A person on the other side: plain HTTP and a plain WebSocket, with no code of ours in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp

_SECONDS: Final = 10.0
_INTENTS: Final = 1 | 1 << 9 | 1 << 15  # guilds, guild messages, message content


class Person:
    """Someone who writes by REST and reads over the gateway."""

    def __init__(self, session: aiohttp.ClientSession, api_url: str, token: str) -> None:
        self.channel = ""
        """The id of the guild's first text channel."""
        self.seen: list[tuple[str, str]] = []
        """Author and content of each MESSAGE_CREATE."""
        self._session = session
        self._api_url = api_url
        self._token = token
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Person in {self.channel}, has seen {len(self.seen)}>"

    async def say(self, content: str) -> None:
        """Send a message."""
        await self._ask("POST", {"content": content})

    async def history(self) -> list[tuple[str, str]]:
        """Author and content of the last messages, the newest first."""
        return [_author_and_content(message) for message in await self._ask("GET")]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what came satisfies `condition`."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Speak the gateway's protocol until the end."""
        sequence: int | None = None
        async with asyncio.TaskGroup() as group:
            async for frame in socket:
                payload = json.loads(frame.data)
                sequence = payload["s"] if payload["s"] is not None else sequence
                if payload["op"] == 10:
                    await socket.send_json({"op": 2, "d": self._identity()})
                    group.create_task(_heartbeat(socket, payload["d"]["heartbeat_interval"] / 1000))
                elif payload["op"] == 0:
                    self._take(payload["t"], payload["d"])

    def _identity(self) -> dict[str, Any]:
        properties = {"os": "linux", "browser": "compat", "device": "compat"}
        return {"token": self._token, "intents": _INTENTS, "properties": properties}

    def _take(self, event: str, data: Any) -> None:
        if event == "GUILD_CREATE":
            self.channel = next(channel["id"] for channel in data["channels"] if channel["type"] == 0)
        elif event == "MESSAGE_CREATE":
            self.seen.append(_author_and_content(data))
        self._changed.set()

    async def _ask(self, method: str, body: dict[str, str] | None = None) -> Any:
        async with (
            asyncio.timeout(_SECONDS),
            self._session.request(
                method,
                f"{self._api_url}/channels/{self.channel}/messages",
                headers={"Authorization": self._token},
                json=body,
            ) as response,
        ):
            response.raise_for_status()
            return await response.json()


@contextlib.asynccontextmanager
async def connected_person(api_url: str, gateway_url: str, token: str) -> AsyncIterator[Person]:
    """A person who is connected and has seen their guild."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{gateway_url}?v=10&encoding=json", max_msg_size=0) as socket,
    ):
        person = Person(session, api_url, token)
        reading = asyncio.create_task(person.read(socket))
        try:
            async with asyncio.timeout(_SECONDS):
                await person.until(lambda: bool(person.channel))
            yield person
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _heartbeat(socket: aiohttp.ClientWebSocketResponse, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await socket.send_json({"op": 1, "d": None})


def _author_and_content(message: Any) -> tuple[str, str]:
    return str(message["author"]["username"]), str(message["content"])
