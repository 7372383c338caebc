"""Peers that are refused: another release, account or user, invalid data; and all while the owner has no descriptor."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any, Final

from onesocket.sharing.host import _ipc_frames as frames
from tests.campaigns.harness.worker_process import OrderRefused

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

_NOBODY: Final = 65534
_WITHIN: Final = 15.0
_OTHER_USER: Final = """
import os, socket, sys
os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(10)
try:
    sock.connect(sys.argv[1])
    while chunk := sock.recv(65536):
        sys.stdout.buffer.write(chunk)
except PermissionError:
    sys.stdout.write("PermissionError")
"""


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """Each tries, and the others are fed on."""
    async with ChaosHarness(findings, heartbeat=1.0, stopped_after=5.0, attach_timeout=2.0) as harness:
        async with harness.feeding():
            members = await harness.start(2)
            await harness.join(members)
            await _version_mismatch(harness)
            await _other_account(harness)
            await _no_descriptor(harness)
            await _invalid_frames(harness, chance)
            await _foreign_user(harness)
            await harness.wait_received(members, "after all of them", within=_WITHIN)
        after = await harness.settle(members)
        findings.require(all(one["gaps"] == 0 for one in after), f"a process noticed: {after}")
        findings.require(harness.server.counts.handshakes == 1, f"{harness.server.counts.handshakes} handshakes")
        harness.check_sockets()


async def _refused(harness: ChaosHarness, kind: str, **setup: Any) -> str:
    (other,) = await harness.start(**setup)
    try:
        await other.do("join", send_every=0, within=_WITHIN)
    except OrderRefused as error:
        harness.findings.require(error.kind == kind, f"{error.kind} instead of {kind}: {error.text}")
        return error.text
    finally:
        await other.end()
    harness.findings.broken(f"joined, where {kind} was due: {setup}")
    return ""


async def _version_mismatch(harness: ChaosHarness) -> None:
    text = await _refused(harness, "VersionMismatch", speaks=frames.PROTOCOL_VERSION + 1)
    harness.findings.figure("another release", "VersionMismatch" if text else "let in")
    harness.findings.require(str(frames.PROTOCOL_VERSION + 1) in text, f"it doesn't name the releases: {text}")


async def _other_account(harness: ChaosHarness) -> None:
    text = await _refused(harness, "OptionConflict", options={"headers": {"X-Api-Key": "secret"}})
    harness.findings.require("headers=" in text, f"it doesn't name headers=: {text}")
    harness.findings.require("secret" not in text, f"it shows the account's key: {text}")
    harness.findings.figure("another account, told apart by a header", "OptionConflict" if text else "let in")


async def _no_descriptor(harness: ChaosHarness) -> None:
    owner, _ = await harness.owner()
    await owner.do("exhaust")
    text = await _refused(harness, "OutOfResources")
    harness.findings.require(str(owner.pid) in text, f"it doesn't name the owner: {text}")
    await owner.do("release")
    harness.findings.figure("the owner has no descriptor", "OutOfResources")


async def _invalid_frames(harness: ChaosHarness, chance: random.Random) -> None:
    address = _socket(harness)
    for junk in (
        chance.randbytes(4096),
        struct.pack("!I", 2**31),
        struct.pack("!I", 3) + b"\xc1\xc1\xc1",
        frames.encode_ipc_frame(frames.SendMessages(1, ["not introduced"])),
        frames.encode_ipc_frame(frames.Hello(frames.PROTOCOL_VERSION, "0", b"wrong")),
    ):
        reader, writer = await asyncio.open_unix_connection(str(address))
        writer.write(junk)
        try:
            async with asyncio.timeout(_WITHIN):
                await reader.read()  # to its end: it's hung up on
        except TimeoutError:
            harness.findings.broken(f"nonsense was listened to for {_WITHIN:g} s: {junk[:20]!r}")
        except ConnectionResetError:
            pass
        writer.close()
    harness.findings.figure("nonsense on the socket", "hung up on, 5 of 5")


async def _foreign_user(harness: ChaosHarness) -> None:
    """Another user: with the directory closed, with the directory open, and with a directory of their own."""
    address = _socket(harness)
    open_to_all = harness.base / "open"
    open_to_all.mkdir(mode=0o755)
    open_to_all.chmod(0o755)  # whatever the umask is
    options = {**harness.host, "directory": str(open_to_all)}
    await _refused(harness, "NoRuntimeDirectory", host=options)
    harness.findings.figure("a directory that others may enter", "NoRuntimeDirectory")
    if os.geteuid() != 0:
        harness.findings.figure("another user", "not tried: only root can become another user")
        return
    harness.base.chmod(0o755)
    said = await _run_as_other_user(address)
    harness.findings.require(said == b"PermissionError", f"another user came as far as the socket: {said[:60]!r}")
    harness.directory.chmod(0o755)
    address.chmod(0o777)
    said = await _run_as_other_user(address)
    harness.directory.chmod(0o700)
    address.chmod(0o600)
    bodies = frames.FrameSplitter().feed(said)
    first = frames.decode_owner_frame(bodies[0]) if bodies else None
    kind = type(first.error).__name__ if isinstance(first, frames.Rejection) else type(first).__name__
    harness.findings.require(kind == "ForeignUser", f"another user got {kind}, not ForeignUser")
    harness.findings.figure("another user, without access; with access", f"PermissionError; {kind}")
    theirs = harness.base / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, _NOBODY, _NOBODY)
    await _refused(harness, "NoRuntimeDirectory", host={**harness.host, "directory": str(theirs)})
    link = harness.base / "link"
    link.symlink_to(harness.directory)
    await _refused(harness, "NoRuntimeDirectory", host={**harness.host, "directory": str(link)})
    harness.findings.figure("a directory of another user; a symbolic link", "NoRuntimeDirectory")


async def _run_as_other_user(address: Path) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OTHER_USER, str(address), str(_NOBODY), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_WITHIN):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return said


def _socket(harness: ChaosHarness) -> Path:
    return next(harness.directory.glob("*.sock"))
