"""One seed, lived through: the same seed gives the same life, step by step."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from ...client.client import Client
from ..virtual_time import NothingWillHappen, VirtualTimeLoop, run_virtual
from .client_world import ClientWorld
from .crowd import MakeClient
from .provider_world import ProviderWorld

_PROVIDER_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one seed."""

    seed: int
    broken: tuple[str, ...]
    virtual_seconds: float
    dials: int
    calls: int
    faults: Counter[str] = field(default_factory=Counter[str])
    trace: tuple[str, ...] = ()


def run_seed(seed: int, *, trace: bool = False, make: MakeClient = Client) -> Result:
    """Live through one seed; `trace` keeps a line for every step."""
    random.seed(seed)  # the client's own chance (the jitter of its back-off) is Python's global one
    loop = VirtualTimeLoop(random.Random(seed + 1))
    kind = ProviderWorld if random.Random(seed + 2).random() < _PROVIDER_SHARE else ClientWorld
    world = kind(seed, make, loop, trace=trace)
    try:
        run_virtual(world.live, loop=loop)
    except NothingWillHappen as error:
        world.promises.fail(f"promise 3: {error}")
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, it is this seed's result
        world.promises.fail(f"{type(error).__name__}: {error}")
    return Result(
        seed,
        tuple(world.promises.broken),
        loop.time(),
        len(world.server.peers),
        world.promises.calls,
        world.server.faults,
        tuple(world.trace),
    )
