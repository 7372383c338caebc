"""The program that is killed: `python -m tests.campaigns.outbox.program`, with a request for each run on stdin.

Each run is a forked process, as a new interpreter takes longer than everything else. It says on stdout what it knows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

from onesocket import Acknowledgement, Client, DurableOutbox, Json, ReconnectPolicy
from onesocket.client._durable_messages import DurableMessages
from onesocket.client._message_store import Delete, Insert, Mark, MessageStore, Operation
from onesocket.client._sender import Sender
from onesocket.errors import ConnectionFailure
from tests.campaigns.outbox.steps import Step

_OFFLINE = 3
"""Number of messages that are stored before there is a connection."""
_SETTLE_TIMEOUT = 20.0
_ACKNOWLEDGES = Acknowledgement(id_of=lambda message: message["id"], acknowledged_by=lambda message: message["ack"])


def say(*words: object) -> None:
    """Write one line, in one piece, past all buffers."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Trap:
    """Kills this process when a step is reached for the n-th time."""

    def __init__(self, step: str | None, occurrence: int) -> None:
        self._step = step
        self._left = occurrence
        self._statements: list[str] = []

    def reached(self, step: Step) -> None:
        """Note that this step is reached."""
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, sql: str) -> None:
        """SQLite is about to execute this."""
        word = sql.split(maxsplit=1)[0]
        match word:
            case "BEGIN":
                self._statements.clear()
            case "INSERT":
                self.reached(Step.BEFORE_INSERT)
            case "UPDATE":
                self.reached(Step.BEFORE_MARK)
            case "DELETE":
                self.reached(Step.BEFORE_DELETE)
            case "COMMIT" if "INSERT" in self._statements:
                self.reached(Step.BEFORE_COMMIT)
            case "COMMIT" if "DELETE" in self._statements:
                self.reached(Step.BEFORE_DELETE_COMMIT)
            case _:
                pass
        self._statements.append(word)

    def set(self) -> None:
        """Watch SQLite, the outbox and the sender."""
        connect = sqlite3.connect

        def connect_watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            self.reached(Step.OPENING)
            database: sqlite3.Connection = connect(*arguments, **options)
            database.set_trace_callback(self.statement)
            return database

        sqlite3.connect = connect_watched  # type: ignore[assignment] # as the store calls it
        for kind, step in ((Insert, Step.AFTER_COMMIT), (Mark, Step.AFTER_MARK), (Delete, Step.AFTER_DELETE)):
            self._before(DurableMessages, "_written", step, lambda done, kind=kind: holds(done, kind))
        self._before(DurableMessages, "received", Step.ACKNOWLEDGEMENT_CAME)
        self._before(Sender, "_send_stored", Step.BEFORE_WRITE)
        self._before(DurableMessages, "taken", Step.AFTER_WRITE)
        self._before(MessageStore, "close", Step.CLOSING)

    def _before(self, owner: type, name: str, step: Step, applies: Callable[..., bool] = lambda *_: True) -> None:
        method = getattr(owner, name)

        def watched(self_: Any, *arguments: Any) -> Any:
            if applies(*arguments[:1]):
                self.reached(step)
            return method(self_, *arguments)

        setattr(owner, name, watched)


def holds(operations: list[Operation], kind: type[Operation]) -> bool:
    """Check whether one of these is of that kind."""
    return any(isinstance(operation, kind) for operation in operations)


def say_restored(outbox: DurableOutbox) -> None:
    """Say which messages of earlier runs are sent again."""
    for message in outbox.restored:
        say("restored", json.loads(message.data)["id"], int(message.may_have_arrived))


async def run(request: dict[str, Any]) -> None:
    """Send the messages of one run, wait until all are settled, and close."""
    outbox = DurableOutbox(request["path"])
    protocol = Json(acknowledges=_ACKNOWLEDGES if request["acknowledges"] else None)
    reconnect = ReconnectPolicy(initial=0.005, cap=0.02)
    client = Client(request["url"], protocol=protocol, outbox=outbox, reconnect=reconnect)
    names = [f"{request['run']:03}.{number:03}" for number in range(request["messages"])]
    for number, name in enumerate(names[:_OFFLINE]):
        await client.send({"id": name})
        if not number:
            say_restored(outbox)
        say("accepted", name)
    while True:
        try:
            await client.connect()
        except ConnectionFailure:
            await asyncio.sleep(0.01)
        else:
            break
    if not names:
        say_restored(outbox)
    for name in names[_OFFLINE:]:
        await client.send({"id": name})
        say("accepted", name)
    async with asyncio.timeout(_SETTLE_TIMEOUT):
        while client.status.outbox:  # noqa: ASYNC110 - a program has no event for that
            await asyncio.sleep(0.001)
    await client.aclose()


def main() -> None:
    """Fork for each request, and say how the process ended."""
    logging.getLogger("onesocket").setLevel("CRITICAL")  # losses are intended
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            say("pid", os.getpid())
            trap = Trap(request["step"], request["occurrence"])
            trap.set()
            asyncio.run(run(request))
            trap.reached(Step.CLOSED)
            os._exit(0)
        say("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
