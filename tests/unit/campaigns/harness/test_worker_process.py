"""Orders, answers, events and ends of a worker process; this module is its own worker."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket.errors import UsageError
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event
from tests.campaigns.harness.worker_process import OrderRefused, WorkerFailure, WorkerProcess


async def perform(order: Order) -> Any:
    match order["do"]:
        case "add":
            return order["a"] + order["b"]
        case "refuse":
            raise UsageError("not today")
        case "fail":
            raise ValueError("broken")
        case "say":
            write_event("messages", batch=order["batch"])
        case "complain":
            sys.stderr.write("a complaint\n")
        case "wait":
            await asyncio.Event().wait()
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            pass
    return None


async def main() -> None:
    write_event("ready", setup=setup())
    await serve_orders(perform)


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    process = await WorkerProcess.start(Path(__file__), {"x": 1}, collect_errors=True)
    yield process
    await process.end()


async def test_orders_are_answered_also_out_of_order(worker: WorkerProcess) -> None:
    assert (await worker.until(lambda event: event["event"] == "ready"))["setup"] == {"x": 1}
    waiting, adding = worker.tell("wait"), worker.tell("add", a=1, b=2)
    assert await worker.result(adding) == 3
    with pytest.raises(WorkerFailure, match=r"answer to order 1: test_worker_process took more than 0\.01 s"):
        await worker.result(waiting, 0.01)
    await worker.do("close")
    assert await worker.ended() == 0


async def test_a_refused_order_has_the_type_and_text_of_its_error(worker: WorkerProcess) -> None:
    with pytest.raises(OrderRefused, match="UsageError: not today"):
        await worker.do("refuse")
    assert (await worker.refused("refuse"))["kind"] == "UsageError"
    assert [event["event"] for event in worker.said if event["event"] == "wrong"] == []
    with pytest.raises(OrderRefused, match="ValueError: broken"):
        await worker.do("fail")
    assert (await worker.until(lambda event: event["event"] == "wrong"))["text"] == "fail: ValueError: broken"


async def test_events_are_recorded_unless_they_are_taken(worker: WorkerProcess) -> None:
    await worker.do("say", batch=["a", "b"])
    assert (await worker.got("b"))["batch"] == ["a", "b"]
    taken: list[Any] = []

    def take(_: WorkerProcess, event: dict[str, Any]) -> bool:
        taken.append(event["batch"])
        return True

    worker.on_event = take
    await worker.do("say", batch=["c"])
    assert taken == [["c"]]
    assert worker.messages == ["a", "b"]


async def test_a_process_that_dies_answers_nothing_more(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerFailure, match="answer to order 1: test_worker_process has ended"):
        await worker.do("die")
    assert await worker.ended() == -signal.SIGKILL
    assert not worker.is_alive


async def test_the_text_on_stderr_is_kept(worker: WorkerProcess) -> None:
    await worker.do("complain")
    await worker.end()
    assert worker.errors == "a complaint"
    await worker.end()
    assert worker.errors == "a complaint"


if __name__ == "__main__":
    asyncio.run(main())
