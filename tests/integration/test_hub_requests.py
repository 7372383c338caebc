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
