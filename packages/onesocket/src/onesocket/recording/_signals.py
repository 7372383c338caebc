"""Signals that make recorders write: one handler for each signal, for all recorders that are alive."""

from __future__ import annotations

import signal as signal_module
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InvalidOption

if TYPE_CHECKING:
    from ._recorder import FlightRecorder

_recorders: dict[int, weakref.WeakSet[FlightRecorder]] = {}


def write_on_signal(number: object, recorder: FlightRecorder) -> None:
    """Let this signal write the recorder's file, as long as the recorder is alive. Raises `InvalidOption`."""
    signal = _check(number)
    if signal not in _recorders:
        if threading.current_thread() is not threading.main_thread():
            raise InvalidOption("signal= needs the main thread: make the recorder there")
        if signal_module.getsignal(signal) is not signal_module.SIG_DFL:
            raise InvalidOption(f"signal={signal.name} is handled already by this program: choose another one")
        signal_module.signal(signal, _handle)
        _recorders[signal] = weakref.WeakSet()
    _recorders[signal].add(recorder)


def _check(number: object) -> signal_module.Signals:
    allowed = _allowed()
    if isinstance(number, int) and number in allowed:
        return allowed[number]
    names = ", ".join(f"signal.{signal.name}" for signal in list(allowed.values())[:2]) or "None on this system"
    raise InvalidOption(f"signal must be a signal for the program's own use ({names}), not {number!r}")


def _allowed() -> dict[int, signal_module.Signals]:
    if sys.platform == "win32":
        return {}
    found = {int(one): one for one in (signal_module.SIGUSR1, signal_module.SIGUSR2)}
    for name in ("SIGRTMIN", "SIGRTMAX"):
        one: signal_module.Signals | None = getattr(signal_module, name, None)
        if one is not None:
            found[int(one)] = one
    return found


def _handle(number: int, _frame: object) -> None:
    writers: list[Callable[[], object]] = [recorder.write_automatically for recorder in _recorders[number]]
    for write in writers:
        write()
