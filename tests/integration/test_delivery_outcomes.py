"""Reported fates, beside what the server has: *not sent* only of what never left, *sent* only of what arrives."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, OnesocketError, blocking
from onesocket.errors import ClientClosed, DeliveryUnknown, WaitTimeout
from onesocket.sharing._join import join
from onesocket.sharing._shared_client import SharedClient
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyConnection, FaultyServer
from tests.campaigns.harness.worker_process import WorkerProcess

WORKER = Path(__file__).with_name("host_worker.py")
ROUNDS = 60
MANY = 20
SENT, NOT_SENT, UNKNOWN = "sent", "not sent", "unknown"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


class OutcomeLedger:
    """The fates that senders were told, and what the server received."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.arrived: Counter[str] = Counter()
        self.named: set[str] = set()
        """Sent with `resend=True`: these may arrive twice."""
        self.server = FaultyServer(on_message=self._received)

    def _received(self, _: FaultyConnection, message: Any) -> None:
        self.arrived[str(message)] += 1

    async def send(self, client: SharedClient, text: str, *, resend: bool = False) -> None:
        """Send it, and note what its sender is told. A cancellation says nothing of it."""
        if resend:
            self.named.add(text)
        try:
            await client.send(text, resend=resend)
        except DeliveryUnknown:
            self.told[text] = UNKNOWN
        except OnesocketError:
            self.told[text] = NOT_SENT
        else:
            self.told[text] = SENT

    async def agrees(self) -> Counter[str]:
        """Check the fates told to senders against what arrived, in both directions. Returns the counts of fates."""
        sent = {text for text, fate in self.told.items() if fate == SENT}
        counts = await self.server.wait_until(lambda counts: counts.sockets_now == 0, 20)  # nothing more comes
        lost = sorted(sent - self.arrived.keys())
        assert not lost, (
            f"{len(lost)} of {len(self.told)} were told as sent, and have not arrived: {lost[:3]}; {counts}"
        )
        lies = [text for text, fate in self.told.items() if fate == NOT_SENT and text in self.arrived]
        assert not lies, f"{len(lies)} of {len(self.told)} were told as not sent, and have arrived: {lies[:3]}"
        assert all(count == 1 for text, count in self.arrived.items() if text not in self.named)
        return Counter(self.told.values())


@pytest.fixture
async def ledger() -> AsyncIterator[OutcomeLedger]:
    ledger = OutcomeLedger()
    async with ledger.server:
        yield ledger


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("ONESOCKET_SEED", random.SystemRandom().randrange(2**32)))
    print(f"ONESOCKET_SEED={seed}")  # noqa: T201
    return random.Random(seed)


async def end_by_closing(client: SharedClient, _: list[asyncio.Task[None]]) -> None:
    await client.aclose()


async def end_by_disconnecting(client: SharedClient, _: list[asyncio.Task[None]]) -> None:
    await client.disconnect()
    await client.reconnect()
    await client.aclose()


async def end_by_cancelling(client: SharedClient, sending: list[asyncio.Task[None]]) -> None:
    for task in sending:
        task.cancel()
    await asyncio.wait(sending)
    await client.aclose()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", [end_by_closing, end_by_disconnecting, end_by_cancelling])
@pytest.mark.parametrize("how", ["loop", "process", "process, with resend", "host", "host, with resend"])
async def test_a_client_that_ends_in_the_midst_of_sending_tells_the_truth(
    ledger: OutcomeLedger, chance: random.Random, tmp_path: Path, how: str, end: Any
) -> None:
    scope: Any = how.partition(",")[0]
    named = "resend" in how
    directory = str(tmp_path / "run")
    options: dict[str, Any] = {"host_options": HostOptions(directory=directory)} if scope == "host" else {}
    owner: WorkerProcess | SharedClient
    if scope == "host":
        owner = await WorkerProcess.start(WORKER, {"url": ledger.server.url, "directory": directory})
        await owner.do("connect")
    else:
        owner = await join(ledger.server.url, scope=scope)
    rounds = ROUNDS if end is not end_by_disconnecting else ROUNDS // 6
    for number in range(rounds):
        client = await join(ledger.server.url, scope=scope, **options)
        texts = [f"{number}/{count}" for count in range(MANY)]
        sending = [
            asyncio.create_task(ledger.send(client, text, resend=named and count % 3 == 0))
            for count, text in enumerate(texts)
        ]
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        if number == rounds - 1:
            await asyncio.wait(sending)  # at least these arrive
        await end(client, sending)
        await asyncio.wait(sending)
    await (owner.do("close") if isinstance(owner, WorkerProcess) else owner.aclose())
    counts = await ledger.agrees()
    assert counts[SENT], counts
    if isinstance(owner, WorkerProcess):
        await owner.end()


async def test_an_owner_that_leaves_tells_the_truth(
    ledger: OutcomeLedger, chance: random.Random, tmp_path: Path
) -> None:
    directory = str(tmp_path / "run")
    for number in range(ROUNDS // 6):
        owner = await join(ledger.server.url, scope="host", host_options=HostOptions(directory=directory))
        follower = await WorkerProcess.start(WORKER, {"url": ledger.server.url, "directory": directory})
        await follower.do("connect")
        sending = [
            asyncio.create_task(ledger.send(owner, text))
            for text in (f"owner {number}/{count}" for count in range(MANY))
        ]
        theirs = {text: follower.tell("send", message=text) for text in (f"{number}/{c}" for c in range(MANY))}
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        await owner.aclose()
        await asyncio.wait(sending)
        for text, order in theirs.items():
            answer = await follower.answer(order)
            unknown = answer.get("kind") == "DeliveryUnknown"
            ledger.told[text] = SENT if answer["event"] == "done" else UNKNOWN if unknown else NOT_SENT
        await follower.do("close")
        await follower.end()
    counts = await ledger.agrees()
    assert counts[SENT], counts


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_blocking_send_that_is_out_of_time_tells_the_truth(
    ledger: OutcomeLedger, tmp_path: Path, scope: Any
) -> None:
    options: dict[str, Any] = {"host_options": HostOptions(directory=str(tmp_path / "run"))} if scope == "host" else {}

    def sends() -> None:
        with blocking.join(ledger.server.url, scope=scope, **options) as client:
            for number in range(300):
                text = f"{number}"
                try:
                    client.send(text, timeout=number * 2e-6 if number < 299 else 5.0)
                except DeliveryUnknown:
                    ledger.told[text] = UNKNOWN
                except WaitTimeout:
                    ledger.told[text] = NOT_SENT
                else:
                    ledger.told[text] = SENT

    await asyncio.to_thread(sends)
    counts = await ledger.agrees()
    assert counts[SENT], counts


@pytest.mark.parametrize("scope", ["loop", "process"])
async def test_a_full_socket_at_the_end_of_a_client_tells_the_truth(ledger: OutcomeLedger, scope: Any) -> None:
    async with Client(ledger.server.url) as other:  # its own connection, as the measure of a server that reads
        await other.send("other")
        async with join(ledger.server.url, scope=scope) as owner:
            ledger.server.connections[-1].stop_reading()
            filler = [owner.send_nowait("x" * 100_000) for _ in range(100)]
            client = await join(ledger.server.url, scope=scope)
            sending = [asyncio.create_task(ledger.send(client, text)) for text in map(str, range(MANY))]
            await asyncio.sleep(0)
            await client.aclose()
            await asyncio.wait(sending)
            assert set(ledger.told.values()) == {NOT_SENT}  # they waited in the outbox
            ledger.server.connections[-1].resume()
            for delivery in filler:
                await delivery
    del ledger.arrived["x" * 100_000]
    await ledger.agrees()


async def test_a_send_that_was_never_taken_in_is_told_as_not_sent(ledger: OutcomeLedger) -> None:
    client = await join(ledger.server.url)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await client.send("never")
    with pytest.raises(ClientClosed):
        client.send_nowait("never")
    ledger.arrived["something"] = 1
    await ledger.agrees()
    assert "never" not in ledger.arrived
