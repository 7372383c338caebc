"""Memory of the roles of one process in a cluster, from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...client._status import Status
from ...lifecycle._states import State
from ._counted_coordinator import ClusterCounters
from ._faults import Faults
from ._heard_outage import HeardOutage


@dataclass(slots=True)
class RoleMemory:
    """Outlives the role that leads or follows: the next one goes on from there."""

    led_as: str | None = None
    """The name under which the last role led, if its lease was lost: that may go on, and is this member's own."""
    passes: int = 0
    """Times that a role left the lease to others, as it did not reach the server, since the connection was up."""
    has_passed: bool = False
    """True if the last role did."""
    outage: HeardOutage = field(default_factory=HeardOutage)
    counters: ClusterCounters = field(default_factory=ClusterCounters)
    faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        self.faults = Faults(self.counters)

    def note(self, status: Status, now: float) -> None:
        """Note a status of the leader, which may be this host."""
        self.outage.note(status, now)
        if status.state is State.CONNECTED:
            self.passes = 0
