"""The targets that the design sets, and whether a run has reached them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .record import Record, Spread
from .subjects import (
    AIOHTTP,
    BARE,
    BARE_SERVER,
    CALLBACK,
    CHAT,
    CHAT_SEPARATE_SEQUENCES,
    CLIENT,
    CLIENT_CALLBACK,
    CLIENT_ITERATOR,
    CLUSTER_NATS,
    CLUSTER_REDIS,
    CLUSTER_REDIS_PLAIN,
    FUTURE_MAP,
    HOST,
    HOST_OWN_LOOP,
    ITERATOR,
    JOIN_CALLBACK,
    JOIN_FOLLOWER,
    JOIN_ITERATOR,
    JOIN_PROCESS,
    JOIN_THREAD,
    LOOK_UP_AND_CALL,
    NATS,
    NATS_STREAM,
    PYTHON_TWIN,
    REDIS,
    REDIS_STREAM,
    REDIS_STREAM_PLAIN,
    REQUEST,
    STREAMS_OF_KEYS,
    WEBSOCKETS,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio of two rows of one scenario, or the cost of one in µs, and its bound."""

    number: int
    text: str
    scenario: str
    above: str
    below: str | None
    bound: float
    at_least: bool
    quantity: str = "cpu"
    loops: tuple[str, ...] = ("asyncio", "uvloop")
    """The loops that the bound is for."""

    def measured(self, record: Record, loop: str) -> Spread | None:
        """The ratio or the cost, if it was measured and the bound is for this loop."""
        if loop not in self.loops:
            return None
        if self.below is None:
            return record.cost(self.scenario, self.above, loop, quantity=self.quantity)
        return record.ratio(self.scenario, self.above, self.below, loop, quantity=self.quantity)

    def is_reached(self, ratio: Spread) -> bool:
        """Return whether the median reaches the bound."""
        return ratio.median >= self.bound if self.at_least else ratio.median <= self.bound

    @property
    def unit(self) -> str:
        """Return the unit of what is measured."""
        if self.below is not None:
            return "×"
        return "" if self.scenario == "engine-commands" else " µs"

    @property
    def shown_bound(self) -> str:
        """Return the bound as text."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"


def _faster_by(number: int, text: str, scenario: str, bound: float, *, peer: str, ours: str, **options: Any) -> Target:
    return Target(number, text, scenario, peer, ours, bound, at_least=True, **options)


def _close_to(number: int, text: str, scenario: str, bound: float, *, ours: str, other: str, **options: Any) -> Target:
    return Target(number, text, scenario, ours, other, bound, at_least=False, **options)


TARGETS: Final = (
    *(
        _close_to(1, f"{what} over bare picows", scenario, bound, ours=ours, other=BARE)
        for what, scenario, ours, bound in (
            ("receive 256 B, callback,", "receive-256", CALLBACK, 1.0),
            ("receive 256 B, iterator,", "receive-256", ITERATOR, 1.3),
            ("receive 8 KiB, callback,", "receive-8192", CALLBACK, 1.1),
            ("send 256 B", "send-256", CALLBACK, 1.1),
        )
    ),
    _faster_by(2, "receive 256 B: websockets over callback", "receive-256", 15, peer=WEBSOCKETS, ours=CALLBACK),
    _faster_by(2, "receive 256 B: aiohttp over callback", "receive-256", 4, peer=AIOHTTP, ours=CALLBACK),
    _faster_by(2, "send 256 B: aiohttp over onesocket", "send-256", 1.2, peer=AIOHTTP, ours=CALLBACK),
    _faster_by(2, "echo: aiohttp over onesocket", "echo-256", 1.4, peer=AIOHTTP, ours=CALLBACK, loops=("asyncio",)),
    _close_to(2, "receive 256 B, Python twin, over aiohttp", "receive-256", 1.5, ours=PYTHON_TWIN, other=AIOHTTP),
    _close_to(2, "connect and close, over websockets", "connect", 0.8, ours=CALLBACK, other=WEBSOCKETS),
    _close_to(2, "memory of an idle client, over aiohttp's", "memory", 1, ours=CALLBACK, other=AIOHTTP),
    _close_to(
        2,
        "import, over websockets.asyncio.client",
        "imports",
        0.8,
        ours="onesocket",
        other=WEBSOCKETS,
        loops=("asyncio",),
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
        3,
        "dispatch to 1 000 keys over a dict look-up and a call",
        "keys",
        2,
        ours=STREAMS_OF_KEYS,
        other=LOOK_UP_AND_CALL,
        loops=("asyncio",),
    ),
    _close_to(
        4,
        "concurrent connect() over awaiting one shared Future",
        "join",
        3,
        ours="connect()",
        other="one shared Future",
    ),
    _close_to(4, "request() over a map of futures by hand", "request-256", 1.3, ours=REQUEST, other=FUTURE_MAP),
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
    *(
        _close_to(8, f"receive {size}: {ours} over {other}", scenario, bound, ours=ours, other=other)
        for size, scenario, bound in (("256 B", "shared-receive-256", 1.15), ("8 KiB", "shared-receive-8192", 1.2))
        for ours, other in ((JOIN_CALLBACK, CLIENT_CALLBACK), (JOIN_ITERATOR, CLIENT_ITERATOR))
    ),
    *(
        _close_to(8, f"{what}: {JOIN_PROCESS} over {CLIENT}", scenario, bound, ours=JOIN_PROCESS, other=CLIENT)
        for what, scenario, bound in (
            ("await send()", "shared-send-256", 1.3),
            ("echo", "shared-echo-256", 1.15),
        )
    ),
    *(
        Target(
            8,
            f"await send(), the middle one by the clock: {ours}",
            "shared-latency-256",
            ours,
            None,
            bound,
            at_least=False,
            quantity="wall",
        )
        for ours, bound in ((JOIN_THREAD, 30), (JOIN_FOLLOWER, 80))
    ),
    *(
        _faster_by(
            8,
            f"1 000 in flight, messages a second: {ours} over {CLIENT} (designed for {rate} of 240 000)",
            "shared-in-flight-256",
            bound,
            peer=CLIENT,
            ours=ours,
            quantity="wall",
        )
        for ours, bound, rate in ((JOIN_PROCESS, 0.83, "200 000"), (JOIN_FOLLOWER, 0.62, "150 000"))
    ),
    *(
        _faster_by(
            9,
            f"between hosts, bursts, by the clock: {peer} over {ours}",
            "between-hosts",
            10,
            peer=peer,
            ours=ours,
            quantity="wall",
        )
        for ours, peer in ((CLUSTER_REDIS, REDIS_STREAM), (CLUSTER_REDIS_PLAIN, REDIS_STREAM_PLAIN))
    ),
    *(
        _close_to(
            9,
            f"between hosts, paced, median delay: {ours} over {other}",
            "between-hosts-paced",
            1.5,
            ours=ours,
            other=other,
            quantity="wall",
        )
        for ours, other in (
            (CLUSTER_REDIS, REDIS_STREAM),
            (CLUSTER_REDIS_PLAIN, REDIS_STREAM_PLAIN),
            (CLUSTER_NATS, NATS_STREAM),
        )
    ),
    Target(
        9,
        f"commands of the engine for each host and batch: {CLUSTER_REDIS}",
        "engine-commands",
        CLUSTER_REDIS,
        None,
        1,
        at_least=False,
        quantity="wall",
    ),
)
