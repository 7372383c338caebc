"""Calls that wait for a role: each gets the role, or an error of its own, unless its caller gave up."""

import asyncio
from typing import Any

import pytest

from onesocket.errors import ClientClosed
from onesocket.sharing.host._role_waiters import RoleWaiters


async def test_all_that_wait_get_the_role_and_those_that_come_later_the_next_one() -> None:
    waiters = RoleWaiters()
    role: Any = object()
    before, given_up, later = waiters.add(), waiters.add(), waiters.add()
    given_up.cancel()
    await asyncio.sleep(0)
    waiters.resolve(role)
    after = waiters.add()
    assert [await before, await later] == [role, role]
    assert repr(waiters) == "<RoleWaiters 1>"
    waiters.resolve(role)
    assert await after is role


async def test_each_that_waits_gets_a_copy_of_the_error() -> None:
    waiters = RoleWaiters()
    futures = [waiters.add() for _ in range(2)]
    futures.append(waiters.add())
    futures[2].cancel()  # in this turn: it's still among them
    waiters.reject(ClientClosed())
    errors = await asyncio.gather(*futures[:2], return_exceptions=True)
    assert [type(error) for error in errors] == [ClientClosed, ClientClosed]
    assert errors[0] is not errors[1]
    with pytest.raises(asyncio.CancelledError):
        await futures[2]
