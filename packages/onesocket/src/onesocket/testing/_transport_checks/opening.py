"""Opening a line, and giving up on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from ...errors import (
    ClientClosed,
    ConnectAborted,
    ConnectionRefused,
    ConnectionReset,
    HandshakeRejected,
    InvalidHandshake,
    NameResolutionFailed,
    OnesocketError,
    ServerBusy,
)
from .._checked_connection import CheckedConnection
from .._faults import Fault, UpgradeReply
from .._test_peer import SUBPROTOCOL, PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal

CHECKS: Final = CheckRegistry()
_SECRET: Final = "s3cr3t-t0ken"  # noqa: S105 - what must not be shown
# However long opening takes: so many points at which it is given up.
_STAGES: Final = 60


@CHECKS.add()
async def opens_once(bench: CheckContext) -> None:
    line = bench.dial(headers=(("X-Test", "yes"),))
    expect(line.connection.phase, "a line that opens says what it is waiting for")
    expect(line.handshake is None, "nothing happens inside of dial()")
    await line.wait_open()
    expect_equal(bench.peer.dials, 1, "dials")
    expect_equal(bench.peer.header("X-Test"), "yes", "the header that was asked for")
    expect_equal(line.handshake and line.handshake.subprotocol, None, "the sub-protocol that nobody offered")
    line.close()
    await line.end()
    expect_equal(bench.peer.most_open, 1, "lines at once")


@CHECKS.add()
async def a_chosen_subprotocol_is_told(bench: CheckContext) -> None:
    line = await bench.open(subprotocols=("v1", SUBPROTOCOL))
    expect_equal(line.handshake and line.handshake.subprotocol, SUBPROTOCOL, "the sub-protocol")


def _refused(status: int, kind: type[OnesocketError]) -> CheckFunction:
    async def body(bench: CheckContext) -> None:
        bench.peer.refuse(status, f"no, {_SECRET}, no")
        line = bench.dial(secrets=(_SECRET,))
        error = await line.end()
        expect_equal(type(error), kind, "the error")
        expect(str(status) in str(error), f"the status is missing: {error}")
        expect("no, ***, no" in str(error), f"the body is missing, or shows the secret: {error}")
        expect_equal(line.handshake, None, "the handshake")
        await bench.peer.until(lambda: bench.peer.open_now == 0)
        expect_equal(bench.peer.dials, 1, "dials")

    return body


for _status in (401, 404, 429, 503):
    CHECKS.add_named(f"refused with {_status}", _refused(_status, ServerBusy if _status == 429 else HandshakeRejected))


def _broken(fault: Fault, kind: type[OnesocketError]) -> CheckFunction:
    async def body(bench: CheckContext) -> None:
        bench.peer.server.faults = [fault]
        line = bench.dial(secrets=(_SECRET,), url=f"{bench.peer.url}?key={_SECRET}")
        error = await line.end()
        expect_equal(type(error), kind, "the error")
        shown = repr(error) + repr(error.__cause__) + repr(line.connection) + line.connection.phase
        expect(_SECRET not in shown, f"the secret is shown: {shown}")
        await bench.peer.until(lambda: bench.peer.open_now == 0)
        await bench.open()

    return body


_ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
for _fault, _kind in (
    (Fault.garbage(), InvalidHandshake),
    (Fault.garbage(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), InvalidHandshake),
    (Fault.garbage(b"x" * 100_000), InvalidHandshake),
    (Fault.garbage(_ACCEPTED + b"\r\n"), InvalidHandshake),
    (Fault.truncated_upgrade(), ConnectionReset),
    (Fault.truncated_upgrade(0), ConnectionReset),
    (Fault.reset_during_upgrade(), ConnectionReset),
    (Fault.wrong_accept(f"{_SECRET}="), InvalidHandshake),
    (Fault.unrequested_subprotocol(_SECRET), InvalidHandshake),
    (Fault.unrequested_extension(), InvalidHandshake),
):
    _detail = f" {_fault.response[:20]!r}" if _fault.response else ""
    _detail += f" {_fault.keep}" if _fault.answer is UpgradeReply.TRUNCATE else ""
    CHECKS.add_named(f"upgrade: {_fault.label}{_detail}", _broken(_fault, _kind), PeerFeature.BYTES)


@CHECKS.add(PeerFeature.ADDRESSES)
async def nobody_listens(bench: CheckContext) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await bench.dial(f"ws://127.0.0.1:{reserved.getsockname()[1]}/").end()
    expect_equal(type(error), ConnectionRefused, "the error")


@CHECKS.add(PeerFeature.ADDRESSES)
async def a_host_without_an_address(bench: CheckContext) -> None:
    expect_equal(type(await bench.dial("ws://no-such-host.invalid/").end()), NameResolutionFailed, "the error")


# --- giving up ------------------------------------------------------------------------------------------------------


@CHECKS.add()
async def close_during_the_upgrade_awaits_the_answer(bench: CheckContext) -> None:
    bench.peer.hold()
    line = bench.dial()
    await bench.peer.until(lambda: bench.peer.dials == 1)
    line.close(1001, "gone")
    line.close(4000, "the first counts")
    for _ in range(20):
        await asyncio.sleep(0)
    expect(not line.is_over, "it has ended before the upgrade was answered")
    bench.peer.release()
    await line.end()
    await bench.peer.until(lambda: bench.peer.open_now == 0)
    expect_equal(bench.peer.close_codes, [1001], "the codes that came")
    expect_equal(bench.peer.unclean_closes, 0, "lines that were abandoned")


@CHECKS.add()
async def abort_during_the_upgrade_ends_it_now(bench: CheckContext) -> None:
    bench.peer.hold()
    line = bench.dial()
    await bench.peer.until(lambda: bench.peer.dials == 1)
    line.connection.abort()
    await line.end()
    expect_equal(line.handshake, None, "the handshake")
    await bench.peer.until(lambda: bench.peer.open_now == 0)


@CHECKS.add()
async def calls_before_it_is_open_do_nothing(bench: CheckContext) -> None:
    bench.peer.hold()
    line = bench.dial()
    await bench.peer.until(lambda: bench.peer.dials == 1)
    expect(not line.connection.send("too early"), "a message was taken before the line was open")
    line.connection.ping(b"too early")
    line.connection.resume_reading()
    bench.peer.release()
    await line.wait_open()
    line.connection.send("now")
    await bench.peer.until(lambda: len(bench.peer.received) == 1)
    expect_equal(bench.peer.received, ["now"], "what came")


@CHECKS.add()
async def a_pause_before_it_is_open_holds(bench: CheckContext) -> None:
    line = bench.dial()
    line.pause()
    await line.wait_open()
    bench.peer.send("one", "two")
    for _ in range(20):
        await asyncio.sleep(0)
    line.resume()
    await line.until(lambda: len(line.messages) == 2)


def _cancelled_at_each_stage(give_up: Callable[[CheckedConnection], object], *, in_order: bool) -> CheckFunction:
    """At every stage of opening; the other side counts what stays open."""

    async def body(bench: CheckContext) -> None:
        turns = opened = 0
        for _ in range(_STAGES):
            line = bench.dial()
            for _ in range(turns):
                await asyncio.sleep(0)
            opened += line.handshake is not None
            give_up(line)
            error = await line.end()
            if line.handshake is None:
                kinds = ConnectAborted if in_order else ConnectAborted | ClientClosed
                expect(isinstance(error, kinds), f"given up after {turns} turns: {error!r}")
            await bench.peer.until(lambda: bench.peer.open_now == 0)
            if in_order:
                expect_equal(bench.peer.unclean_closes, 0, f"lines that were abandoned, given up after {turns} turns")
            if opened > 3:
                break
            turns += 1 + turns // 8
        expect(opened, "it never opened, so not every stage was seen")
        expect_equal(bench.peer.most_open, 1, "lines at once")

    return body


def _cancel(line: CheckedConnection) -> None:
    # As at the end of asyncio.run(). What has no task of its own is ended by its owner.
    for task in line.tasks:
        task.cancel()
    if not line.tasks:
        line.connection.abort()


CHECKS.add_named("closed at every stage of opening", _cancelled_at_each_stage(lambda line: line.close(), in_order=True))
CHECKS.add_named(
    "aborted at every stage of opening", _cancelled_at_each_stage(lambda line: line.connection.abort(), in_order=False)
)
CHECKS.add_named("cancelled at every stage of opening", _cancelled_at_each_stage(_cancel, in_order=False))
