"""Coordination of a cluster by a real NATS server."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from nats.aio.client import Client

from onesocket.sharing.cluster._coordinator import ClusterKey
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from tests.support.coordinator_checks import CHECKS, EngineUnderTest
from tests.support.nats_server import NatsServer, ask, nats_server

KEY = ClusterKey.of("0123456789abcdef" * 4)
STREAM = f"onesocket-{KEY.digest}"
BASE = f"onesocket.{KEY.digest}."


@pytest.fixture(scope="module")
def shared_server() -> Iterator[NatsServer]:
    with nats_server() as running:
        yield running


@pytest.fixture
async def raw(shared_server: NatsServer) -> AsyncIterator[Client]:
    """A client that is not ours, on a server without streams."""
    client = await shared_server.client()
    for name in (await ask(client, "STREAM.NAMES")).get("streams") or ():
        await ask(client, f"STREAM.DELETE.{name}")
    yield client
    await client.close()


@pytest.fixture
def server(shared_server: NatsServer, raw: Client) -> NatsServer:
    return shared_server


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_nats_passes_the_checks_of_every_engine(
    check: Callable[[EngineUnderTest], Awaitable[None]], server: NatsServer, raw: Client
) -> None:
    async def expire() -> None:
        assert (await ask(raw, f"STREAM.PURGE.{STREAM}", filter=BASE + "lease"))["purged"] == 1

    await check(EngineUnderTest(NatsCoordinator(server.url), KEY, expire))
