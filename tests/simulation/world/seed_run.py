"""One seed, lived through: the same seed gives the same life, step by step."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from onesocket.client._client import Client
from onesocket.sharing._registry import current_registry
from onesocket.testing._virtual_time import DeadlockError, VirtualTimeLoop, run_virtual

from .client_workload import ClientWorkload
from .provider_workload import ProviderWorkload
from .rotation_workload import RotationWorkload
from .shared_provider_workload import SharedProviderWorkload
from .subscription_workload import SubscriptionWorkload
from .workload import MakeClient, Workload

_WORKLOADS: tuple[type[Workload], ...] = (
    ClientWorkload,
    ProviderWorkload,
    SharedProviderWorkload,
    SubscriptionWorkload,
    RotationWorkload,
)
_WORKLOAD_WEIGHTS = (6, 2, 2, 3, 3)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The result of one seed."""

    seed: int
    broken: tuple[str, ...]
    virtual_seconds: float
    dials: int
    calls: int
    faults: Counter[str] = field(default_factory=Counter[str])
    trace: tuple[str, ...] = ()
    performed_actions: tuple[str, ...] = ()
    """Names of the actions performed, in order."""


def run_seed(
    seed: int, *, trace: bool = False, make: MakeClient = Client, skip: frozenset[str] = frozenset()
) -> SeedResult:
    """Live through one seed; `trace` keeps a line for every step, `skip` names actions to leave out."""
    random.seed(seed)  # the client's own chance (the jitter of its back-off) is Python's global one
    loop = VirtualTimeLoop(random.Random(seed + 1))
    kind = random.Random(seed + 2).choices(_WORKLOADS, _WORKLOAD_WEIGHTS)[0]
    world = kind(seed, make, loop, trace=trace, skip=skip)
    try:
        run_virtual(world.live, loop=loop)
    except DeadlockError as error:
        world.invariants.fail(f"promise 3: {error}")
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, it is this seed's result
        world.invariants.fail(f"{type(error).__name__}: {error}")
    current_registry().remove_dead()
    return SeedResult(
        seed,
        tuple(world.invariants.broken),
        loop.time(),
        len(world.server.peers),
        world.invariants.calls,
        world.server.faults,
        tuple(world.trace),
        tuple(world.performed_actions),
    )


def minimise(seed: int, *, make: MakeClient = Client) -> frozenset[str]:
    """The actions that can be left out of a failing seed so that it still fails; none for a seed that doesn't."""
    skip: frozenset[str] = frozenset()
    result = run_seed(seed, make=make)
    if not result.broken:
        return skip
    tried: set[str] = set()
    while rest := [action for action in result.performed_actions if action not in tried]:
        # From the end: what comes late is seldom the cause. Each action that goes changes the chances of the rest.
        action = rest[-1]
        tried.add(action)
        shorter = run_seed(seed, make=make, skip=skip | {action})
        if shorter.broken:
            skip, result = skip | {action}, shorter
    return skip
