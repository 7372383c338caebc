"""Faults of the feeds soak, and fates of messages: the same seed gives the same ones."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from onesocket.testing.services import Disorder
from tests.campaigns.harness.director import FaultChooser

ALPACA: Final = "alpaca"
BINANCE: Final = "binance"
KRAKEN: Final = "kraken"
HOME_ASSISTANT: Final = "home-assistant"
GRAPHQL: Final = "graphql"
SLACK: Final = "slack"
SERVICES: Final = (ALPACA, BINANCE, KRAKEN, HOME_ASSISTANT, GRAPHQL, SLACK)
ROTATING: Final = frozenset({ALPACA, BINANCE, SLACK})
"""Services whose client has `rotation=`; Alpaca allows no second connection, so that the first is closed before."""

_CODES: Final = (1000, 1001, 1011, 1012, 4500)
_FAULTS: Final[Mapping[str, int]] = {
    "kill": 5,
    "close": 4,
    "half-open": 2,
    "stop reading": 1,
    "drop": 2,
    "refuse": 2,
    "restart": 3,
    "end of lifetime": 4,
    "rotate()": 4,
    "end of streams": 2,
}
_ONLY: Final[Mapping[str, frozenset[str]]] = {"rotate()": ROTATING, "end of streams": frozenset({GRAPHQL})}
_DISORDER: Final = {range(10): Disorder.HOLE, range(10, 20): Disorder.REPEAT, range(20, 30): Disorder.LATE}
"""Ten messages of a thousand are withheld, ten repeated, and ten late."""


class FaultSchedule:
    """Chooses the pauses and the faults of a run."""

    def __init__(self, seed: int, pause: float) -> None:
        self._faults = FaultChooser(seed, _FAULTS)
        self._pause = pause

    def next(self) -> dict[str, Any]:
        """The next fault: `after` seconds, at a `service`, with the numbers that it needs."""
        chance = self._faults.random
        fault = self._faults.choose()
        service = chance.choice(sorted(_ONLY.get(fault, SERVICES)))
        return {
            "after": chance.uniform(0.5, 1.5) * self._pause,
            "fault": fault,
            "service": service,
            "code": chance.choice(_CODES),
            "seconds": chance.uniform(0.0, 2.0),
            "count": chance.randint(1, 3),
            "reader": chance.randrange(100),
        }


def fate_of(seed: int, key: str, number: int) -> Disorder | None:
    """The disorder of a message, which is the same on all connections of its venue."""
    draw = zlib.crc32(f"{seed} {key} {number}".encode()) % 1000
    return next((disorder for draws, disorder in _DISORDER.items() if draw in draws), None)
