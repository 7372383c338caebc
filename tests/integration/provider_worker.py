"""A process with a `Provider` whose line all processes share, told by lines of JSON on stdin what to do.

Its setup is ``{"url": …, "directory": …, "name": …}``.
"""

import asyncio
import os
from typing import Any

from onesocket import Gap, Identity, Provider, Raw, ReconnectPolicy, SharedClient, join
from onesocket.client import Change
from onesocket.notices import Notices
from onesocket.protocols._token import TokenQuery
from onesocket.sharing.host import HostOptions
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event


class ProviderWorker:
    def __init__(self, given: dict[str, Any]) -> None:
        self.name = given["name"]
        self.who: str | None = "alice"
        self.watched: SharedClient | None = None
        self.provider: Provider[SharedClient] = Provider(
            lambda token: join(
                given["url"],
                token=token,
                scope="host",
                host_options=HostOptions(
                    directory=given["directory"], heartbeat=0.2, stopped_after=1.5, attach_timeout=1.5
                ),
                protocol=Raw(token_place=TokenQuery("token")),
                reconnect=ReconnectPolicy(initial=0.01, cap=0.05),
            ),
            auth=self.auth,
            notices=Notices(),
        )

    async def auth(self) -> Identity | None:
        write_event("asked")
        return None if self.who is None else Identity(self.who, f"{self.who}-from-{self.name}")

    def watch(self) -> None:
        """Tell what comes, also on a new client."""
        client = self.provider.client
        if client is not None and client is not self.watched:
            self.watched = client
            client.on(self.received, gaps=True)
            client.on_change(self.changed)

    def received(self, message: Any) -> None:
        if isinstance(message, Gap):
            write_event("gap", epoch=message.epoch)
        else:
            write_event("messages", batch=[message])

    def changed(self, change: Change) -> None:
        write_event("state", new=change.new.name, epoch=change.epoch)

    async def do(self, order: Order) -> Any:
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


async def main(given: dict[str, Any]) -> None:
    worker = ProviderWorker(given)
    write_event("ready", pid=os.getpid())
    await serve_orders(worker.do)


if __name__ == "__main__":
    asyncio.run(main(setup()))
