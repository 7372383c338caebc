"""The targets that the design sets, and whether a run has reached them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .record import Record, Spread
from .subjects import (
    BARE,
    BARE_SERVER,
    CALLBACK,
    CHAT,
    CHAT_SEPARATE_SEQUENCES,
    HOST,
    HOST_OWN_LOOP,
    ITERATOR,
    NATS,
    REDIS,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio of two rows of one scenario, and its bound."""

    number: int
    text: str
    scenario: str
    above: str
    below: str
    bound: float
    at_least: bool
    quantity: str = "cpu"

    def measured(self, record: Record, loop: str) -> Spread | None:
        """The ratio, if both were measured."""
        return record.ratio(self.scenario, self.above, self.below, loop, quantity=self.quantity)

    def is_reached(self, ratio: Spread) -> bool:
        """Return whether the median reaches the bound."""
        return ratio.median >= self.bound if self.at_least else ratio.median <= self.bound

    @property
    def shown_bound(self) -> str:
        """Return the bound as text."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}×"


def _faster_by(
    number: int, text: str, scenario: str, bound: float, *, peer: str, ours: str, quantity: str = "cpu"
) -> Target:
    return Target(number, text, scenario, peer, ours, bound, at_least=True, quantity=quantity)


def _close_to(
    number: int, text: str, scenario: str, bound: float, *, ours: str, other: str, quantity: str = "cpu"
) -> Target:
    return Target(number, text, scenario, ours, other, bound, at_least=False, quantity=quantity)


TARGETS: Final = (
    _close_to(1, "receive 256 B, callback, over bare picows", "receive-256", 1.6, ours=CALLBACK, other=BARE),
    _close_to(1, "receive 256 B, iterator, over bare picows", "receive-256", 2.2, ours=ITERATOR, other=BARE),
    *(
        _faster_by(2, f"{what}: {peer} over onesocket, {name}", scenario, bound, peer=peer, ours=ours)
        for what, scenario, name, ours, bounds in (
            ("receive 256 B", "receive-256", "callback", CALLBACK, (8, 2.3)),
            ("receive 256 B", "receive-256", "iterator", ITERATOR, (5, 1.5)),
            ("echo", "echo-256", "callback", CALLBACK, (1.6, 1.3)),
            ("echo", "echo-256", "iterator", ITERATOR, (1.6, 1.3)),
        )
        for peer, bound in zip(("websockets", "aiohttp"), bounds, strict=True)
    ),
    _close_to(3, "100 callbacks over one", "fan-out", 7, ours="100 × callback", other="1 × callback"),
    _faster_by(
        3,
        "100 subscribers: asyncio.Queue over iterators",
        "fan-out",
        1.8,
        peer="100 × asyncio.Queue",
        ours="100 × iterator",
    ),
    _close_to(
        4,
        "concurrent connect() over awaiting one shared Future",
        "join",
        3,
        ours="connect()",
        other="one shared Future",
    ),
    *(
        _faster_by(
            5,
            f"from a {trouble} connection to CONNECTED, elapsed time: check-then-connect {theirs} over {ours}",
            "recover",
            20,
            peer=f"check-then-connect {theirs}, {trouble}",
            ours=f"onesocket {ours}, {trouble}",
            quantity="wall",
        )
        for theirs, ours in (("client", "Client"), ("provider", "Provider"))
        for trouble in ("killed", "failed")
    ),
    *(
        _faster_by(
            6,
            f"between processes, bursts, by the clock: {peer} over {ours}",
            "between-processes",
            bound,
            peer=peer,
            ours=ours,
            quantity="wall",
        )
        for peer, bound in ((NATS, 5), (REDIS, 10))
        for ours in (HOST, HOST_OWN_LOOP)
    ),
    *(
        _close_to(
            6,
            f"between processes, paced, median delay: {ours} over {NATS}",
            "between-processes-paced",
            0.6,
            ours=ours,
            other=NATS,
            quantity="wall",
        )
        for ours in (HOST, HOST_OWN_LOOP)
    ),
    *(
        _close_to(
            7,
            f"broadcast to 1 000 readers: {ours} over picows' bare server",
            "broadcast",
            1.25,
            ours=ours,
            other=BARE_SERVER,
        )
        for ours in (CHAT, CHAT_SEPARATE_SEQUENCES)
    ),
    *(
        _faster_by(
            7,
            f"broadcast: {peer} over {CHAT_SEPARATE_SEQUENCES}",
            "broadcast",
            1,
            peer=peer,
            ours=CHAT_SEPARATE_SEQUENCES,
        )
        for peer in ("aiohttp server", "uvicorn (websockets-sansio)", "uvicorn (websockets)")
    ),
)
