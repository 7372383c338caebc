"""A process that joins with the options it's told, which may be anything that goes into dial and login.

Started by the tests as ``python agreement_worker.py '{"url": …, "directory": …, "options": …}'``.
"""

import asyncio
import json
import ssl
import sys
from typing import Any

from onesocket import Client, Json, Login, OnesocketError, Raw, ReconnectPolicy, TokenQuery, join
from onesocket.protocols import Protocol
from onesocket.protocols._protocol import Action, Ready, Send
from onesocket.sharing.host import HostOptions

SETUP: dict[str, Any] = json.loads(sys.argv[1])


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - its way to talk


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


async def perform(client: Any, order: dict[str, Any]) -> Any:
    match order["do"]:
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
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    host_options = HostOptions(directory=SETUP["directory"], heartbeat=0.2, stopped_after=1.5, attach_timeout=1.5)
    client = join(SETUP["url"], scope="host", host_options=host_options, **arguments()).client()
    client.on_change(lambda change: say("state", new=change.new.name, epoch=change.epoch))
    say("ready")
    while line := await reader.readline():
        order = json.loads(line)
        if order["do"] == "close":
            await client.aclose()
            say("done", number=order["number"], result=None)
            return
        try:
            result = await perform(client, order)
        except OnesocketError as error:
            option = getattr(error, "option", None)
            say("error", number=order["number"], kind=type(error).__name__, text=str(error), option=option)
        else:
            say("done", number=order["number"], result=result)


if __name__ == "__main__":
    asyncio.run(main())
