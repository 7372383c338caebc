"""What type checkers see of the public API. Never run: `make check` reads it."""

from typing import Any, assert_type

from onesocket import Client, Delivery, Gap, Json, Outcome, State, Status, Subscription
from onesocket.client import Change, Stats


async def check_client_types(client: Client) -> None:
    """The verbs and what they give."""
    assert_type(await client.connect(), Outcome)
    assert_type(client.connect_nowait(), Outcome)
    assert_type(await client.reconnect(), Outcome)
    assert_type(client.send_nowait("x"), Delivery)
    assert_type(client.subscribe(), Subscription[Any | Gap])
    assert_type(client.subscribe("event", gaps=False), Subscription[Any])
    assert_type(client.changes(), Subscription[Change])
    assert_type(client.status, Status)
    assert_type(client.stats, Stats)
    assert_type(await client.wait_for(State.CONNECTED, timeout=1), State)
    async for message in client.subscribe():
        if isinstance(message, Gap):
            assert_type(message.missed, int | None)
    async with Client("wss://example.org", protocol=Json(), token=lambda: None) as opened:
        assert_type(opened, Client)
