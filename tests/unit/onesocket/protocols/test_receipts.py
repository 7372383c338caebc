"""`receipt=` and `closed=` of codecs: what is sent back for a message, and what a close code means."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from onesocket import Client, Json, Msgpack, Raw, State
from onesocket.errors import InvalidOption, OnesocketError, ServerBusy, UsageError
from onesocket.protocols import CodecProtocol, Heartbeat
from onesocket.testing import MemoryServer

from ...virtual_time import make_client, on_virtual_time, settle


def receipt_of(message: Any) -> Any:
    return {"ack": message["id"]} if "id" in message else None


@pytest.mark.parametrize("heartbeat", [None, Heartbeat(reply=lambda message: message.get("ping"))])
@pytest.mark.parametrize("many", [False, True])
@on_virtual_time
async def test_a_message_is_delivered_and_its_receipt_sent(many: bool, heartbeat: Heartbeat | None) -> None:
    server = MemoryServer()
    protocol = Json(many=many, receipt=receipt_of, heartbeat=heartbeat)
    async with make_client(server, protocol=protocol) as client:
        messages = client.subscribe()
        for frame in ('{"id": 1}', '{"no": 2}', '[{"id": 3}, {"id": 4}]' if many else '{"id": 3}'):
            server.peers[0].send(frame)
        expected = [{"id": 1}, {"no": 2}, {"id": 3}, *([{"id": 4}] if many else [])]
        assert [await anext(messages) for _ in expected] == expected
        await settle()
        receipts = [f'{{"ack":{message["id"]}}}' for message in expected if "id" in message]
        assert server.peers[0].received == receipts


@on_virtual_time
async def test_a_receipt_that_fails_is_logged_once_and_the_messages_are_delivered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MemoryServer()
    made: list[Any] = [KeyError("id"), object(), "fine"]

    def make(_message: Any) -> Any:
        receipt = made.pop(0)
        if isinstance(receipt, Exception):
            raise receipt
        return receipt

    async with make_client(server, protocol=Json(receipt=make)) as client:
        messages = client.subscribe()
        for number in range(3):
            server.peers[0].send(str(number))
        assert [await anext(messages) for _ in range(3)] == [0, 1, 2]
        await settle()
        assert server.peers[0].received == ['"fine"']
    assert [record.levelno for record in caplog.records if "receipt=" in record.message] == [logging.ERROR]


async def later(*_: Any) -> None:
    pass


@pytest.mark.parametrize("codec", [Json, Msgpack, Raw])
@pytest.mark.parametrize("option", ["receipt", "closed"])
@pytest.mark.parametrize("value", [1, later])
def test_other_kinds_are_refused(codec: type[CodecProtocol[Any]], option: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"{option} must be a plain function or None"):
        codec(**{option: value})


def busy_or_nothing(code: int, reason: str) -> OnesocketError | None:
    return ServerBusy("full", code=code, reason=reason) if code == 4000 else None


def not_an_error(code: int, reason: str) -> Any:
    return f"{code} {reason}"


def fails(code: int, reason: str) -> OnesocketError:
    raise LookupError(code, reason)


@pytest.mark.parametrize(
    ("function", "code", "error", "text"),
    [
        (busy_or_nothing, 4000, ServerBusy, "full"),
        (busy_or_nothing, 1008, OnesocketError, "policy violation"),
        (not_an_error, 4000, UsageError, "closed= must return an OnesocketError or None, not str"),
        (fails, 4000, OnesocketError, "LookupError"),
    ],
)
@on_virtual_time
async def test_close_codes_mean_what_the_function_says(
    function: Any, code: int, error: type[OnesocketError], text: str
) -> None:
    server = MemoryServer()
    client: Client[Any] = make_client(server, protocol=Json(closed=function), reconnect=None)
    async with client:
        server.peers[0].close(code, "words")
        await settle()
        assert client.state is not State.CONNECTED
        loss = client.status.last_loss
        assert isinstance(loss, error)
        assert text in str(loss)


@pytest.mark.parametrize("seconds", [-1, True, "10", None, float("inf"), float("nan")])
def test_the_time_of_a_ghost_has_to_be_a_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(InvalidOption, match="ghost_seconds must be a finite number of seconds, 0 or more, not"):
        Json(ghost_seconds=seconds)
    assert Json(ghost_seconds=0).ghost_seconds == 0
