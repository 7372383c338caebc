"""The parameters of Identify, and the bot's presence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from onesocket.errors import InvalidOption

from ._intents import Intents
from ._limits import LARGE_THRESHOLD
from ._sharding import Shard

PROPERTIES: Final[Mapping[str, str]] = {"os": sys.platform, "browser": "onesocket", "device": "onesocket"}

PresenceStatus = Literal["online", "dnd", "idle", "invisible", "offline"]
_STATUSES: Final = ("online", "dnd", "idle", "invisible", "offline")


@dataclass(frozen=True, slots=True)
class Presence:
    """The bot's presence as others see it."""

    status: PresenceStatus = "online"
    activities: Iterable[Mapping[str, Any]] = ()
    """Such as ``{"name": "chess", "type": 0}``."""
    afk: bool = False
    since: int | None = None
    """Unix time in milliseconds since which the bot is idle."""

    def __post_init__(self) -> None:
        if self.status not in _STATUSES:
            raise InvalidOption(f"a presence's status is one of {', '.join(_STATUSES)}, not {self.status!r}")
        object.__setattr__(self, "activities", tuple(self.activities))  # they are sent with every login

    def body(self) -> dict[str, Any]:
        """The JSON object that is sent."""
        activities = [dict(activity) for activity in self.activities]
        return {"since": self.since, "activities": activities, "status": self.status, "afk": self.afk}


@dataclass(slots=True, kw_only=True)
class Identification:
    """The parameters of Identify besides the token."""

    intents: Intents
    shard: Shard | None = None
    presence: Presence | None = None
    large_threshold: int | None = None
    properties: Mapping[str, str] = field(default_factory=lambda: PROPERTIES)

    def __post_init__(self) -> None:
        least, most = LARGE_THRESHOLD
        given: Any = self.large_threshold
        if given is not None and (not isinstance(given, int) or not least <= given <= most):
            raise InvalidOption(f"large_threshold must be a whole number from {least} to {most}, not {given!r}")

    @property
    def fixed(self) -> str:
        """The intents and the shard: they are those of a session for as long as it lives."""
        number, count = self.shard or (0, 1)
        return f"{int(self.intents)} {number}/{count}"

    def body(self, token: str) -> dict[str, Any]:
        """The JSON object that is sent."""
        body: dict[str, Any] = {
            "token": token,
            "intents": int(self.intents),
            "properties": dict(self.properties),
        }
        if self.large_threshold is not None:
            body["large_threshold"] = self.large_threshold
        if self.shard is not None:
            body["shard"] = list(self.shard)
        if self.presence is not None:
            body["presence"] = self.presence.body()
        return body
