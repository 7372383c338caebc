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


class MethodLogin(Json):
    """Logs in by its own method, as the process was told."""

    def opened(self, token: str | None, now: float) -> list[Action]:
        del token, now
        return [Send(json.dumps({"login": SETUP["who"]})), Ready()]


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


def closing_over(who: str) -> Login:
    return Login(request=lambda _: {"login": who})


PROTOCOLS: dict[str, Any] = {
    "raw": Raw,
    "json": Json,
    "topics": KeyedTopics,
    "query": lambda: Raw(token_place=TokenQuery("t")),
    "closure": lambda: Json(login=closing_over(SETUP["who"])),
    "global": lambda: Json(login=Login(request=lambda _: {"login": SETUP["who"]})),
    "method": MethodLogin,
    "as raw": RawWithSharedFingerprint,
    "as topics": TopicsWithSharedFingerprint,
}


def protocol(name: str) -> Protocol:
    made: Protocol = PROTOCOLS[name]()
    return made


def context(setup: dict[str, Any]) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=setup["ca"])
    made.check_hostname = setup.get("check_hostname", True)
    if "minimum" in setup:
        made.minimum_version = ssl.TLSVersion[setup["minimum"]]
    return made


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
    if "client" not in options:
        return {**option_values(options), "reconnect": ReconnectPolicy(initial=0.01, cap=0.05)}
    made = dict(options["client"])
    url = made.pop("url", SETUP["url"])
    rest = {name: value for name, value in options.items() if name != "client"}
    return {
        **rest,
        "client": lambda *token: Client(url, **option_values(made), **dict(zip(["token"], token, strict=False))),
    }


async def perform(link: Any, order: dict[str, Any]) -> Any:
    match order["do"]:
        case "connect":
            return (await link.connect()).name
        case "send":
            return await link.send(order["message"])
        case "keys":
            return await anext(link.subscribe(keys=order["keys"]))
        case "state":
            return link.state.name
        case _:
            raise NotImplementedError(order)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    host = HostOptions(directory=SETUP["directory"], heartbeat=0.2, stopped_after=1.5, attach_timeout=1.5)
    link = join(SETUP["url"], scope="host", host=host, **arguments()).link()
    link.on_change(lambda change: say("state", new=change.new.name, epoch=change.epoch))
    say("ready")
    while line := await reader.readline():
        order = json.loads(line)
        if order["do"] == "close":
            await link.aclose()
            say("done", number=order["number"], result=None)
            return
        try:
            result = await perform(link, order)
        except OnesocketError as error:
            option = getattr(error, "option", None)
            say("error", number=order["number"], kind=type(error).__name__, text=str(error), option=option)
        else:
            say("done", number=order["number"], result=result)


if __name__ == "__main__":
    asyncio.run(main())
