"""A process that joins with the options it's told, which may be anything that goes into dial and login.

Its setup is ``{"url": …, "directory": …, "options": …}``.
"""

import asyncio
import json
import ssl
from typing import Any

from onesocket import Client, Json, Login, Raw, ReconnectPolicy, TokenQuery, join
from onesocket.protocols import Protocol
from onesocket.protocols._protocol import Action, Ready, Send
from onesocket.sharing.host import HostOptions
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event

SETUP: dict[str, Any] = setup()


class KeyedTopics(Json):
    """JSON, with subscriptions."""

    def subscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [json.dumps({"subscribe": sorted(keys)})]

    def unsubscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [json.dumps({"unsubscribe": sorted(keys)})]

    def key_of(self, message: Any) -> Any:
        return message.get("key")


class AccountLogin(Json):
    """Logs in as the account that it was made with."""

    def __init__(self, account: str) -> None:
        super().__init__()
        self.account = account

    def opened(self, token: str | None, now: float) -> list[Action]:
        del token, now
        return [Send(json.dumps({"login": self.account})), Ready()]


class RawWithSharedFingerprint(Raw):
    """Says that one connection serves `KeyedTopics` and this."""

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "texts of the exchange"


class TopicsWithSharedFingerprint(KeyedTopics):
    """The other one."""

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "texts of the exchange"


PROTOCOLS: dict[str, Any] = {
    "raw": Raw,
    "json": Json,
    "topics": KeyedTopics,
    "query": lambda: Raw(token_place=TokenQuery("t")),
    "function": lambda: Json(login=Login(request=lambda _: {"login": SETUP["who"]})),
    "argument": lambda: AccountLogin(SETUP["who"]),
    "as raw": RawWithSharedFingerprint,
    "as topics": TopicsWithSharedFingerprint,
}


def protocol(name: str) -> Protocol:
    made: Protocol = PROTOCOLS[name]()
    return made


def context(setup: dict[str, Any]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=setup["ca"])


def option_values(setup: dict[str, Any]) -> dict[str, Any]:
    options = dict(setup)
    if "protocol" in options:
        options["protocol"] = protocol(options["protocol"])
    if "ssl" in options:
        options["ssl"] = context(options["ssl"])
    return options


def arguments() -> dict[str, Any]:
    """Arguments for `join`: the options, or a function that builds the client from them."""
    options = SETUP.get("options", {})
    if "client_factory" not in options:
        return {**option_values(options), "reconnect": ReconnectPolicy(initial=0.01, cap=0.05)}
    made = dict(options["client_factory"])
    url = made.pop("url", SETUP["url"])
    rest = {name: value for name, value in options.items() if name != "client_factory"}
    return {
        **rest,
        "client_factory": lambda *token: Client(
            url, **option_values(made), **dict(zip(["token"], token, strict=False))
        ),
    }


async def perform(client: Any, order: Order) -> Any:
    match order["do"]:
        case "close":
            return await client.aclose()
        case "connect":
            return (await client.connect()).name
        case "send":
            return await client.send(order["message"])
        case "keys":
            return await anext(client.subscribe(keys=order["keys"]))
        case "state":
            return client.state.name
        case _:
            raise NotImplementedError(order)


async def main() -> None:
    host_options = HostOptions(directory=SETUP["directory"], heartbeat=0.2, stopped_after=1.5, attach_timeout=1.5)
    client = join(SETUP["url"], scope="host", host_options=host_options, **arguments()).client()
    client.on_change(lambda change: write_event("state", new=change.new.name, epoch=change.epoch))
    write_event("ready")
    await serve_orders(lambda order: perform(client, order))


if __name__ == "__main__":
    asyncio.run(main())
