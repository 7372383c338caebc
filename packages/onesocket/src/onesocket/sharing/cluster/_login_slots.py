"""Times at which logins may begin that have to keep a distance, by name, as an engine keeps them. Pure."""

from __future__ import annotations

from ._coordinator import check_member_name


class LoginSlots:
    """Model of `Coordinator.reserve_slot` for the clusters of one prefix."""

    def __init__(self) -> None:
        self._free_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<LoginSlots of {len(self._free_at)} names>"

    def reserve(self, name: str, period: float, delay: float, now: float) -> float:
        """As `Coordinator.reserve_slot`, at the time `now`, in seconds."""
        check_member_name(name)
        slot = max(now + delay, self._free_at.get(name, now))
        self._free_at[name] = slot + period
        return slot - now
