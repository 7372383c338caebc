"""Raises Ctrl-C at each place in turn where the running CPython looks for signals: an exhaustive search.

Where the interpreter looks differs between its versions, so it is not modelled here: a pending SIGINT is set before
one bytecode after the other, and the interpreter itself decides where it raises.
"""

from __future__ import annotations

import _thread
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

import onesocket

PACKAGE = str(Path(onesocket.__file__).parent)

# What is raised in these is reported by the interpreter and goes no further.
_SWALLOW = frozenset(("__del__", "_remove"))
_SIGNALS = (signal.SIGINT,)

# So many bytecodes later the place of the last time must have come; else the block took another way this time.
_WINDOW = 100

Place = tuple[CodeType, int]
"""A function, and the offset of a bytecode in it."""


class InjectedInterrupt:
    """``with InjectedInterrupt(n):`` makes a SIGINT pending before the n-th bytecode of the block, counted from 1.

    Bytecodes count in every function that the block calls, in this thread, whose file's name begins with `within`.
    With `after`, some after the n-th are passed over until the interpreter has been at that place.
    """

    def __init__(self, bytecode: int, within: str = "", after: Place | None = None) -> None:
        self.passed = 0
        """Number of bytecodes that came before the signal was set."""
        self.is_set = False
        """True if the block came so far that the signal was set."""
        self.seen: Place | None = None
        """Place where the interpreter looked and found the signal; None: not before the block's end."""
        self.where = ""
        """Place where `KeyboardInterrupt` was raised; empty: it was not."""
        self._bytecode = bytecode
        self._within = within
        self._after = after
        self._is_over = False
        self.tracer: object = None

    def __repr__(self) -> str:
        return f"<InjectedInterrupt {self.where or f'at bytecode {self.passed} of {self._bytecode}'}>"

    def __enter__(self) -> Self:
        self._block = sys._getframe(1)
        self._handled = signal.signal(signal.SIGINT, self._found)
        _watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._is_over = True
        _watch(None)
        signal.signal(signal.SIGINT, self._handled)
        return bool(self.where) and isinstance(error, KeyboardInterrupt)

    def counts(self, code: CodeType) -> bool:
        """True if the bytecodes of this function count."""
        return code is not InjectedInterrupt.__exit__.__code__ and code.co_filename.startswith(self._within)

    def at_start(self, code: CodeType, offset: int) -> None:
        """A function begins."""
        if self.passed >= self._bytecode and self._after == (code, offset):
            self._after = None

    def at_bytecode(self, code: CodeType, offset: int) -> bool:
        """A bytecode comes next; whether the signal is to be set before it."""
        self.passed += 1
        if not self._bytecode <= self.passed < self._bytecode + _WINDOW:
            return False
        if self._after is not None:
            self.at_start(code, offset)
            return False
        self.is_set = True
        return True

    def _found(self, _signal: int, frame: FrameType | None) -> None:
        if (
            frame is None
            or frame is self._block
            or frame.f_code is InjectedInterrupt.__exit__.__code__
            or self._is_over
        ):
            return
        self.seen = (frame.f_code, frame.f_lasti)
        callers = list(_callers(frame, self._block))
        if not any(map(_swallows, callers)) and any(map(self.counts, callers)):
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_qualname}"
            raise KeyboardInterrupt


def _swallows(code: CodeType) -> bool:
    # Callbacks of the garbage collector are other modules': which of them are imported depends on the other tests.
    collector = (getattr(callback, "__code__", None) for callback in gc.callbacks)
    return code.co_name in _SWALLOW or code in collector


def at_each_place(
    scenario: Callable[[InjectedInterrupt], None], within: str = "", *, step: int = 1, skip: bool = True
) -> set[Place]:
    """Call the scenario with Ctrl-C at the first place, the second ...; returns the places.

    `step`: how many bytecodes to go on by. `skip`: go on behind the place at which the last signal was found. Without,
    each bytecode gets its own, which takes much longer and comes to the same places.
    """
    places: set[Place] = set()
    bytecode, after = 1, None
    while True:
        ctrl_c = InjectedInterrupt(bytecode, within, after)
        try:
            scenario(ctrl_c)
        except Exception as error:
            error.add_note(f"after Ctrl-C before bytecode {ctrl_c.passed}: {ctrl_c.where}")
            raise
        if ctrl_c.where and ctrl_c.seen is not None:
            places.add(ctrl_c.seen)
        if ctrl_c.is_set:
            after = ctrl_c.seen if skip else None
            bytecode = ctrl_c.passed + step - (after is not None)
        elif after is not None:
            bytecode, after = bytecode + step, None
        else:
            return places


def _callers(frame: FrameType | None, block: FrameType) -> Iterator[CodeType]:
    while frame is not None and frame is not block:
        yield frame.f_code
        frame = frame.f_back


# Setting the signal is no call but an unpacking, after which no CPython looks. And from then on nothing is watched: the
# interpreter's next look is to be in the code under test, not in here.

if sys.version_info >= (3, 12):
    _monitoring = sys.monitoring
    _TOOL = _monitoring.DEBUGGER_ID
    _START, _BYTECODE = _monitoring.events.PY_START, _monitoring.events.INSTRUCTION

    def _watch(ctrl_c: InjectedInterrupt | None) -> None:
        if ctrl_c is None:
            _monitoring.set_events(_TOOL, 0)
            _monitoring.free_tool_id(_TOOL)
            return
        me = threading.get_ident()

        def start(code: CodeType, offset: int) -> None:
            if threading.get_ident() == me and ctrl_c.counts(code):
                ctrl_c.at_start(code, offset)

        def bytecode(code: CodeType, offset: int) -> Any:
            if not ctrl_c.counts(code):
                return _monitoring.DISABLE
            if threading.get_ident() == me and ctrl_c.at_bytecode(code, offset):
                _monitoring.set_events(_TOOL, 0)
                _monitoring.register_callback(_TOOL, _BYTECODE, None)
                _monitoring.register_callback(_TOOL, _START, None)
                _ = [*map(_thread.interrupt_main, _SIGNALS)]
            return None

        _monitoring.use_tool_id(_TOOL, "Ctrl-C")
        _monitoring.register_callback(_TOOL, _START, start)
        _monitoring.register_callback(_TOOL, _BYTECODE, bytecode)
        _monitoring.restart_events()
        _monitoring.set_events(_TOOL, _START | _BYTECODE)

else:

    def _watch(ctrl_c: InjectedInterrupt | None) -> None:
        if ctrl_c is None:
            sys.settrace(None)
            return

        def call(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
            if not ctrl_c.counts(frame.f_code):
                return None
            ctrl_c.at_start(frame.f_code, frame.f_lasti)
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return step

        def step(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
            if event == "opcode" and ctrl_c.at_bytecode(frame.f_code, frame.f_lasti):
                sys.settrace(None)
                _ = [*map(_thread.interrupt_main, _SIGNALS)]
            return step

        ctrl_c.tracer = call  # CPython 3.11 crashes when the last reference goes with `settrace(None)`
        sys.settrace(call)
