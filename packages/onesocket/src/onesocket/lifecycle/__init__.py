"""The lifecycle of one connection, without input or output: states, events, effects, the table and the machine."""

from ._effects import Outcome
from ._outbox import OutboxLimits
from ._retry import ReconnectPolicy
from ._states import State

__all__ = ["OutboxLimits", "Outcome", "ReconnectPolicy", "State"]
