"""The public API as type checkers see it. Never run: `make check` reads it."""

from collections.abc import Callable, Sized
from typing import Any, assert_type

from onesocket import Client, Delivery, Gap, Json, Outcome, SharedClient, State, Status, Subscription
from onesocket.client import Change, MessageClient, Stats
from onesocket_discord.client import DiscordClient
from onesocket_discord.protocol import Dispatch, Intents


def check_discord_types() -> None:
    """A client for Discord gives dispatches."""
    client = DiscordClient("token", Intents.GUILDS)
    assert_type(client.subscribe(gaps=False), Subscription[Dispatch])


async def check_client_types(client: Client, shared: SharedClient) -> None:
    """The verbs and what they give."""
    assert_type(await client.connect(), Outcome)
    assert_type(client.connect_nowait(), Outcome)
    assert_type(await client.reconnect(), Outcome)
    assert_type(await client.rotate(), Outcome)
    assert_type(client.send_nowait("x"), Delivery)
    assert_type(client.subscribe(), Subscription[Any | Gap])
    assert_type(client.subscribe("event", gaps=False), Subscription[Any])
    assert_type(client.changes(), Subscription[Change])
    assert_type(client.status, Status)
    assert_type(client.stats, Stats)
    assert_type(await client.wait_for(State.CONNECTED, timeout=1), State)
    assert_type(client.on(len), Callable[[Any], int])
    assert_type(client.on("event", len), Callable[[Sized], int])
    assert_type(client.on("event", limit=1)(len), Callable[[Sized], int])
    either: MessageClient = client
    assert_type(either.on(len), Callable[[Any], int])
    either = shared
    assert_type(shared.subscribe(keys=["a"], gaps=False), Subscription[Any])
    assert_type(shared.connect_nowait(), Outcome)
    assert_type(shared.stats, Stats)
    assert_type(either.on(len), Callable[[Any], int])
    async for message in client:
        assert_type(message, Any | Gap)
    async for message in client.subscribe():
        if isinstance(message, Gap):
            assert_type(message.missed, int | None)
    async with Client("wss://example.org", protocol=Json(), token=lambda: None) as opened:
        assert_type(opened, Client[Any])
