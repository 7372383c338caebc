"""Messages on their way up, as the owner keeps them."""

import asyncio
from typing import cast

import pytest

from onesocket import Client, OnesocketError
from onesocket.client._delivery import DELIVERED, Delivery
from onesocket.errors import ConnectionReset, DeliveryUnknown, IpcError
from onesocket.sharing.host._pending_operations import PendingOperations


class ClientStub:
    """A client that takes messages, and says nothing of their fate."""

    def __init__(self) -> None:
        self.internals = self.sender = self
        self.taken: list[Delivery] = []
        self.refusals: dict[str, Exception] = {}

    def send_nowait(self, data: str) -> Delivery:
        if data in self.refusals:
            raise self.refusals[data]
        self.taken.append(Delivery(data) if data.startswith("slow") else DELIVERED)
        return self.taken[-1]

    def withdraw(self, delivery: Delivery) -> bool:
        return delivery in self.taken


def make_pending(client: ClientStub) -> PendingOperations:
    return PendingOperations(cast("Client", client))


async def test_who_hears_of_a_message_may_send_it_again_under_its_number() -> None:
    client = ClientStub()
    work = make_pending(client)
    told: list[OnesocketError | None] = []
    over = asyncio.Event()

    def settled(number: int, error: OnesocketError | None) -> None:
        told.append(error)
        if error is not None:
            work.send("me", number, "slow", settled)
        else:
            over.set()

    work.send("me", 1, "slow", settled)
    await asyncio.sleep(0)
    client.taken[0].resolve(DeliveryUnknown("the connection broke"))
    for _ in range(10):  # until the news is told, the second is sent, and the task of the first is forgotten
        await asyncio.sleep(0)
    assert len(client.taken) == 2
    with pytest.raises(IpcError, match="twice"):
        work.send("me", 1, "slow", settled)  # the first is over, and didn't take the second with it
    client.taken[1].resolve()
    async with asyncio.timeout(5):
        await over.wait()
    assert [type(error) for error in told] == [DeliveryUnknown, type(None)]
    await work.finish()
    assert repr(work) == "<PendingOperations 0>"


async def test_one_that_fails_takes_no_other_with_it() -> None:
    client = ClientStub()
    client.refusals = {"bad": ZeroDivisionError("token=secret"), "lost": ConnectionReset("lost")}
    told: dict[int, OnesocketError | None] = {}
    work = make_pending(client)
    for number, data in enumerate(["one", "bad", "two", "lost", "three"]):
        work.send("me", number, data, told.__setitem__)
    assert {number: type(error) for number, error in told.items()} == {
        0: type(None),
        1: OnesocketError,
        2: type(None),
        3: ConnectionReset,
        4: type(None),
    }
    assert "secret" not in str(told[1])
    work.send("me", 7, "slow", told.__setitem__)
    with pytest.raises(IpcError, match="twice"):
        work.send("me", 7, "slow", told.__setitem__)
    work.cancel_all("me")
    await work.finish()
