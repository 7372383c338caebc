"""A process that is driven by JSON lines: orders to its stdin, answers and events from its stdout."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar

from .orders import EXIT_INTERRUPTED

ROOT: Final = Path(__file__).resolve().parents[3]
DEADLINE: Final = 20.0
"""Seconds that an answer or an event may take."""
_LINE_LIMIT: Final = 1 << 28
_RECENT: Final = 20
_ERRORS_SHOWN: Final = 1 << 16
_STACKS_DEADLINE: Final = 2.0
"""Seconds for a process to write its stacks."""
_STACKS_POLL: Final = 0.01

Event = dict[str, Any]
T = TypeVar("T")


class WorkerFailure(AssertionError):
    """A deadline has passed, or a process has ended without an answer."""


class OrderRefused(Exception):
    """An order was answered with an error."""

    def __init__(self, answer: Event) -> None:
        self.kind: str = answer["kind"]
        self.text: str = answer["text"]
        super().__init__(f"{self.kind}: {self.text}")


class WorkerProcess:
    """One process and its reports. `on_event` gets each event first, and returns True to take it."""

    interrupted = EXIT_INTERRUPTED
    """Its exit status after Ctrl-C."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, errors: IO[bytes] | None) -> None:
        self.process = process
        self.name = name
        self.said: list[Event] = []
        """All answers, and the events that `on_event` has not taken."""
        self.on_event: Callable[[WorkerProcess, Event], bool] | None = None
        self.output: list[str] = []
        """Lines on its stdout that are no events, as libraries print them."""
        self.errors = ""
        """The text on its stderr, after `end()`; without the stacks that it was asked for."""
        self._errors = errors
        self._errors_end = -1
        """Length of its stderr when it was asked for its stacks; -1: it was not."""
        self._writes_stacks = False
        self._changed = asyncio.Event()
        self._answers: dict[int, Event] = {}
        self._last_number = 0
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self._reading.add_done_callback(lambda _: self._changed.set())

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.name} pid={self.pid} {self.process.returncode}>"

    @classmethod
    async def start(
        cls,
        program: Path,
        setup: object,
        *,
        name: str = "",
        on_event: Callable[[WorkerProcess, Event], bool] | None = None,
        collect_errors: bool = False,
        python: str = sys.executable,
        prefix: Sequence[str] = (),
    ) -> Self:
        """Start a Python module of this repository with `setup` as its argument.

        `collect_errors`: keep its stderr for `errors`; else it goes to the stderr of this process. `prefix`: a command
        that executes the rest of its arguments.
        """
        module = ".".join(program.relative_to(ROOT).with_suffix("").parts)
        command = (*prefix, python, "-m", module, json.dumps(setup))
        worker = await cls.run(command, name or program.stem, on_event=on_event, collect_errors=collect_errors)
        worker._writes_stacks = collect_errors
        return worker

    @classmethod
    async def run(
        cls,
        command: Sequence[str],
        name: str,
        *,
        on_event: Callable[[WorkerProcess, Event], bool] | None = None,
        collect_errors: bool = True,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a command that reports events as JSON lines on its stdout."""
        errors = tempfile.TemporaryFile() if collect_errors else None  # noqa: SIM115 - closed by `end`
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment,
            limit=_LINE_LIMIT,
        )
        worker = cls(process, name, errors)
        worker.on_event = on_event
        return worker

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    @property
    def messages(self) -> list[Any]:
        """The messages that it has reported."""
        return [message for event in self.said if event["event"] == "messages" for message in event["batch"]]

    # --- orders -----------------------------------------------------------------------------------------------------

    def tell(self, do: str, **more: Any) -> int:
        """Give an order; returns its number."""
        self._last_number += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "order": self._last_number, **more}).encode() + b"\n")
        return self._last_number

    async def answer(self, number: int, within: float = DEADLINE) -> Event:
        """The answer to an order: ``done`` with a `result`, or ``error``. Raises `WorkerFailure`."""
        await self.wait_for(lambda: number in self._answers, f"answer to order {number}", within)
        return self._answers.pop(number)

    async def result(self, number: int, within: float = DEADLINE) -> Any:
        """The result of an order. Raises `OrderRefused` or `WorkerFailure`."""
        answer = await self.answer(number, within)
        if answer["event"] == "error":
            raise OrderRefused(answer)
        return answer["result"]

    async def do(self, do: str, *, within: float = DEADLINE, **more: Any) -> Any:
        """Give an order, and wait for its result. Raises `OrderRefused` or `WorkerFailure`."""
        return await self.result(self.tell(do, **more), within)

    async def refused(self, do: str, **more: Any) -> Event:
        """Give an order that has to be refused; returns the answer."""
        answer = await self.answer(self.tell(do, **more))
        assert answer["event"] == "error", answer
        return answer

    # --- events -----------------------------------------------------------------------------------------------------

    async def until(self, wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """The first event from index `since` on for which `wanted` holds. Raises `WorkerFailure`."""
        place = since

        def is_there() -> bool:
            nonlocal place
            while place < len(self.said) and not wanted(self.said[place]):
                place += 1
            return place < len(self.said)

        await self.wait_for(is_there, "event")
        return self.said[place]

    async def got(self, message: Any, since: int = 0) -> Event:
        """The first event from index `since` on that reports this message."""
        return await self.until(lambda event: event["event"] == "messages" and message in event["batch"], since)

    # --- the end ----------------------------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; raises `ProcessLookupError`."""
        if not self.is_alive:
            raise ProcessLookupError
        # Not by `send_signal()`, which may take the exit status before asyncio does.
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    async def ended(self, within: float = 10.0) -> int:
        """Its exit status, when everything that it reported is read. Raises `WorkerFailure`."""
        try:
            async with asyncio.timeout(within):
                await asyncio.wait([self._reading])
                return await self.process.wait()
        except TimeoutError:
            raise WorkerFailure(f"{self!r} did not end within {within:g} s{await self._report()}") from None

    async def end(self) -> None:
        """Kill it, and read its stderr."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self.kill()
        await self.process.wait()
        self._reading.cancel()  # a forked child may still hold its stdout
        await asyncio.wait([self._reading])
        if self._errors is not None and not self._errors.closed:
            with self._errors as file:
                file.seek(0)
                self.errors = file.read(self._errors_end).decode(errors="replace").strip()

    # --- reading ----------------------------------------------------------------------------------------------------

    async def wait_for(self, condition: Callable[[], bool], what: str, within: float = DEADLINE) -> None:
        """Wait until `condition` holds; it is checked after each report. Raises `WorkerFailure`."""

        async def until() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        await self.during(until(), what, within)

    async def during(self, work: Coroutine[Any, Any, T], what: str, within: float) -> T:
        """The result of `work`. Raises `WorkerFailure` after `within` seconds, or when the process has ended."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._reading}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # the last report may have come with the end
            if task.done():
                return task.result()
            why = "has ended" if self._reading.done() else f"took more than {within:g} s"
            raise WorkerFailure(f"{what}: {self.name} {why}{await self._report()}")
        finally:
            task.cancel()

    async def _report(self) -> str:
        """The latest events, output and errors, and the stacks of a process that doesn't answer."""
        errors = self._read_errors(0, self._errors_end) or self.errors
        texts = [*map(str, self.said), *self.output, *errors.splitlines()][-_RECENT:]
        return "".join(f"\n    {text}" for text in [*texts, *await self._ask_stacks()])

    def _read_errors(self, begin: int, end: int = -1) -> str:
        """Its stderr from byte `begin` to byte `end`; -1: so far."""
        if self._errors is None or self._errors.closed:
            return ""
        count = _ERRORS_SHOWN if end < 0 else end - begin
        # pread: the process writes at this file's position
        return os.pread(self._errors.fileno(), count, begin).decode(errors="replace")

    async def _ask_stacks(self) -> list[str]:
        """The stacks of its threads; none of a process that has not begun, which the signal would end."""
        has_begun = bool(self.said or self._answers)
        if not (has_begun and self.is_alive and self._writes_stacks and self._errors and not self._errors.closed):
            return []
        begin = os.fstat(self._errors.fileno()).st_size
        self._errors_end = begin if self._errors_end < 0 else self._errors_end
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGUSR1)
        stacks, before, deadline = "", "", time.monotonic() + _STACKS_DEADLINE
        while (not stacks or stacks != before) and time.monotonic() < deadline:  # they come in several writes
            await asyncio.sleep(_STACKS_POLL)
            before, stacks = stacks, self._read_errors(begin)
        return ["its stacks:", *stacks.splitlines()] if stacks else ["it writes no stacks: it is stopped, or starved"]

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self._take(line)
            self._changed.set()

    def _take(self, line: bytes) -> None:
        try:
            event: Event = json.loads(line)
            is_answer = "order" in event and "event" in event
            event["event"]
        except (ValueError, TypeError, KeyError):
            self.output.append(line.decode(errors="replace").rstrip())
            return
        if is_answer:
            self._answers[event["order"]] = event
        elif self.on_event is not None and self.on_event(self, event):
            return
        self.said.append(event)
