"""Events of a membership: the roles of this process, and why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ...errors import NoOwner, OnesocketError
from ._follower import Follower
from ._owner import Owner

Role: TypeAlias = Owner | Follower


@dataclass(frozen=True, slots=True)
class RoleTaken:
    """This process can use the connection."""

    role: Role


@dataclass(frozen=True, slots=True)
class RoleLost:
    """This process has no role any more; another one follows."""

    in_order: bool
    """True if messages without a result were not sent."""


@dataclass(frozen=True, slots=True)
class JoinFailed:
    """Joining failed permanently: no further attempt is made until `acquire_role` is called again."""

    error: OnesocketError


@dataclass(frozen=True, slots=True)
class OwnerMissing:
    """This process never owns, and there has been no owner for a while; it goes on looking."""

    error: NoOwner


MembershipEvent: TypeAlias = RoleTaken | RoleLost | JoinFailed | OwnerMissing
