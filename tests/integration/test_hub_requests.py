"""Requests of local clients of a hub: the same ids, their own answers; the *server* tells what it was asked."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from onesocket.hub import JsonRequests
from onesocket.testing import FaultyServer
from tests.integration.hub_clients import connected_program, next_message, running_hub, wait_closed
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("private_runtime")


async def next_json(program: ClientConnection) -> Any:
    return json.loads(await next_message(program))


async def test_programs_with_the_same_ids_get_their_own_answers_and_every_byte_but_the_id_stays() -> None:
    async with (
        FaultyServer() as server,
        running_hub(server, requests=JsonRequests()) as hub,
        connected_program(hub) as one,
        connected_program(hub) as two,
    ):
        for program, name in ((one, "one"), (two, "two")):
            await program.send(f'{{"id":1,"from":"{name}","price":1.10,"big":123456789012345678901234567890}}')
            await program.send(f'{{"id":"mine","from":"{name}"}}')
        for program, name in ((one, "one"), (two, "two")):
            assert await next_message(program) == (
                f'{{"id":1,"from":"{name}","price":1.10,"big":123456789012345678901234567890}}'
            )
            assert await next_json(program) == {"id": "mine", "from": name}
        assert sorted(json.loads(data)["id"] for data in server.received) == [1, 2, 3, 4]
        for other in ('{"event":1}', "no JSON", '["id",1]', '{"id":null}', '{"id":true}', '{"id":99}'):
            await server.broadcast(other)
            assert [await next_message(one), await next_message(two)] == [other, other]
        await one.send(b'{"id":5}')
        assert await next_message(one) == b'{"id":5}'
        assert (hub.counters.delivered, hub.counters.received.total) == (17, 11)


async def test_later_answers_go_to_the_program_that_asked_and_nowhere_once_it_has_left() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, requests=JsonRequests(id="req")) as hub,
        connected_program(hub) as stays,
    ):
        async with connected_program(hub) as leaves:
            await leaves.send('{"req":7,"op":"subscribe"}')
            await until(lambda: len(server.received) == 1)
            for number in range(3):
                await server.broadcast(json.dumps({"req": 1, "n": number}))
                assert await next_json(leaves) == {"req": 7, "n": number}
        await until(lambda: hub.frontend.clients == 1)
        await server.broadcast('{"req":1,"n":3}')
        await server.broadcast('{"event":1}')
        assert await next_message(stays) == '{"event":1}'


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"id": 1, "type": "complete"}, '{"type":"complete", "id":1}'),
        ({"type": "unsubscribe", "subscription": 1}, '{"id":2,"type":"unsubscribe","subscription":1}'),
    ],
)
async def test_a_client_stops_its_own_stream_and_none_of_another_client(stop: dict[str, Any], message: str) -> None:
    def stop_of(frame: str | bytes) -> str:
        id_ = json.loads(frame)["id"]
        return json.dumps({name: id_ if value == 1 else value for name, value in stop.items()})

    async with (
        FaultyServer() as server,
        running_hub(server, requests=JsonRequests(stop=stop_of)) as hub,
        connected_program(hub) as one,
        connected_program(hub) as two,
    ):
        for program in (one, two):
            await program.send('{"id":1}')
            assert await next_json(program) == {"id": 1}
        await two.send(message)
        await two.send('{"id":3}')
        assert await next_json(two) == {"id": 3}
        sent = [json.loads(data) for data in server.received]
        assert [each.get("subscription", each["id"]) for each in sent if "type" in each] == [2]
        await server.broadcast('{"id":1,"to":"one"}')
        assert await next_json(one) == {"id": 1, "to": "one"}
        await two.send(message)  # of no stream any more: a request as any other
        await until(lambda: len(server.received) == 5)


async def test_a_stop_that_raises_is_logged_and_the_request_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: str | bytes) -> str:
        raise KeyError("id")

    async with (
        FaultyServer() as server,
        running_hub(server, requests=JsonRequests(stop=broken)) as hub,
        connected_program(hub) as one,
    ):
        await one.send('{"id":1}')
        assert await next_json(one) == {"id": 1}
    assert "stop= of the protocol failed on a request of 8 bytes" in caplog.text


async def test_a_loss_forgets_requests_and_the_same_id_may_be_used_again() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, requests=JsonRequests()) as hub,
        connected_program(hub) as program,
    ):
        await program.send('{"id":1}')
        await until(lambda: len(server.received) == 1)
        server.kill_connections()
        await server.wait_until(lambda counts: counts.handshakes == 2)
        server.echo = True
        await program.send('{"id":1,"again":true}')
        assert await next_json(program) == {"id": 1, "again": True}
        assert json.loads(server.received[-1])["id"] == 2


async def test_the_requests_of_one_program_are_bounded() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, requests=JsonRequests()) as hub,
        connected_program(hub) as program,
    ):
        for _ in range(1030):
            await program.send('{"id":1}')
        await until(lambda: len(server.received) == 1030)
        await server.broadcast('{"id":6}')
        await server.broadcast('{"id":7}')
        await server.broadcast('{"id":1030}')
        assert [await next_json(program), await next_json(program)] == [{"id": 1}, {"id": 1}]


async def test_a_request_that_can_not_be_sent_is_told_to_its_program() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, requests=JsonRequests(), client_options={"outbox": None}) as hub,
        connected_program(hub) as program,
    ):
        server.faults = []
        await hub._upstream.disconnect()
        await program.send('{"id":1}')
        code, reason = await wait_closed(program)
        assert code == 1013
        assert "was not sent upstream (ManuallyDisconnected)" in reason
        assert hub.counters.not_sent == 1
        await asyncio.sleep(0)
