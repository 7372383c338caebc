"""Chooses the faults of the soak, one each second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from onesocket.testing import Fault
from tests.campaigns.harness.director import FaultChooser

UPGRADES: Final[Mapping[str, Fault]] = {
    "slow upgrade": Fault.slow_upgrade(0.7),
    "never answer": Fault.never_answer(),
    "refuse 503": Fault.refuse(503),
    "refuse 401": Fault.refuse(401),
    "too many requests": Fault.too_many_requests(1),
    "garbage": Fault.garbage(),
    "truncated upgrade": Fault.truncated_upgrade(),
    "reset during upgrade": Fault.reset_during_upgrade(),
    "wrong accept": Fault.wrong_accept(),
    "unrequested extension": Fault.unrequested_extension(),
    "accept, close 1001": Fault.accept_then_close(1001),
    "accept, close 1013": Fault.accept_then_close(1013),
    "accept, drop": Fault.accept_then_drop(),
    "accept, reset": Fault.accept_then_reset(),
    "accept, half-open": Fault.half_open(after_messages=2),
    "accept, stop reading": Fault.stop_reading(after_messages=2),
}
INVALID_FRAMES: Final[Mapping[str, Fault]] = {
    "truncated frame": Fault.truncated_frame(),
    "invalid UTF-8": Fault.invalid_utf8(),
    "invalid UTF-8, split": Fault.invalid_utf8(split=True),
    "masked frame": Fault.masked_frame(),
    "reserved bits": Fault.reserved_bits(),
    "orphan continuation": Fault.orphan_continuation(),
    "text within fragments": Fault.text_within_fragments(),
    "bad close code": Fault.bad_close_code(),
}
_CODES: Final = (1000, 1001, 1008, 1011, 1012, 1013, 3001, 4000)
_FAULTS: Final[Mapping[str, int]] = {
    "kill": 4,
    "close": 4,
    "half-open": 3,
    "stop reading": 3,
    "drop": 2,
    "garbage": 2,
    "no pong": 1,
    "never acknowledge": 1,
    "upgrades": 6,
    "restart": 1,
    "refuse": 1,
}


class Director:
    """Decides what breaks next; the same seed decides the same."""

    def __init__(self, seed: int, clients: int) -> None:
        self._faults = FaultChooser(seed, _FAULTS)
        self._clients = clients

    def next(self) -> dict[str, Any]:
        """The arguments of the next order to the server, with a `label` for the terminal."""
        chance = self._faults.random
        fault = self._faults.choose()
        order: dict[str, Any] = {"do": fault, "label": fault}
        if fault == "restart":
            return order
        if fault == "refuse":
            return {**order, "seconds": chance.uniform(0.3, 2.0)}
        clients = chance.sample(range(self._clients), chance.randint(1, max(2, self._clients // 10)))
        order |= {"clients": clients, "label": f"{fault} ({len(clients)})"}
        if fault == "close":
            order["code"] = chance.choice(_CODES)
            order["label"] = f"close {order['code']} ({len(clients)})"
        elif fault == "garbage":
            order["garbage"] = chance.choice(list(INVALID_FRAMES))
            order["label"] = f"{order['garbage']} ({len(clients)})"
        elif fault == "upgrades":
            # Only clients that dial meet a fault of the upgrade.
            order |= {"fault": chance.choice(list(UPGRADES)), "chance": chance.uniform(0.3, 1.0), "strike": "kill"}
            order["label"] = f"kill ({len(clients)}), then {order['fault']}"
        return order
