"""A process that shares a connection, told by lines of JSON on stdin what to do; it says what happens on stdout.

Its setup is ``{"url": …, "directory": …}``.
"""

import asyncio
import collections
import contextlib
import functools
import json
import logging
import os
import resource
import time
from collections.abc import Callable
from typing import Any

from onesocket import Client, Gap, Json, OnesocketError, Raw, ReconnectPolicy, Status
from onesocket.client import OutboxLimits
from onesocket.client._status import Change
from onesocket.errors import SubscriptionRefused
from onesocket.protocols import Protocol, Subscriptions
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.sharing.host import _join_credentials as join_credentials
from onesocket.sharing.host import _runtime_paths as directory
from tests.campaigns.harness.orders import Order, serve_orders, setup, write_event
from tests.support.ledger_venue import read_answer, subscribe, unsubscribe


class JsonTopics(Json):
    """JSON, with subscriptions."""

    def subscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [json.dumps({"subscribe": sorted(keys)})]

    def unsubscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [json.dumps({"unsubscribe": sorted(keys)})]


def declared() -> Json:
    """JSON, with declared subscriptions, one key in a message."""
    return Json(subscriptions=Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, ack=read_answer, batch=1))


PROTOCOLS: dict[str, Callable[[], Protocol]] = {
    "raw": Raw,
    "json": Json,
    "topics": JsonTopics,
    "declared": declared,
    "many": functools.partial(Json, type=list[int], many=True),
}


class PrintingReader:
    """Stands for all readers of keys."""

    def refused(self, error: SubscriptionRefused) -> None:
        write_event("refused", keys=error.keys, reason=error.reason)


READER = PrintingReader()


class PrintingSink:
    def __init__(self, shown: int | None = None) -> None:
        self.shown = shown
        """Number of characters of each message that are reported, with its length; None: the message itself."""

    def messages(self, batch: list[Any]) -> None:
        if self.shown is not None:
            batch = [f"{message[: self.shown]} {len(message)}" for message in batch]
        write_event("messages", batch=batch)

    def gap(self, gap: Gap) -> None:
        write_event("gap", reason=gap.reason.value, epoch=gap.epoch, missed=gap.missed)

    def changed(self, change: Change, status: Status) -> None:
        write_event("state", old=change.old.name, new=change.new.name, epoch=status.epoch)

    def failed(self, error: OnesocketError) -> None:
        write_event("failed", kind=type(error).__name__, text=str(error))


class PrintingLogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "onesocket":
            write_event("log", level=record.levelname, text=record.getMessage())


def make(given: dict[str, Any]) -> HostUpstream:
    url = given["url"]
    protocol = PROTOCOLS[given.get("protocol", "raw")]()
    options = {"protocol": protocol, "reconnect": ReconnectPolicy(initial=0.01, cap=0.05), **given.get("client", {})}
    if "outbox" in given:
        options["outbox"] = OutboxLimits(given["outbox"])
    return HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(url, key=given.get("key"), token=options.get("token")),
            options=options,
            protocol=protocol,
            make_client=lambda: Client(url, **options),
            host_options=HostOptions(directory=given["directory"], **given.get("host", {})),
        )
    )


async def perform(upstream: HostUpstream, order: Order) -> Any:  # noqa: PLR0912 - one row each
    result: Any = None
    match order["do"]:
        case "connect":
            result = (await upstream.connect()).name
        case "connect_retrying":
            result = (await upstream.connect(retry=True)).name
        case "reconnect":
            result = (await upstream.reconnect()).name
        case "disconnect":
            await upstream.disconnect()
        case "send":
            await upstream.send(order["message"], resend=order.get("resend", False))
        case "send many":
            texts = [f"{order['name']} {number} {'x' * order['size']}" for number in range(order["count"])]
            result = collections.Counter(await asyncio.gather(*(send_one(upstream, text) for text in texts)))
        case "want":
            upstream.add_keys(READER, order["keys"])
        case "unwant":
            upstream.remove_keys(READER, order["keys"])
        case "hold":
            upstream.hold()
        case "release":
            upstream.release()
        case "handshake":
            handshake = upstream.status.handshake
            result = None if handshake is None else [handshake.subprotocol, handshake.headers]
        case "status":
            status = upstream.status
            result = [status.state.name, status.epoch, upstream.is_owner, repr(upstream), str(status.last_error)]
        case "last loss":
            status = upstream.status
            result = [type(status.last_loss).__name__, str(status.last_loss), status.last_lost_at]
        case "fork":
            result = fork(upstream)
        case "use up descriptors":
            use_up_descriptors(order.get("spare", 0))
        case "free descriptors":
            while HELD_DESCRIPTORS:
                os.close(HELD_DESCRIPTORS.pop())
        case "close":
            await upstream.aclose()
        case _:
            raise NotImplementedError(order)
    return result


async def send_one(upstream: HostUpstream, message: str) -> str:
    """Send it, and return its fate."""
    try:
        await upstream.send(message)
    except OnesocketError as error:
        write_event("refused", reason=type(error).__name__)
        return type(error).__name__
    return "sent"


def fork(upstream: HostUpstream) -> dict[str, Any]:
    """A child that stays alive, with no work of its own but to hold on to what it inherited."""
    held = list(upstream.file_descriptors())
    pid = os.fork()
    if pid == 0:
        os.close(0)
        os.close(1)
        time.sleep(30)
        os._exit(0)
    return {"child": pid, "held": len(held)}


def use_up_descriptors(spare: int) -> None:
    """As a program that has reached its limit: only so many can be opened any more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with contextlib.suppress(OSError):
        while True:
            HELD_DESCRIPTORS.append(os.open(os.devnull, os.O_RDONLY))
    for _ in range(spare):
        os.close(HELD_DESCRIPTORS.pop())


HELD_DESCRIPTORS: list[int] = []


def impersonate_release(protocol: int) -> None:
    """Speak the protocol of another release."""
    join_credentials.PROTOCOL_VERSION = protocol  # type: ignore[attr-defined]


async def main(given: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[PrintingLogHandler()])
    if "speaks" in given:
        impersonate_release(given["speaks"])
    if "namespace" in given:  # as in a container that shares the directory, and no names of sockets
        directory._mount_namespace = lambda: given["namespace"]
    try:
        upstream = make(given)
    except OnesocketError as error:
        write_event("crashed", kind=type(error).__name__, text=str(error))
        return
    upstream.attach(PrintingSink(given.get("shown")))
    write_event("ready", pid=os.getpid())
    await serve_orders(lambda order: perform(upstream, order))


if __name__ == "__main__":
    asyncio.run(main(setup()))
