"""The options of a cluster, checked once."""

from __future__ import annotations

import enum
from typing import Final

from ..._record import record
from ...errors import InvalidOption
from ._coordinator import ClusterEngine, ClusterKey
from ._lease_clock import LeaseClock


class OnEngineLost(enum.StrEnum):
    """Reaction of the leader when it can't renew its lease, as the engine is away."""

    CLOSE = "close"
    """Close the connection before the lease ends: never two connections while hosts and their processes run."""
    KEEP = "keep"
    """Keep it, for its own host alone: another host may get the lease, and dial, before this one can hear of it."""


@record(kw_only=True)
class ClusterOptions:
    """The engine, and how members use it. Times are seconds; all members should have the same."""

    engine: ClusterEngine
    lease: float = 10.0
    """Time to live of the leader's lease: when a host that leads is gone, the next one may dial after it."""
    margin: float = 2.0
    """Time before the end of the lease at which a leader that could not renew it closes the connection."""
    on_engine_lost: OnEngineLost | str = OnEngineLost.CLOSE
    prefix: str = "onesocket"
    """Of the names of all keys in the engine: 1 to 64 letters, digits, `-` and `_`."""

    def __post_init__(self) -> None:
        engine: object = self.engine
        if not callable(getattr(engine, "open", None)):
            raise InvalidOption(f"engine must be an engine such as RedisCoordinator(...), not {type(engine).__name__}")
        LeaseClock(self.lease, self.margin)
        ClusterKey.of(_NO_DIGEST, prefix=self.prefix)
        try:
            object.__setattr__(self, "on_engine_lost", OnEngineLost(self.on_engine_lost))
        except ValueError:
            names = " or ".join(repr(rule.value) for rule in OnEngineLost)
            raise InvalidOption(f"on_engine_lost must be {names}, not {self.on_engine_lost!r}") from None


_NO_DIGEST: Final = "0" * 64
