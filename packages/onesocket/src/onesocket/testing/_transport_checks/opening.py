"""Opening a connection, and ending it on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from ...errors import (
    ClientClosed,
    ConnectAborted,
    ConnectionRefused,
    HandshakeRejected,
    NameResolutionFailed,
    OnesocketError,
    ServerBusy,
)
from .._checked_connection import CheckedConnection
from .._test_peer import SUBPROTOCOL, PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal, pass_turns

CHECKS: Final = CheckRegistry()
_SECRET: Final = "s3cr3t-t0ken"  # noqa: S105 - checks that no error shows it
# Points during the opening at which it is given up.
_STAGES: Final = 60


@CHECKS.add()
async def opens_once(context: CheckContext) -> None:
    checked = context.dial(headers=(("X-Test", "yes"),))
    expect(checked.connection.phase, "a connection that opens has a phase")
    expect(checked.handshake is None, "nothing happens inside of dial()")
    await checked.wait_open()
    expect_equal(context.peer.dials, 1, "dials")
    expect_equal(context.peer.header("X-Test"), "yes", "the header that was asked for")
    expect_equal(
        checked.handshake and checked.handshake.subprotocol, None, "the sub-protocol, of which none was offered"
    )
    checked.close()
    await checked.end()
    expect_equal(context.peer.most_open, 1, "connections at once")


@CHECKS.add()
async def a_chosen_subprotocol_is_reported(context: CheckContext) -> None:
    checked = await context.open(subprotocols=("v1", SUBPROTOCOL))
    expect_equal(checked.handshake and checked.handshake.subprotocol, SUBPROTOCOL, "the sub-protocol")


def _refused(status: int, kind: type[OnesocketError]) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        context.peer.refuse(status, f"no, {_SECRET}, no")
        checked = context.dial(secrets=(_SECRET,))
        error = await checked.end()
        expect_equal(type(error), kind, "the error")
        expect(str(status) in str(error), f"the status is missing: {error}")
        expect("no, ***, no" in str(error), f"the body is missing, or shows the secret: {error}")
        expect_equal(checked.handshake, None, "the handshake")
        await context.wait_all_closed()
        expect_equal(context.peer.dials, 1, "dials")

    return body


for _status in (401, 404, 429, 503):
    CHECKS.add_named(f"refused with {_status}", _refused(_status, ServerBusy if _status == 429 else HandshakeRejected))


@CHECKS.add(PeerFeature.ADDRESSES)
async def a_port_that_is_not_listening(context: CheckContext) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await context.dial(f"ws://127.0.0.1:{reserved.getsockname()[1]}/").end()
    expect_equal(type(error), ConnectionRefused, "the error")


@CHECKS.add(PeerFeature.ADDRESSES)
async def a_host_without_an_address(context: CheckContext) -> None:
    expect_equal(type(await context.dial("ws://no-such-host.invalid/").end()), NameResolutionFailed, "the error")


# --- giving up ------------------------------------------------------------------------------------------------------


@CHECKS.add()
async def close_during_the_upgrade_awaits_the_answer(context: CheckContext) -> None:
    context.peer.hold()
    checked = context.dial()
    await context.peer.until(lambda: context.peer.dials == 1)
    checked.close(1001, "gone")
    checked.close(4000, "the first counts")
    await pass_turns()
    expect(not checked.is_over, "it has ended before the upgrade was answered")
    context.peer.release()
    await checked.end()
    await context.expect_clean_end([1001])


@CHECKS.add()
async def abort_during_the_upgrade_ends_it_now(context: CheckContext) -> None:
    context.peer.hold()
    checked = context.dial()
    await context.peer.until(lambda: context.peer.dials == 1)
    checked.connection.abort()
    await checked.end()
    expect_equal(checked.handshake, None, "the handshake")
    await context.wait_all_closed()


@CHECKS.add()
async def calls_before_it_is_open_do_nothing(context: CheckContext) -> None:
    context.peer.hold()
    checked = context.dial()
    await context.peer.until(lambda: context.peer.dials == 1)
    expect(not checked.connection.send("too early"), "a message was taken before the connection was open")
    checked.connection.ping(b"too early")
    checked.connection.resume_reading()
    context.peer.release()
    await checked.wait_open()
    checked.connection.send("now")
    await context.peer.until(lambda: len(context.peer.received) == 1)
    expect_equal(context.peer.received, ["now"], "the received messages")


@CHECKS.add()
async def a_pause_before_it_is_open_holds(context: CheckContext) -> None:
    checked = context.dial()
    checked.pause()
    await checked.wait_open()
    context.peer.send("one", "two")
    await pass_turns()
    checked.resume()
    await checked.until(lambda: len(checked.messages) == 2)


def _cancelled_at_each_stage(give_up: Callable[[CheckedConnection], object], *, in_order: bool) -> CheckFunction:
    """Give up at every stage of opening; the peer counts the connections that stay open."""

    async def body(context: CheckContext) -> None:
        turns = opened = 0
        for _ in range(_STAGES):
            checked = context.dial()
            for _ in range(turns):
                await asyncio.sleep(0)
            opened += checked.handshake is not None
            give_up(checked)
            error = await checked.end()
            if checked.handshake is None:
                kinds = ConnectAborted if in_order else ConnectAborted | ClientClosed
                expect(isinstance(error, kinds), f"given up after {turns} turns: {error!r}")
            await context.wait_all_closed()
            if in_order:
                expect_equal(
                    context.peer.unclean_closes, 0, f"connections that were abandoned, given up after {turns} turns"
                )
            if opened > 3:
                break
            turns += 1 + turns // 8
        expect(opened, "it never opened, so not every stage was seen")
        expect_equal(context.peer.most_open, 1, "connections at once")

    return body


def _cancel(checked: CheckedConnection) -> None:
    # As at the end of asyncio.run(). A connection without a task is ended by its owner.
    for task in checked.tasks:
        task.cancel()
    if not checked.tasks:
        checked.connection.abort()


CHECKS.add_named(
    "closed at every stage of opening", _cancelled_at_each_stage(lambda checked: checked.close(), in_order=True)
)
CHECKS.add_named(
    "aborted at every stage of opening",
    _cancelled_at_each_stage(lambda checked: checked.connection.abort(), in_order=False),
)
CHECKS.add_named("cancelled at every stage of opening", _cancelled_at_each_stage(_cancel, in_order=False))
