"""Errors that a program makes of its service's answers."""

from __future__ import annotations

from typing import Any

import pytest

from onesocket import Client, Json, Login
from onesocket.errors import InvalidOption, ServerBusy
from onesocket.transports._memory import MemoryServer
from tests.unit.virtual_time import on_virtual_time


def test_the_date_of_a_busy_server_is_a_number() -> None:
    assert [ServerBusy("later", retry_after=given).retry_after for given in (None, 2, -0.5)] == [None, 2, 0.0]
    wrong: Any
    for wrong in ("30", float("nan"), True):
        with pytest.raises(InvalidOption, match="retry_after must be a number of seconds or None"):
            ServerBusy("later", retry_after=wrong)


@on_virtual_time
async def test_a_login_that_names_no_number_fails_and_hangs_nowhere() -> None:
    def refused(message: Any) -> ServerBusy:
        return ServerBusy("later", retry_after=message["wait"])

    server = MemoryServer(on_dial=lambda peer: peer.accept(greeting=['{"wait": "30"}']))
    client = Client(
        "ws://memory.test/",
        protocol=Json(login=Login(refused=refused, ready=lambda _: False)),
        transport=server.transport(),
    )
    with pytest.raises(InvalidOption, match="retry_after must be a number of seconds or None, not '30'"):
        await client.connect(retry=True)
    await client.aclose()
