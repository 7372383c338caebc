"""What the soak breaks, each second one thing."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from onesocket.testing import Fault

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
_STRIKES: Final[Mapping[str, int]] = {
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
        self._random = random.Random(seed)
        self._clients = clients

    def next(self) -> dict[str, Any]:
        """The next order to the server, with `label` for people."""
        roll = self._random
        what = roll.choices(list(_STRIKES), weights=list(_STRIKES.values()))[0]
        order: dict[str, Any] = {"do": what, "label": what}
        if what == "restart":
            return order
        if what == "refuse":
            return {**order, "seconds": roll.uniform(0.3, 2.0)}
        struck = roll.sample(range(self._clients), roll.randint(1, max(2, self._clients // 10)))
        order |= {"clients": struck, "label": f"{what} ({len(struck)})"}
        if what == "close":
            order["code"] = roll.choice(_CODES)
            order["label"] = f"close {order['code']} ({len(struck)})"
        elif what == "garbage":
            order["garbage"] = roll.choice(list(INVALID_FRAMES))
            order["label"] = f"{order['garbage']} ({len(struck)})"
        elif what == "upgrades":
            # A fault of the upgrade is only seen by those who dial.
            order |= {"fault": roll.choice(list(UPGRADES)), "chance": roll.uniform(0.3, 1.0), "strike": "kill"}
            order["label"] = f"kill ({len(struck)}), then {order['fault']}"
        return order
