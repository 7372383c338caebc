"""A process that stores messages until it is killed, and prints each one that was acknowledged."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path

from onesocket_discord.server._ports import Account
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, running_service

_ROOT = Path(__file__).resolve().parents[4]


async def start_writer(place: str, channel: int, start: int, *, shared: bool = False) -> Process:
    """Start the process on a database where ann is registered; the nonces of its messages count from `start`."""
    arguments = (place, str(channel), str(start), "shared" if shared else "alone")
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.onesocket_discord.server.writer_process", *arguments,
        stdout=subprocess.PIPE, cwd=_ROOT,
    )  # fmt: skip


async def read_acknowledged(process: Process, acknowledged: dict[int, str], count: int | None = None) -> None:
    """Read `count` lines, or all that are left, and check that each nonce leads to one message."""
    assert process.stdout is not None
    while count is None or count > 0:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):  # it was killed
            assert count is None
            break
        number, message_id = line.decode().split()
        assert acknowledged.setdefault(int(number), message_id) == message_id
        count = None if count is None else count - 1


async def check_stored(world: ServiceFixture, ann: Account, channel: int, acknowledged: dict[int, str]) -> None:
    """Check that the history has what was acknowledged, and nothing twice."""
    stored: dict[str, str] = {}
    before: int | None = None
    while page := await world.service.messages.history(ann, channel, limit=100, before=before):
        for message in page:
            assert message["content"] not in stored, "doubled"
            stored[message["content"]] = message["id"]
        before = int(page[-1]["id"])
    assert {f"message {number}": message_id for number, message_id in acknowledged.items()}.items() <= stored.items()
    newest = (await world.service.channels.get(ann, channel))["last_message_id"]
    assert newest == max(stored.values(), key=int)


async def _main(place: str, channel: str, start: str, how: str) -> None:
    async with running_service(place, shared=how == "shared") as world:
        token = (await world.service.accounts.login({"login": "ann", "password": "correct horse"}))["token"]
        ann = await world.account(token)

        async def write(n: int) -> None:
            message = await world.say(ann, int(channel), f"message {n}", nonce=str(n), enforce_nonce=True)
            sys.stdout.write(f"{n} {message['id']}\n")
            sys.stdout.flush()

        first = int(start)
        while True:
            await asyncio.gather(*(write(n) for n in range(first, first + 8)))
            first += 8


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
