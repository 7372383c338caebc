"""``onesocket connect URL``: one connection, kept up, in a terminal or between two pipes."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import msgspec

from .._printable import printable, printable_bytes
from ..client import Client, Delivery, Gap, State, Subscription
from ..errors import ClientClosed, ClosedByPeer, DeliveryUnknown, OnesocketError
from ._end_rule import EndRule
from ._input_lines import LineTooLong, input_lines
from ._output import Output
from ._remarks import change_text, gap_text, show_failure
from ._stop_signal import StopSignal
from ._usage import EXIT_FAILED

_NORMAL_CLOSE_CODES = frozenset({1000, 1001})
# Seconds after a signal to write messages that were received.
_DRAIN_TIMEOUT = 1.0


class ConnectSession:
    """One run of the command. `run()` returns the exit status; see ``onesocket connect --help``."""

    def __init__(self, client: Client, output: Output, *, as_json: bool, end: EndRule) -> None:
        self._client = client
        self._output = output
        self._as_json = as_json
        self._end = end
        self._shown_count = 0
        self._status = 0
        self._stop = StopSignal("onesocket: aborted\n")
        self._number = 0
        self._last: Delivery | None = None
        # A slow reader of stdout slows the feed down: no message is dropped, and memory is bounded.
        self._messages: Subscription[Any] = client.subscribe(overflow="wait")

    def __repr__(self) -> str:
        return f"<ConnectSession {self._client!r} status={self._status}>"

    async def run(self) -> int:
        """Connect, pass messages both ways, close in order."""
        watcher = asyncio.create_task(self._watch())
        try:
            await self._run()
        finally:
            await self._client.aclose()
            await watcher
        return self._stop.status or self._status

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        stop = loop.create_task(self._stop.wait())
        connecting = loop.create_task(self._connect())
        await asyncio.wait({connecting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            await self._client.aclose()
        if not await connecting:
            stop.cancel()
            return
        printer = loop.create_task(self._print_messages())
        typist = loop.create_task(self._send_lines())
        waiting: set[asyncio.Task[Any]] = {stop, printer, typist}
        patience: float | None = None
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if done != {typist}:
                break
            typed = sys.stdin is not None and sys.stdin.isatty()
            patience = self._end.patience(sent=self._number > 0, typed=typed)
        await self._shut_down(typist, printer)
        stop.cancel()
        self._check_count()

    async def _connect(self) -> bool:
        try:
            await self._client.connect()
        except OnesocketError as error:
            if not self._stop.is_set():
                self._fail(error)
            return False
        return True

    async def _shut_down(self, typist: asyncio.Task[None], printer: asyncio.Task[None]) -> None:
        """Close the connection; messages that the server sends before its own CLOSE are printed."""
        typist.cancel()
        await asyncio.wait({typist})
        await self._client.aclose()
        if typist.cancelled():
            self._report_last_delivery()
        # A pipe without a reader must not delay the end after a signal.
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({printer, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        _, stuck = await asyncio.wait({printer}, timeout=_DRAIN_TIMEOUT)
        for task in stuck:
            task.cancel()
        await asyncio.wait({printer})

    # --- received messages ------------------------------------------------------------------------------------------

    async def _print_messages(self) -> None:
        mark = "< " if sys.stdout is not None and sys.stdout.isatty() else ""
        try:
            async for message in self._messages:
                if isinstance(message, Gap):
                    self._output.say(gap_text(message))
                else:
                    await self._output.message(mark + self._shown(message))
                    self._shown_count += 1
                    if self._shown_count == self._end.count:
                        self._messages.close()  # what it holds back stands before the server's CLOSE
                        return
        except OnesocketError as error:
            if isinstance(error, ClosedByPeer) and error.code in _NORMAL_CLOSE_CODES:
                self._output.note(str(error))
            else:
                self._fail(error)
        except BrokenPipeError:
            self._output.note("stdout has no reader any more")
        except OSError as error:
            self._status = EXIT_FAILED
            self._output.fail(f"a message could not be written to stdout: {error.strerror}")

    def _shown(self, message: Any) -> str:
        if self._as_json:
            text = json.dumps(message, indent=2, ensure_ascii=False)
            return "\n".join(printable(line) for line in text.split("\n"))
        return printable(message) if isinstance(message, str) else printable_bytes(message)

    async def _watch(self) -> None:
        async for change in self._client.changes():
            text = change_text(change, self._client.status)
            if text:
                self._output.note(text)

    # --- sent lines -------------------------------------------------------------------------------------------------

    async def _send_lines(self) -> None:
        if sys.stdin is None:  # closed (`<&-`)
            return
        try:
            async for line in input_lines(sys.stdin.fileno()):
                self._number += 1
                await self._send(line)
        except LineTooLong as error:
            self._number += 1
            self._not_sent(str(error))

    async def _send(self, line: bytes) -> None:
        if self._as_json and not line.strip():
            return
        try:
            self._last = self._client.send_nowait(self._message(line))
            if not self._last.done and self._client.state is not State.CONNECTED:
                self._output.note(f"line {self._number} waits until the connection is back")
            await self._last
        except UnicodeDecodeError:
            self._not_sent("it is not UTF-8")
        except msgspec.DecodeError as error:
            self._not_sent(f"it is not JSON: {error}")
        except OnesocketError as error:
            self._not_delivered(error)

    def _message(self, line: bytes) -> Any:
        if not self._as_json:
            return line.decode()
        msgspec.json.decode(line)
        return msgspec.Raw(line)  # as it was typed: decoding only checks it

    def _report_last_delivery(self) -> None:
        """Report a last line that was not delivered: the client is closed, so its outcome is known."""
        if self._last is not None and self._last.error is not None:
            self._not_delivered(self._last.error)

    def _not_sent(self, why: str) -> None:
        self._status = self._status or EXIT_FAILED
        self._output.fail(f"line {self._number} was not sent: {why}")

    def _not_delivered(self, error: OnesocketError) -> None:
        if isinstance(error, DeliveryUnknown):
            self._status = self._status or EXIT_FAILED
            self._output.fail(f"line {self._number} may not have arrived: {error}")
        elif isinstance(error, ClientClosed):
            self._not_sent("it still waited for the connection")
        else:
            self._not_sent(str(error))

    # --- the end ----------------------------------------------------------------------------------------------------

    def _check_count(self) -> None:
        count = self._end.count
        if count is not None and self._shown_count < count and not self._stop.is_set():
            self._status = EXIT_FAILED
            self._output.fail(f"the server sent {self._shown_count} of --count {count} messages")

    def _fail(self, error: OnesocketError) -> None:
        self._status = EXIT_FAILED
        show_failure(self._output, error)
