"""One random conversation between the project's engine and another one: both ledgers have to agree.

Everything random comes from the seed, so that a complaint can be replayed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

from .endpoint import Endpoint, Engine, ServerSettings, Signal
from .own_engine import OwnEngine

Side = Literal["client", "server"]

_SIZES: Final = (0, 1, 2, 125, 126, 127, 128, 1000, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000)
_CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
_REASONS: Final = ("", "bye", "☃" * 41, "x" * 123)
_LETTERS: Final = "abc é☃😀"
_MOST_ACTIONS: Final = 25
_SECONDS: Final = 10.0


class Ending(StrEnum):
    """The way in which a conversation ends; "ours" is the project's engine."""

    OURS_CLOSES = "ours closes"
    THEIRS_CLOSES = "theirs closes"
    BOTH_CLOSE = "both close"
    OURS_RESETS = "ours resets"
    THEIRS_RESETS = "theirs resets"
    THEIRS_ENDS_TCP = "theirs ends TCP without a CLOSE"


@dataclass(slots=True)
class Plan:
    """Everything that a seed decides."""

    side: Side
    """The side of the project's engine."""
    ending: Ending
    is_quiet: bool
    """Wait until everything has arrived before the end begins."""
    ours: tuple[int, str]
    theirs: tuple[int, str]
    """Code and reason of each side's CLOSE."""
    server_deflate: DeflateParameters | None
    client_deflate: DeflateParameters | None
    actions: list[tuple[bool, Data | None, int]] = field(default_factory=list[tuple[bool, Data | None, int]])
    """True for an action of ours; the message, or None for a PING; the number of fragments."""

    @classmethod
    def of(cls, seed: int, side: Side, engine: Engine) -> Plan:
        """Draw everything."""
        chance = random.Random(f"{seed} {side} {engine.name}")
        plan = cls(
            side,
            chance.choice(list(Ending)),
            chance.random() < 0.5,
            _close(chance),
            _close(chance),
            _deflate(chance, engine),
            _deflate(chance, engine),
        )
        for _ in range(chance.randrange(_MOST_ACTIONS)):
            is_ours = chance.random() < 0.5
            if chance.random() < 0.15:
                plan.actions.append((is_ours, None, 1))
            else:
                plan.actions.append((is_ours, _message(chance), chance.choice((1, 1, 2, 5))))
        return plan


def _close(chance: random.Random) -> tuple[int, str]:
    return chance.choice(_CODES), chance.choice(_REASONS)


def _deflate(chance: random.Random, engine: Engine) -> DeflateParameters | None:
    if not engine.compresses or chance.random() < 0.3:
        return None
    bits = (None, 9, 10, 12, 15)
    return DeflateParameters(chance.random() < 0.3, chance.random() < 0.3, chance.choice(bits), chance.choice(bits))


def _message(chance: random.Random) -> Data:
    size = chance.choice(_SIZES) if chance.random() < 0.7 else chance.randrange(2000)
    if chance.random() < 0.5:
        return chance.randbytes(size) if chance.random() < 0.5 else bytes(size)
    return "".join(chance.choices(_LETTERS, k=size)) if size < 5000 else "é" * (size // 2) + "x" * (size % 2)


class Conversation:
    """Two ends, and what is wrong with their ledgers."""

    def __init__(self, seed: int, side: Side, engine: Engine) -> None:
        self.plan = Plan.of(seed, side, engine)
        self.problems: list[str] = []
        self.messages = 0
        """Messages that arrived, on both sides."""
        self.is_compressed = False
        """True if permessage-deflate was agreed on."""
        self._chance = random.Random(seed)
        self._engine = engine
        self._signal = Signal()
        self._ours: Endpoint
        self._theirs: Endpoint
        self._pings: tuple[list[bytes], list[bytes]] = ([], [])
        """Ours, and theirs."""

    async def run(self) -> list[str]:
        """Play it; returns the complaints."""
        own = OwnEngine()
        is_client = self.plan.side == "client"
        serving, dialling = (self._engine, own) if is_client else (own, self._engine)
        accepted: list[Endpoint] = []
        settings = ServerSettings(deflate=self.plan.server_deflate)

        def opened(endpoint: Endpoint) -> None:
            accepted.append(endpoint)
            self._signal.notify()

        server = await serving.serve(settings, opened, self._signal)
        try:
            dialled = await dialling.connect(f"ws://127.0.0.1:{server.port}/", self.plan.client_deflate, self._signal)
            await self._signal.until(lambda: bool(accepted), _SECONDS)
            self._ours, self._theirs = (dialled, accepted[0]) if is_client else (accepted[0], dialled)
            try:
                await self._play()
                self._judge()
                self.messages = len(self._ours.received) + len(self._theirs.received)
                self.is_compressed = self._ours.is_compressed
            except TimeoutError:
                self.problems.append(f"no end within {_SECONDS:g} s")
            for end in (dialled, *accepted):
                await end.aclose()
        finally:
            await server.aclose()
            await own.aclose()
        return self.problems

    async def _play(self) -> None:
        for is_ours, data, pieces in self.plan.actions:
            end = self._ours if is_ours else self._theirs
            if data is not None:
                end.send(data, pieces)
            elif not (is_ours and self.plan.side == "server"):  # our servers send no PING
                pings = self._pings[0 if is_ours else 1]
                pings.append(b"%d" % len(pings))
                end.ping(pings[-1])
            if self._chance.random() < 0.3:
                await asyncio.sleep(0)
        if self.plan.is_quiet:
            await self._signal.until(self._has_all_arrived, _SECONDS)
        self._end()
        await self._signal.until(
            lambda: self._ours.is_over and self._theirs.is_over and self._ours.is_idle and self._theirs.is_idle,
            _SECONDS,
        )

    def _has_all_arrived(self) -> bool:
        ours, theirs = self._ours, self._theirs
        return (
            ours.is_idle
            and theirs.is_idle
            and len(ours.received) == len(theirs.sent)
            and len(theirs.received) == len(ours.sent)
            and ours.pongs[-1:] == self._pings[0][-1:]
            and theirs.pongs[-1:] == self._pings[1][-1:]
        )

    def _end(self) -> None:
        ending = self.plan.ending
        if ending in {Ending.OURS_CLOSES, Ending.BOTH_CLOSE}:
            self._ours.close(*self.plan.ours)
        if ending in {Ending.THEIRS_CLOSES, Ending.BOTH_CLOSE}:
            self._theirs.close(*self.plan.theirs)
        if ending is Ending.OURS_RESETS:
            self._ours.drop()
        elif ending is Ending.THEIRS_RESETS:
            self._theirs.drop()
        elif ending is Ending.THEIRS_ENDS_TCP:
            self._theirs.end_stream()

    # --- the judgement ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        plan, ours, theirs = self.plan, self._ours, self._theirs
        is_orderly = plan.ending in {Ending.OURS_CLOSES, Ending.THEIRS_CLOSES, Ending.BOTH_CLOSE}
        # A client of ours delivers what comes before the answer to its CLOSE; a server of ours, like theirs, drops it.
        may_be_overtaken = not plan.is_quiet and not self._engine.waits_for_close
        ours_has_all = plan.is_quiet or (plan.ending is Ending.THEIRS_CLOSES and not may_be_overtaken)
        ours_has_all = ours_has_all or (is_orderly and plan.side == "client")
        self._compare("ours", ours.received, theirs.sent, whole=ours_has_all)
        self._compare("theirs", theirs.received, ours.sent, whole=plan.is_quiet or plan.ending is Ending.OURS_CLOSES)
        self._expect(_is_subsequence(ours.pongs, self._pings[0]), f"PONGs for ours: {ours.pongs}, {self._pings[0]}")
        self._expect(_is_subsequence(theirs.pongs, self._pings[1]), f"PONGs for theirs: {theirs.pongs}")
        if plan.ending is Ending.THEIRS_CLOSES:
            is_other = may_be_overtaken and ours.closed in {None, (1000, "")}
            self._expect(is_other or ours.closed == plan.theirs, f"ours knows {ours.closed}, not {plan.theirs}")
            self._expect(theirs.closed is None or theirs.closed[0] == plan.theirs[0], f"the answer was {theirs.closed}")
        elif plan.ending is Ending.OURS_CLOSES:
            self._expect(theirs.closed == plan.ours, f"theirs knows the CLOSE {theirs.closed}, not {plan.ours}")
        elif not is_orderly:
            self._expect(ours.closed is None, f"ours knows a CLOSE that was not sent: {ours.closed}")
            self._expect(theirs.closed is None, f"theirs knows a CLOSE that was not sent: {theirs.closed}")
        complaints = [*ours.failures, *(theirs.failures if is_orderly else ())]
        complaints = [
            text for text in complaints if text.startswith(("onesocket: ", "Protocol", f"{self._engine.name}: "))
        ]
        self._expect(not complaints, f"complaints: {complaints}")

    def _compare(self, name: str, received: Sequence[Data], sent: Sequence[Data], *, whole: bool) -> None:
        if list(sent[: len(received)]) != list(received):
            place = next(
                (at for at, (one, other) in enumerate(zip(received, sent, strict=False)) if one != other), len(sent)
            )
            self.problems.append(f"{name} received another message {place} than was sent")
        elif whole and len(received) < len(sent):
            self.problems.append(f"{name} received {len(received)} messages of {len(sent)}")

    def _expect(self, true: bool, label: str) -> None:
        if not true:
            self.problems.append(label)


def _is_subsequence(some: Sequence[bytes], every: Sequence[bytes]) -> bool:
    rest = iter(every)
    return all(one in rest for one in some)
