"""The notices of a hub about its upstream: each loss, each recovery, and the reason for giving up."""

import logging

import pytest

from onesocket import State
from onesocket.testing import Fault, FaultyServer
from tests.integration.hub_clients import connected_program, next_message, running_hub, wait_closed
from tests.support.waiting import until

LOST, BACK = "the upstream was lost", "the upstream is back"


def notice_texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.name == "onesocket"]
    return [start for text in said for start in (LOST, BACK) if text.startswith(start)]


async def test_each_loss_and_each_recovery_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with FaultyServer() as server, running_hub(server) as hub:
        assert notice_texts(caplog) == []
        for number in (1, 2):
            server.kill_connections()
            await until(lambda wanted=number: notice_texts(caplog) == [LOST, BACK] * wanted)  # type: ignore[misc]
        epoch = hub.status.epoch
        await server.stop_listening(kill=True)
        await until(lambda: hub.status.epoch > epoch + 2)  # several attempts fail
        assert notice_texts(caplog) == [LOST, BACK] * 2 + [LOST]
        await server.start()
        await until(lambda: notice_texts(caplog) == [LOST, BACK] * 3)
        assert hub.status.state is State.CONNECTED
        # As loud as the loss: without any configuration Python shows warnings only.
        assert {record.levelno for record in caplog.records if record.name == "onesocket"} == {logging.WARNING}


async def test_a_connection_that_rested_is_not_back(caplog: pytest.LogCaptureFixture) -> None:
    async with FaultyServer() as server, running_hub(server, linger=0.0) as hub:
        await until(lambda: hub.status.state is State.STOPPED)
        async with connected_program(hub) as one:
            await one.send("wake up")
            assert await next_message(one) == "wake up"
        assert notice_texts(caplog) == []


async def test_the_reason_of_the_end_is_cut_at_a_clause() -> None:
    async with FaultyServer() as server, running_hub(server) as hub, connected_program(hub) as one:
        server.faults = Fault.refuse(401)
        server.kill_connections()
        code, reason = await wait_closed(one)
        assert code == 1014
        assert reason.endswith("the server wants other credentials")
