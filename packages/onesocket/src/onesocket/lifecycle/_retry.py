"""When to try again: the policy for an established connection that was lost. Pure: chance and time are arguments."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Final, TypeGuard

from .._record import record
from ..errors import ConnectionRefused, InvalidOption, NameResolutionFailed, OnesocketError
from ._verdict import Verdict, verdict_of

DOWNTIME_FRACTION: Final = 0.4
"""Fraction of the time since the loss that may pass until the next attempt, besides `initial`."""
RETRY_AFTER_JITTER: Final = 0.1
"""Fraction of the time named by a server that is added at random, so that its clients don't all come at once."""


@record(kw_only=True)
class ReconnectPolicy:
    """Back-off for resuming an established connection that was lost: exponential, with jitter and caps.

    The first attempt after a loss is made at once; the n-th further one in a row after a random time between half and
    the whole of ``initial * factor ** (n - 1)`` seconds, or less: at most `cap`, at most `unreachable_cap` where
    nothing answered (port refused, no route, unknown name), and never more than `initial` and 0.4 of the time that
    the connection has been away. So after 7 s away it is back within 3.3 s, and the attempts can't come in bursts.

    A `Retry-After` is obeyed even beyond the cap, up to `retry_after_cap`, with up to a tenth added at random; the
    back-off passes meanwhile.
    With `first` a first connect is retried in the same way, until it succeeds or fails for good.

    The count starts anew when a connection has proved itself by staying up for `stable_after` seconds; before that,
    each second up makes up for one away. So a server that accepts and closes is not hammered.
    """

    initial: float = 0.5
    """Seconds: the upper bound of the first delay that is not zero."""
    factor: float = 2.0
    cap: float = 60.0
    """Seconds: the upper bound of every delay (but for a `Retry-After`)."""
    unreachable_cap: float = 3.0
    """Seconds: the upper bound while nothing answers, unless `initial` is more. For a service with very many clients it
    can be raised: they all come within this time of its return."""
    stable_after: float = 10.0
    """Seconds that a connection must be up before earlier failures are forgotten."""
    busy_delay: float = 30.0
    """Seconds: the least delay when the service has no place for us and names no date."""
    retry_after_cap: float = 3600.0
    """Seconds: the upper bound of a delay that the server names (`Retry-After`), so that a mistaken date can't end the
    connection for good."""
    max_attempts: int | None = None
    """Failures in a row after which we give up with `RetriesExhausted` (None: never)."""
    first: bool = False
    """True to retry first connects, too; `connect(retry=…)` overrides it for one call."""
    verdict: Callable[[OnesocketError], Verdict | None] | None = None
    """A function that is asked about each failure which the policy may answer with another attempt.

    It gets the typed error and returns a `Verdict`, or None for the usual one. It must return at once, so it is no
    coroutine function. What it raises is reported, and counts as None."""

    def __post_init__(self) -> None:
        for name in ("initial", "cap", "unreachable_cap", "stable_after", "busy_delay", "retry_after_cap"):
            value: object = getattr(self, name)
            if not _is_number(value) or value < 0:
                raise InvalidOption(f"ReconnectPolicy: {name} must be a number of seconds >= 0, not {value!r}")
        if not _is_number(self.factor) or self.factor < 1:
            raise InvalidOption(f"ReconnectPolicy: factor must be a number >= 1, not {self.factor!r}")
        most: Any = self.max_attempts
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise InvalidOption(f"ReconnectPolicy: max_attempts must be a whole number >= 1 or None, not {most!r}")
        first: Any = self.first
        if not isinstance(first, bool):
            raise InvalidOption(f"ReconnectPolicy: first must be True or False, not {first!r}")
        _check_hook(self.verdict)

    def delay(
        self,
        failures: int,
        error: OnesocketError,
        jitter: float,
        away: float = math.inf,
        *,
        verdict: Verdict | None = None,
    ) -> float:
        """Seconds to wait after the `failures`-th failure in a row; `jitter` is a random number in [0, 1).

        `away`: seconds that the connection has been away so far (default: so long that it doesn't matter). `verdict`:
        the verdict on the error; None: the usual one.
        """
        slowly = (verdict or verdict_of(error)) is Verdict.SLOW
        is_unreachable = isinstance(error, ConnectionRefused | NameResolutionFailed)
        named = error.retry_after
        if slowly and named is None:
            return min(self.busy_delay * (1 + jitter), max(self.cap, self.busy_delay))
        if named is not None and not error.backs_off:
            return named
        back_off = (
            0.0
            if failures <= 1
            else self._ceiling(failures - 2, away, is_unreachable=is_unreachable) * (1 + jitter) / 2
        )
        if named is None:
            return back_off
        named = min(named, self.retry_after_cap)
        return max(back_off, named + jitter * min(RETRY_AFTER_JITTER * named, self.cap))

    def exhausted(self, failures: int) -> bool:
        """True if there is no further attempt after this many failures in a row."""
        return self.max_attempts is not None and failures >= self.max_attempts

    def _ceiling(self, exponent: int, away: float, *, is_unreachable: bool) -> float:
        try:
            grown = self.initial * self.factor**exponent
        except OverflowError:
            grown = self.cap
        cap = min(self.cap, max(self.unreachable_cap, self.initial)) if is_unreachable else self.cap
        return min(grown, cap, self.initial + DOWNTIME_FRACTION * away)


def _check_hook(hook: object) -> None:
    if hook is None:
        return
    if not callable(hook):
        raise InvalidOption(f"ReconnectPolicy: verdict must be a function or None, not {hook!r}")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
        raise InvalidOption(
            "ReconnectPolicy: verdict must be a plain function that returns a Verdict or None at once, and this is a "
            "coroutine function"
        )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
