"""Opening a line, and giving up on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from ...errors import (
    ClientClosed,
    ConnectAborted,
    ConnectionLost,
    InvalidUpgrade,
    NameResolutionFailed,
    OnesocketError,
    PortRefused,
    UpgradeRefused,
    UpstreamBusy,
)
from ..faults import Answer, Fault
from ..other_side import SUBPROTOCOL, Feature
from ..watched_line import WatchedLine
from .check import Bench, Body, Checks, expect, expect_equal

CHECKS: Final = Checks()
_SECRET: Final = "s3cr3t-t0ken"  # noqa: S105 - what must not be shown
# However long opening takes: so many points at which it is given up.
_STAGES: Final = 60


@CHECKS.add()
async def opens_once(bench: Bench) -> None:
    line = bench.dial(headers=(("X-Test", "yes"),))
    expect(line.line.phase, "a line that opens says what it is waiting for")
    expect(line.handshake is None, "nothing happens inside of dial()")
    await line.opened_line()
    expect_equal(bench.side.dials, 1, "dials")
    expect_equal(bench.side.header("X-Test"), "yes", "the header that was asked for")
    expect_equal(line.handshake and line.handshake.subprotocol, None, "the sub-protocol that nobody offered")
    line.close()
    await line.end()
    expect_equal(bench.side.most_open, 1, "lines at once")


@CHECKS.add()
async def a_chosen_subprotocol_is_told(bench: Bench) -> None:
    line = await bench.open(subprotocols=("v1", SUBPROTOCOL))
    expect_equal(line.handshake and line.handshake.subprotocol, SUBPROTOCOL, "the sub-protocol")


def _refused(status: int, kind: type[OnesocketError]) -> Body:
    async def body(bench: Bench) -> None:
        bench.side.refuse(status, f"no, {_SECRET}, no")
        line = bench.dial(secrets=(_SECRET,))
        error = await line.end()
        expect_equal(type(error), kind, "the error")
        expect(str(status) in str(error), f"the status is missing: {error}")
        expect("no, ***, no" in str(error), f"the body is missing, or shows the secret: {error}")
        expect_equal(line.handshake, None, "the handshake")
        await bench.side.until(lambda: bench.side.open_now == 0)
        expect_equal(bench.side.dials, 1, "dials")

    return body


for _status in (401, 404, 429, 503):
    CHECKS.add_named(f"refused with {_status}", _refused(_status, UpstreamBusy if _status == 429 else UpgradeRefused))


def _broken(fault: Fault, kind: type[OnesocketError]) -> Body:
    async def body(bench: Bench) -> None:
        bench.side.server.faults = [fault]
        line = bench.dial(secrets=(_SECRET,), url=f"{bench.side.url}?key={_SECRET}")
        error = await line.end()
        expect_equal(type(error), kind, "the error")
        shown = repr(error) + repr(error.__cause__) + repr(line.line) + line.line.phase
        expect(_SECRET not in shown, f"the secret is shown: {shown}")
        await bench.side.until(lambda: bench.side.open_now == 0)
        await bench.open()

    return body


_ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
for _fault, _kind in (
    (Fault.garbage(), InvalidUpgrade),
    (Fault.garbage(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), InvalidUpgrade),
    (Fault.garbage(b"x" * 100_000), InvalidUpgrade),
    (Fault.garbage(_ACCEPTED + b"\r\n"), InvalidUpgrade),
    (Fault.truncated_upgrade(), ConnectionLost),
    (Fault.truncated_upgrade(0), ConnectionLost),
    (Fault.reset_during_upgrade(), ConnectionLost),
    (Fault.wrong_accept(f"{_SECRET}="), InvalidUpgrade),
    (Fault.unrequested_subprotocol(_SECRET), InvalidUpgrade),
    (Fault.unrequested_extension(), InvalidUpgrade),
):
    _detail = f" {_fault.response[:20]!r}" if _fault.response else ""
    _detail += f" {_fault.keep}" if _fault.answer is Answer.TRUNCATE else ""
    CHECKS.add_named(f"upgrade: {_fault.label}{_detail}", _broken(_fault, _kind), Feature.BYTES)


@CHECKS.add(Feature.ADDRESSES)
async def nobody_listens(bench: Bench) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await bench.dial(f"ws://127.0.0.1:{reserved.getsockname()[1]}/").end()
    expect_equal(type(error), PortRefused, "the error")


@CHECKS.add(Feature.ADDRESSES)
async def a_host_without_an_address(bench: Bench) -> None:
    expect_equal(type(await bench.dial("ws://no-such-host.invalid/").end()), NameResolutionFailed, "the error")


# --- giving up ------------------------------------------------------------------------------------------------------


@CHECKS.add()
async def close_during_the_upgrade_awaits_the_answer(bench: Bench) -> None:
    bench.side.hold()
    line = bench.dial()
    await bench.side.until(lambda: bench.side.dials == 1)
    line.close(1001, "gone")
    line.close(4000, "the first counts")
    for _ in range(20):
        await asyncio.sleep(0)
    expect(not line.is_over, "it has ended before the upgrade was answered")
    bench.side.release()
    await line.end()
    await bench.side.until(lambda: bench.side.open_now == 0)
    expect_equal(bench.side.close_codes, [1001], "the codes that came")
    expect_equal(bench.side.abandoned, 0, "lines that were abandoned")


@CHECKS.add()
async def abort_during_the_upgrade_ends_it_now(bench: Bench) -> None:
    bench.side.hold()
    line = bench.dial()
    await bench.side.until(lambda: bench.side.dials == 1)
    line.line.abort()
    await line.end()
    expect_equal(line.handshake, None, "the handshake")
    await bench.side.until(lambda: bench.side.open_now == 0)


@CHECKS.add()
async def calls_before_it_is_open_do_nothing(bench: Bench) -> None:
    bench.side.hold()
    line = bench.dial()
    await bench.side.until(lambda: bench.side.dials == 1)
    expect(not line.line.send("too early"), "a message was taken before the line was open")
    line.line.ping(b"too early")
    line.line.resume_reading()
    bench.side.release()
    await line.opened_line()
    line.line.send("now")
    await bench.side.until(lambda: len(bench.side.received) == 1)
    expect_equal(bench.side.received, ["now"], "what came")


@CHECKS.add()
async def a_pause_before_it_is_open_holds(bench: Bench) -> None:
    line = bench.dial()
    line.pause()
    await line.opened_line()
    bench.side.send("one", "two")
    for _ in range(20):
        await asyncio.sleep(0)
    line.resume()
    await line.until(lambda: len(line.messages) == 2)


def _given_up(give_up: Callable[[WatchedLine], object], *, in_order: bool) -> Body:
    """At every stage of opening; the other side counts what stays open."""

    async def body(bench: Bench) -> None:
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
            await bench.side.until(lambda: bench.side.open_now == 0)
            if in_order:
                expect_equal(bench.side.abandoned, 0, f"lines that were abandoned, given up after {turns} turns")
            if opened > 3:
                break
            turns += 1 + turns // 8
        expect(opened, "it never opened, so not every stage was seen")
        expect_equal(bench.side.most_open, 1, "lines at once")

    return body


def _cancel(line: WatchedLine) -> None:
    # As at the end of asyncio.run(). What has no task of its own is ended by its owner.
    for task in line.tasks:
        task.cancel()
    if not line.tasks:
        line.line.abort()


CHECKS.add_named("closed at every stage of opening", _given_up(lambda line: line.close(), in_order=True))
CHECKS.add_named("aborted at every stage of opening", _given_up(lambda line: line.line.abort(), in_order=False))
CHECKS.add_named("cancelled at every stage of opening", _given_up(_cancel, in_order=False))
