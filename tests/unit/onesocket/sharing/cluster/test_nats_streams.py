"""Making streams on a server that says it could not. Without a server."""

from typing import Any, cast

import pytest

from onesocket.sharing.cluster._nats_client import NatsClient
from onesocket.sharing.cluster._nats_errors import NO_STREAM, NatsRefused
from onesocket.sharing.cluster._nats_streams import ensure_streams, slot_stream


class RefusingServer:
    """Has no stream, and fails to create one as often as a test says."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.created = 0

    async def ask(self, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if body is None:
            raise NatsRefused(name, 404, NO_STREAM, "stream not found")
        self.created += 1
        if self.created <= self.failures:
            raise NatsRefused(name, 500, 10049, "error creating store for stream")
        return {"config": body, "created": "now"}


async def test_a_stream_is_made_though_the_server_removes_the_directory_of_its_last_three_streams() -> None:
    server = RefusingServer(3)
    assert await ensure_streams(cast("NatsClient", server), "there", slot_stream("prefix", 1), make=True) == "now"


async def test_a_server_that_can_never_make_a_stream_is_not_asked_for_ever() -> None:
    server = RefusingServer(1000)
    with pytest.raises(NatsRefused, match="error creating store"):
        await ensure_streams(cast("NatsClient", server), "there", slot_stream("prefix", 1), make=True)
    assert server.created == 4
