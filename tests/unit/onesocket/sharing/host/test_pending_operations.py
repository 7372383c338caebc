"""Operations of an owner's requesters: each has one result, and fails alone."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from onesocket import Client, OnesocketError, Outcome
from onesocket.client._delivery import DELIVERED, Delivery
from onesocket.errors import ConnectionReset, DeliveryUnknown, IpcError
from onesocket.sharing.host._pending_operations import PendingOperations


class ClientStub:
    """A client that takes messages, and says nothing of their fate."""

    def __init__(self) -> None:
        self.internals = self.sender = self
        self.taken: list[Delivery] = []
        self.withdrawn: list[Delivery] = []
        self.refusals: dict[str, Exception] = {}

    def send_nowait(self, data: str) -> Delivery:
        if data in self.refusals:
            raise self.refusals[data]
        self.taken.append(Delivery(data) if data.startswith("slow") else DELIVERED)
        return self.taken[-1]

    def withdraw(self, delivery: Delivery) -> bool:
        self.withdrawn.append(delivery)
        return True


def make_pending(client: ClientStub) -> PendingOperations:
    return PendingOperations(cast("Client", client))


class RecordingRequester:
    """A requester that keeps its results, and calls back for each."""

    def __init__(self) -> None:
        self.results: list[tuple[int, OnesocketError | None]] = []
        self.on_result: Callable[[int, OnesocketError | None], None] = lambda *_: None

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        assert outcome is None
        self.results.append((number, error))
        self.on_result(number, error)

    def add_answer(self, number: int, data: object) -> bool:
        raise NotImplementedError

    def release_slot(self) -> None:
        raise NotImplementedError


async def test_a_requester_may_send_a_message_again_under_its_number_as_soon_as_it_has_its_result() -> None:
    client, requester = ClientStub(), RecordingRequester()
    operations = make_pending(client)
    over = asyncio.Event()

    def send_again(number: int, error: OnesocketError | None) -> None:
        if error is not None:
            operations.send(requester, number, "slow")
        else:
            over.set()

    requester.on_result = send_again
    operations.send(requester, 1, "slow")
    await asyncio.sleep(0)
    client.taken[0].resolve(DeliveryUnknown("the connection broke"))
    for _ in range(10):  # until the result is reported, the second is sent, and the task of the first is forgotten
        await asyncio.sleep(0)
    assert len(client.taken) == 2
    with pytest.raises(IpcError, match="twice"):
        operations.send(requester, 1, "slow")  # the first is over, and didn't take the second with it
    client.taken[1].resolve()
    async with asyncio.timeout(5):
        await over.wait()
    assert [type(error) for _, error in requester.results] == [DeliveryUnknown, type(None)]
    await operations.finish()
    assert repr(operations) == "<PendingOperations 0>"


async def test_a_message_that_fails_takes_no_other_with_it() -> None:
    client, requester = ClientStub(), RecordingRequester()
    client.refusals = {"bad": ZeroDivisionError("token=secret"), "lost": ConnectionReset("lost")}
    operations = make_pending(client)
    for number, data in enumerate(["one", "bad", "two", "lost", "three"]):
        operations.send(requester, number, data)
    errors = dict(requester.results)
    assert {number: type(error) for number, error in errors.items()} == {
        0: type(None),
        1: OnesocketError,
        2: type(None),
        3: ConnectionReset,
        4: type(None),
    }
    assert "secret" not in str(errors[1])
    operations.send(requester, 7, "slow")
    with pytest.raises(IpcError, match="twice"):
        operations.send(requester, 7, "slow")
    operations.cancel_all(requester)
    await operations.finish()


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_cancelled_message_is_withdrawn_also_in_the_turn_in_which_it_came(turns: int) -> None:
    client, requester = ClientStub(), RecordingRequester()
    operations = make_pending(client)
    operations.send(requester, 1, "slow")
    for _ in range(turns):
        await asyncio.sleep(0)
    assert operations.cancel(requester, 1)
    await operations.finish()
    assert client.withdrawn == client.taken
    assert requester.results == []
