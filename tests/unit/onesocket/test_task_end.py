"""Tasks that are ended without a turn of their loop."""

import asyncio
from typing import Any

from onesocket._task_end import end_task


def test_the_end_of_the_loop_finds_nothing_of_a_task_that_was_ended() -> None:
    reports: list[Any] = []
    is_over: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            is_over.append(True)

    async def begin() -> "asyncio.Task[None]":
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        return task

    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reports.append(context))
        task = runner.run(begin())
        assert end_task(task) is None
        assert is_over == [True]
    assert reports == [], "asyncio.Runner cancels all tasks, and reports what they raise"


def test_a_task_that_was_done_when_its_loop_was_closed() -> None:
    async def fails() -> None:
        raise ValueError

    loop = asyncio.new_event_loop()
    task = loop.create_task(fails())
    loop.run_until_complete(asyncio.wait((task,)))
    loop.close()
    assert end_task(task) is None
