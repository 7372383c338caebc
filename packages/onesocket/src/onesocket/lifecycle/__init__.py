"""The lifecycle of one connection, without input or output: states, events, effects, the table and the machine."""

# Absolute: a relative import would make `_effects` a private name of this package for type checkers.
from onesocket.lifecycle._effects import Outcome

from ._outbox import OutboxLimits
from ._retry import ReconnectPolicy
from ._states import State
from ._verdict import Verdict

__all__ = ["OutboxLimits", "Outcome", "ReconnectPolicy", "State", "Verdict"]
