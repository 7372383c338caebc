"""An auth callback whose answers the test sets."""

import asyncio
from typing import Any

from onesocket import Identity

ALICE = Identity("alice", "alice-s3cret")
BOB = Identity("bob", "bob-s3cret")


class ScriptedAuth:
    """An auth callback in the test's hand: it says `who`, once `gate` is open."""

    def __init__(self, who: Any = ALICE) -> None:
        self.who = who
        self.calls = 0
        self.running = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Any:
        self.calls += 1
        self.running += 1
        try:
            await self.gate.wait()
            if isinstance(self.who, Exception):
                raise self.who
            return self.who
        finally:
            self.running -= 1
