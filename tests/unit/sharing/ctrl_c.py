"""Ctrl-C at each place in turn where CPython looks for signals: an exhaustive search instead of a lucky one."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

# After these CPython looks whether a signal came (after a call: of something written in C).
_LOOKS_AFTER = frozenset(
    dis.opmap[name]
    for name in ("RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "CALL_METHOD", "JUMP_BACKWARD")
    if name in dis.opmap
)
# What is raised in these is reported by the interpreter and goes no further.
_SWALLOW = frozenset(("__del__", "_remove"))


class CtrlC:
    """``with CtrlC(n):`` raises `KeyboardInterrupt` at the n-th place, counted from 1, that the block comes to.

    Places are in every function that the block calls, in this thread, whose file's name has `within` in it.
    """

    def __init__(self, place: int, within: str = "") -> None:
        self._left = place
        self._within = within
        self._before: dict[FrameType, int] = {}
        """Where each function was a step ago; -1: on its way to a handler, which it goes without a look."""
        self._has_returned = False
        self.where = ""
        """Where it was raised; empty: the block came to its end first."""

    def __repr__(self) -> str:
        return f"<CtrlC {self.where or f'{self._left} places off'}>"

    def __enter__(self) -> Self:
        self._traced = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        sys.settrace(self._traced)
        self._before.clear()
        return bool(self.where) and isinstance(error, KeyboardInterrupt)

    def _call(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        code = frame.f_code
        if code is CtrlC.__exit__.__code__ or self._within not in code.co_filename:
            return None
        self._has_returned = False
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        if event == "exception":
            self._before[frame] = -1
        elif event == "return":
            self._before.pop(frame, None)
            self._has_returned = True
        elif event == "opcode":
            before, self._before[frame] = self._before.get(frame, 0), frame.f_lasti
            is_place = _is_place(frame.f_code, before, frame.f_lasti, has_returned=self._has_returned)
            self._has_returned = False
            if is_place and not self.where and not any(name in _SWALLOW for name in _callers(frame)):
                self._left -= 1
                if self._left == 0:
                    self.where = _place(frame.f_code, frame.f_lineno)
                    raise KeyboardInterrupt
        return self._step


def at_each_place(scenario: Callable[[CtrlC], None], within: str = "", step: int = 1) -> int:
    """Call the scenario with Ctrl-C at the 1st place, the 2nd ...; how many there were."""
    place = 1
    while True:
        ctrl_c = CtrlC(place, within)
        try:
            scenario(ctrl_c)
        except Exception as error:
            error.add_note(f"after Ctrl-C at place {place}: {ctrl_c.where}")
            raise
        if not ctrl_c.where:
            return place
        place += step


def _is_place(code: CodeType, before: int, now: int, *, has_returned: bool) -> bool:
    operation = code.co_code[before] if before > 0 else dis.opmap["RESUME"]
    if before < 0 or operation not in _LOOKS_AFTER or (has_returned and operation != dis.opmap["JUMP_BACKWARD"]):
        return False
    # What is raised belongs to the step before. Where that has another handler, the same can't be had from here.
    return before == 0 or _handler(code, before) == _handler(code, now)


@functools.cache
def _handlers(code: CodeType) -> list[tuple[int, int, int]]:
    bytecode: Any = dis.Bytecode(code)
    return [(entry.start, entry.end, entry.target) for entry in bytecode.exception_entries]


def _handler(code: CodeType, offset: int) -> int | None:
    return next((target for start, end, target in _handlers(code) if start <= offset < end), None)


def _callers(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back


def _place(code: CodeType, line: int | None) -> str:
    return f"{code.co_filename.rpartition('/')[2]}:{line} in {code.co_qualname}"
