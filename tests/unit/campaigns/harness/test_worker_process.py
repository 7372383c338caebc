"""Orders, answers, events and ends of a worker process; this module is its own worker."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket.errors import UsageError
from tests.campaigns.harness import worker_process
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event
from tests.campaigns.harness.probe import load_note
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
        case "stand still":
            time.sleep(60)  # noqa: ASYNC251 - a process that hangs
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


async def test_a_process_that_does_not_answer_tells_where_it_is(worker: WorkerProcess) -> None:
    await worker.do("complain")
    for number in (worker.tell("stand still"), worker.tell("add", a=1, b=2)):
        with pytest.raises(WorkerFailure, match=r"a complaint\n    its stacks:\n.*(\n.*)*, line \d+ in perform"):
            await worker.result(number, 0.01)
    with pytest.raises(WorkerFailure, match=r"did not end within 0\.01 s(\n.*)*in perform"):
        await worker.ended(0.01)
    await worker.end()
    assert worker.errors == "a complaint"


async def test_a_process_that_is_stopped_writes_no_stacks(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_STACKS_DEADLINE", 0.01)
    await worker.do("add", a=1, b=2)
    worker.signal(signal.SIGSTOP)
    with pytest.raises(WorkerFailure, match="it is stopped, or starved"):
        await worker.do("add", a=1, b=2, within=0.01)


@pytest.mark.parametrize(("load", "note"), [(1.0, False), (1e4, True)])
def test_a_missed_deadline_tells_the_load(monkeypatch: pytest.MonkeyPatch, load: float, note: bool) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert ("load average" in load_note()) is note


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
