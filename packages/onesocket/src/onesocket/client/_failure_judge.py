"""Asks the policy's hook for its verdict on each failure that may be followed by another attempt."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import InvalidOption, OnesocketError
from ..lifecycle import _events as events
from ..lifecycle._actions import timeout_error
from ..lifecycle._events import Event, TimerKind
from ..lifecycle._machine import Machine
from ..lifecycle._retry import ReconnectPolicy
from ..lifecycle._states import State
from ..lifecycle._verdict import Verdict
from ._token_requests import TokenRequests
from ._user_code import USER_ERRORS, raise_in_loop

_HOOK_NAME = "ReconnectPolicy.verdict"


class FailureJudge:
    """Completes the events of failures: by the verdict of the hook, and by the news of the token."""

    __slots__ = ("_hook", "_report", "_time", "_tokens")

    def __init__(
        self,
        policy: ReconnectPolicy | None,
        tokens: TokenRequests,
        report: Callable[[BaseException, str], None],
        time: Callable[[], float],
    ) -> None:
        self._hook = None if policy is None else policy.verdict
        self._tokens = tokens
        self._report = report
        self._time = time

    def __repr__(self) -> str:
        return f"<FailureJudge hook={self._hook is not None}>"

    def judged(self, event: Event, machine: Machine) -> Event:
        """The event with what is known of its failure; any other event as it is."""
        if isinstance(event, events.FAILURES):
            if event.epoch != machine.live_epoch or machine.after_close is not None:
                return event
            verdict = event.verdict or self._ask(machine, event.error)
            return replace(event, verdict=verdict, is_fresh_token=self._tokens.is_fresh)
        if isinstance(event, events.TimerFired) and event.kind is TimerKind.OPEN and machine.state is State.CONNECTING:
            return replace(event, verdict=self._ask(machine, timeout_error(machine.open_timeout, event.detail)))
        return event

    def _ask(self, machine: Machine, error: OnesocketError) -> Verdict | None:
        hook = self._hook
        if hook is None or not machine.goes_on_after(error, self._time()):
            return None
        try:
            verdict: Any = hook(error)
        except USER_ERRORS as failure:
            self._report(failure, _HOOK_NAME)
        except BaseException as failure:  # noqa: BLE001 - the program ends, perhaps: not in the middle of this event
            raise_in_loop(failure)
        else:
            if verdict is None or isinstance(verdict, Verdict):
                return verdict
            if inspect.iscoroutine(verdict):
                verdict.close()
            text = f"{_HOOK_NAME} must return a Verdict or None at once, not {type(verdict).__name__}"
            self._report(InvalidOption(text), _HOOK_NAME)
        return None
