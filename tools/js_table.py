"""Writes the transition table and the other data of the lifecycle as an ES module, for the client in JavaScript.

`python -m tools.js_table` writes; `--check` only looks, and exits with 1 when the module is stale.
"""

from __future__ import annotations

import argparse
import enum
import json
import re
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from onesocket import notices
from onesocket.client._durable_outbox import DurableOutbox
from onesocket.client._gap import GapReason
from onesocket.client._queue import DEFAULT_LIMIT, Overflow
from onesocket.lifecycle import _peer_errors as peer_errors
from onesocket.lifecycle._actions import MAX_WAIT
from onesocket.lifecycle._effects import Outcome
from onesocket.lifecycle._events import EVENTS, Event, TimerKind
from onesocket.lifecycle._guards import MAX_TOKEN_REQUESTS, Initiator
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.lifecycle._retry import DOWNTIME_FRACTION, RETRY_AFTER_JITTER, ReconnectPolicy
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.lifecycle._side_table import SIDE_TABLE
from onesocket.lifecycle._states import AfterClose, Side, State
from onesocket.lifecycle._table import TABLE, Cell, NonTransition, Rule
from onesocket.lifecycle._verdict import Verdict
from onesocket.notices import NoticeLevel

ROOT: Final = Path(__file__).resolve().parent.parent
MODULE: Final = Path("packages/onesocket-js/src/lifecycle/table.js")
FIX_COMMAND: Final = "make js-table"
_HEADER: Final = f"""// The data of the lifecycle, written by `{FIX_COMMAND}` from the Python package; do not edit.
// The machine (machine.js) walks TABLE and SIDE_TABLE, in which a guard or an action is the name of a method.
"""
_LINE_LENGTH: Final = 110
_INLINE_FLAGS: Final = re.compile(r"\A\(\?([is]+)\)")
_ENUMS: Final[Iterable[type[enum.StrEnum]]] = (
    State,
    Side,
    AfterClose,
    Initiator,
    TimerKind,
    Outcome,
    Verdict,
    GapReason,
    Overflow,
    NoticeLevel,
)
_NOT_IN_A_BROWSER: Final = {Overflow.WAIT}
"""Nothing stops the browser from reading."""
_POLICY_OPTIONS: Final = (
    "initial",
    "factor",
    "cap",
    "unreachable_cap",
    "stable_after",
    "busy_delay",
    "retry_after_cap",
    "max_attempts",
    "first",
    "verdict",
)


def camel(name: str) -> str:
    """The JavaScript form of a Python name: `set_initiator` becomes `setInitiator`."""
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


def rule_data(rule: Rule) -> dict[str, Any]:
    """Return one rule of a cell as plain data; what it doesn't have is left out."""
    data: dict[str, Any] = {"do": [camel(action.__name__) for action in rule.do]}
    if rule.to is not None:
        data["to"] = rule.to
    if rule.when is not None:
        data["when"] = camel(rule.when.__name__)
    if rule.closing_to is not None:
        data["closingTo"] = rule.closing_to
    if rule.after_close is not None:
        data["afterClose"] = rule.after_close
    return data


def table_data(table: Mapping[Any, Mapping[type[Event], Cell]]) -> dict[str, Any]:
    """Return a transition table as plain data: state, event, and a list of rules or IGNORE or ILLEGAL."""
    return {
        state.value: {
            kind.__name__: cell.value if isinstance(cell, NonTransition) else [rule_data(rule) for rule in cell]
            for kind in EVENTS
            if (cell := row.get(kind)) is not None
        }
        for state, row in table.items()
    }


def pattern_data(pattern: str | None) -> dict[str, str] | None:
    """Return a regular expression as source and flags, which Python writes into the source."""
    if pattern is None:
        return None
    flags = _INLINE_FLAGS.match(pattern)
    return {"source": pattern, "flags": ""} if flags is None else {"source": pattern[flags.end() :], "flags": flags[1]}


def verdict_rule_data(rule: peer_errors.VerdictRule) -> dict[str, Any]:
    """Return one row of the table of close codes as plain data; its codes are ranges that include both ends."""
    return {
        "codes": _ranges(rule.codes),
        "verdict": rule.verdict,
        "words": pattern_data(rule.words),
        "withoutSource": rule.without_source,
    }


def _ranges(codes: Container[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for code in range(2**16):
        if code in codes:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return ranges


def lifecycle_data() -> dict[str, Any]:
    """Return all data of the lifecycle by the names that the module exports."""
    policy, limits, durable = ReconnectPolicy(), OutboxLimits(), DurableOutbox("any")
    enums = {
        kind.__name__: {each.name: each.value for each in kind if each not in _NOT_IN_A_BROWSER} for kind in _ENUMS
    }
    return {
        **enums,
        "TABLE": table_data(TABLE),
        "SIDE_TABLE": table_data(SIDE_TABLE),
        "CLOSE_CODES": {str(code): name for code, name in peer_errors.CLOSE_CODES.items()},
        "CLOSE_RULES": [verdict_rule_data(rule) for rule in peer_errors.CLOSE_RULES],
        "CONNECTION_LIMIT_WORDS": pattern_data(peer_errors.CONNECTION_LIMIT),
        "POLICY_DEFAULTS": {camel(name): getattr(policy, name) for name in _POLICY_OPTIONS},
        "OUTBOX_DEFAULTS": {"messages": limits.messages, "age": limits.age},
        "DURABLE_OUTBOX_DEFAULTS": {"messages": durable.messages, "bytes": durable.bytes, "age": durable.age},
        "LIMITS": {
            "downtimeFraction": DOWNTIME_FRACTION,
            "retryAfterJitter": RETRY_AFTER_JITTER,
            "maxWait": MAX_WAIT,
            "maxTokenRequests": MAX_TOKEN_REQUESTS,
            "ghostSeconds": GHOST_SECONDS,
            "minUptime": peer_errors.MIN_UPTIME,
            "queue": DEFAULT_LIMIT,
        },
        "NoticeId": {
            name: getattr(notices, name)
            for name in ("CONNECTION_FAILED", "CONNECTION_LOST", "SERVICE_BUSY", "SIGN_IN_FAILED", "SESSION_EXPIRED")
        },
    }


def module_text(data: Mapping[str, Any]) -> str:
    """Return the module that exports this data."""
    parts = [f"export const {name} = {_literal(value)};\n" for name, value in data.items()]
    return "\n".join([_HEADER, *parts])


def _literal(value: Any, indent: int = 0) -> str:
    """Return a value as JSON that is also JavaScript: on one line where that isn't too long."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= _LINE_LENGTH or not isinstance(value, dict | list):
        return line
    pairs = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(value)
    values = value.values() if isinstance(value, dict) else value
    inner = [
        f"{' ' * (indent + 2)}{pair}{_literal(each, indent + 2)}" for pair, each in zip(pairs, values, strict=True)
    ]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(inner), " " * indent + closing])


def main(
    arguments: Sequence[str] | None = None, root: Path = ROOT, make: Callable[[], Mapping[str, Any]] = lifecycle_data
) -> int:
    """Write, or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tools.js_table", description="Write the lifecycle's data for JavaScript.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the module is stale")
    path, fresh = root / MODULE, module_text(make())
    is_current = path.is_file() and path.read_text("utf-8") == fresh
    if is_current:
        return 0
    if parser.parse_args(arguments).check:
        print(f"{MODULE}: does not hold the transition table as it is; run: {FIX_COMMAND}", file=sys.stderr)
        return 1
    path.write_text(fresh, encoding="utf-8")
    print(f"{MODULE}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
