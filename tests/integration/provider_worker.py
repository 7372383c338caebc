"""A process with a `Provider` whose line all processes share, told by lines of JSON on stdin what to do.

Started by the tests as ``python provider_worker.py '{"url": …, "directory": …, "name": …}'``.
"""

import asyncio
import json
import os
import sys
from typing import Any

from onesocket import Gap, Identity, OnesocketError, Provider, Raw, ReconnectPolicy, SharedClient, join
from onesocket.client import Change
from onesocket.notices import Notices
from onesocket.protocols._token import TokenQuery
from onesocket.sharing.host import HostOptions


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - its way to talk


class ProviderWorker:
    def __init__(self, setup: dict[str, Any]) -> None:
        self.name = setup["name"]
        self.who: str | None = "alice"
        self.watched: SharedClient | None = None
        self.provider: Provider[SharedClient] = Provider(
            lambda token: join(
                setup["url"],
                token=token,
                scope="host",
                host_options=HostOptions(
                    directory=setup["directory"], heartbeat=0.2, stopped_after=1.5, attach_timeout=1.5
                ),
                protocol=Raw(token_place=TokenQuery("token")),
                reconnect=ReconnectPolicy(initial=0.01, cap=0.05),
            ),
            auth=self.auth,
            notices=Notices(),
        )

    async def auth(self) -> Identity | None:
        say("asked")
        return None if self.who is None else Identity(self.who, f"{self.who}-from-{self.name}")

    def watch(self) -> None:
        """Tell what comes, also on a new link."""
        link = self.provider.client
        if link is not None and link is not self.watched:
            self.watched = link
            link.on(self.received)
            link.on_change(self.changed)

    def received(self, message: Any) -> None:
        if isinstance(message, Gap):
            say("gap", epoch=message.epoch)
        else:
            say("messages", batch=[message])

    def changed(self, change: Change) -> None:
        say("state", new=change.new.name, epoch=change.epoch)

    async def do(self, order: dict[str, Any]) -> Any:
        provider = self.provider
        match order["do"]:
            case "connect":
                outcome = await provider.connect_if_authenticated()
                self.watch()
                return outcome.name
            case "logout":
                await provider.logout()
            case "login":
                outcome = await provider.login()
                self.watch()
                return outcome.name
            case "become":
                self.who = order["who"]
            case "send":
                assert provider.client is not None
                await provider.client.send(order["message"])
            case "look":
                client = provider.client
                return None if client is None else client.state.name
            case _:
                await provider.aclose()
        return None


async def perform(worker: ProviderWorker, order: dict[str, Any]) -> None:
    try:
        result = await worker.do(order)
    except OnesocketError as error:
        say("error", number=order["number"], kind=type(error).__name__, text=str(error))
    else:
        say("done", number=order["number"], result=result)


async def main(setup: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worker = ProviderWorker(setup)
    say("ready", pid=os.getpid())
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        order = json.loads(line)
        task = loop.create_task(perform(worker, order))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if order["do"] == "close":
            await task
            return


asyncio.run(main(json.loads(sys.argv[1])))
