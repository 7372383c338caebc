"""Draws the lifecycle from its transition table into every document with the markers for it.

`python -m tools.diagram` writes; `--check` only looks, and exits with 1 when a picture is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from onesocket.lifecycle._events import EVENTS, Event
from onesocket.lifecycle._side_actions import Guard
from onesocket.lifecycle._side_actions import SideActions as Actions
from onesocket.lifecycle._side_table import SIDE_TABLE
from onesocket.lifecycle._states import AfterClose, Side, State
from onesocket.lifecycle._table import IGNORE, TABLE, Cell, NonTransition, Rule
from tools.markers import markers, replace_marked

Table = Mapping[State, Mapping[type[Event], Cell]]
SideTable = Mapping[Side, Mapping[type[Event], Cell]]

ROOT: Final = Path(__file__).resolve().parent.parent
LIFECYCLE_PAGE: Final = Path("docs/lifecycle.md")
"""The document that must have both parts."""
FIX_COMMAND: Final = "make diagram"

# The conditions of the rules, in words that finish "if …".
CONDITIONS: Final[Mapping[tuple[AfterClose | None, Guard | None], str]] = {
    (None, Actions.retry_helps): "a retry helps",
    (None, Actions.is_last_caller): "the attempt was for this caller alone",
    (None, Actions.waits_for_date): "it waits for the date that the server named",
    (None, Actions.is_early): "the server named a later date",
    (None, Actions.has_side): "there is a side connection",
    (None, Actions.retry_follows_side): "there is a side connection, and a retry helps",
    (None, Actions.successor_follows): "a successor is being opened, and a retry helps",
    (None, Actions.is_second_refused): "the server refuses a second connection, and the first may be closed before it",
    (AfterClose.BACK_OFF, Actions.waits_for_date): "it waits for that date",
    (AfterClose.BACK_OFF, Actions.is_last_caller): "the retry was for this caller alone",
    (AfterClose.BACK_OFF, Actions.is_last_retrying_caller): "no other caller waits for the retry",
    (AfterClose.NEW_ATTEMPT, Actions.is_last_caller): "the next attempt was for this caller alone",
    (AfterClose.NEW_ATTEMPT, Actions.is_awaited_until_date): "a new attempt waits for the date that the server named",
    (AfterClose.NEW_ATTEMPT, Actions.names_date): "a new attempt waits, but the server named a later date",
    (AfterClose.NEW_ATTEMPT, None): "a new attempt waits",
    (AfterClose.BACK_OFF, None): "a retry is due",
    (AfterClose.FAIL, None): "it had failed",
    (AfterClose.STOP, None): "disconnect() closed it",
    (AfterClose.STOP, Actions.is_early): "disconnect() closed it, and the server named a later date",
    (AfterClose.CLOSE, None): "aclose() closed it",
}
NAMES: Final[Mapping[str, str]] = {
    "Connect": "connect()",
    "Reconnect": "reconnect()",
    "Rotate": "rotate()",
    "CallerCancelled": "caller cancelled",
    "Disconnect": "disconnect()",
    "Close": "aclose()",
    "Opened": "opened",
    "DeadlineExtended": "deadline extended",
    "ProtocolReady": "ready",
    "ConnectionFailing": "failing",
    "ConnectionGone": "ended",
    "TimerFired": "timer",
}
# The next step after CLOSING, as a state.
TARGETS: Final[Mapping[AfterClose, State]] = {
    AfterClose.DISCONNECTED: State.DISCONNECTED,
    AfterClose.NEW_ATTEMPT: State.CONNECTING,
    AfterClose.BACK_OFF: State.BACKING_OFF,
    AfterClose.FAIL: State.FAILED,
    AfterClose.STOP: State.STOPPED,
    AfterClose.CLOSE: State.CLOSED,
}


def diagram(table: Table = TABLE) -> str:
    """Return the changes of state as a Mermaid diagram, with one arrow for each pair of states."""
    arrows: dict[tuple[State, State], dict[str, list[str]]] = {}
    for state, row in table.items():
        for kind in EVENTS:
            cell = row[kind]
            for rule in () if isinstance(cell, NonTransition) else cell:
                if rule.to is not None:
                    inputs = arrows.setdefault((state, rule.to), {})
                    inputs.setdefault(NAMES[kind.__name__], []).append(_words(rule, cell))
    lines = ["```mermaid", "stateDiagram-v2", "    direction TB", f"    [*] --> {State.DISCONNECTED.name}"]
    for (source, target), inputs in arrows.items():
        lines.append(f"    {source.name} --> {target.name}: {'<br/>'.join(_labels(inputs))}")
    lines += [f"    {State.CLOSED.name} --> [*]", "```"]
    return "\n".join(lines)


def _words(rule: Rule, cell: Cell) -> str:
    """Return the condition of the rule; an empty text if its event always leads to that state."""
    if rule.is_conditional:
        return CONDITIONS[rule.closing_to, rule.when]
    others = () if isinstance(cell, NonTransition) else cell
    return "" if all(other.to is rule.to for other in others) else "otherwise"


def _labels(inputs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    grouped: dict[str, list[str]] = {}
    for name, guards in inputs.items():
        # Several rules of one input to one state are all of its rules, or named one by one.
        when = " or ".join(dict.fromkeys(guards)) if "" not in guards else ""
        grouped.setdefault(when, []).append(name)
    for when, names in grouped.items():
        joined = ", ".join(names)
        yield f"{joined} ({when})" if when else joined


def state_table(table: Table | SideTable = TABLE) -> str:
    """Return the table of all states and events as Markdown."""
    rows = [["", *(f"`{state.name}`" for state in table)]]
    rows.append(["---"] * len(rows[0]))
    kinds = [kind for kind in EVENTS if any(kind in row for row in table.values())]
    rows += [[NAMES[kind.__name__], *(_cell(row[kind]) for row in table.values())] for kind in kinds]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows).replace("|  |", "| |")


def _cell(cell: Cell) -> str:
    if isinstance(cell, NonTransition):
        return "ignored" if cell is IGNORE else "impossible"
    parts = [(_target(rule), CONDITIONS.get((rule.closing_to, rule.when), "")) for rule in cell]
    if len({target for target, _ in parts}) == 1:
        return parts[0][0]
    return "; ".join(
        f"{target} if {when}" if when else (f"else {target}" if len(parts) > 1 else target) for target, when in parts
    )


def _target(rule: Rule) -> str:
    then = "" if rule.after_close is None else f", then **{TARGETS[rule.after_close].name}**"
    refusals = {Actions.refuse_stopped, Actions.refuse_closed, Actions.refuse_early}
    if refusals & set(rule.do):
        return f"refused{then}" if rule.to is None else f"refused, then **{rule.to.name}**"
    return f"stays{then}" if rule.to is None else f"**{rule.to.name}**{then}"


def redraw(text: str, table: Table = TABLE) -> str:
    """Return `text` with every marked part drawn anew. Raises ValueError for a marker without its partner."""
    text = replace_marked(text, "diagram", diagram(table), required=False)
    text = replace_marked(text, "table", state_table(table), required=False)
    return replace_marked(text, "side", state_table(SIDE_TABLE), required=False)


def documents(root: Path) -> list[Path]:
    """Return the documents to draw into: LIFECYCLE_PAGE, and every other one with a marker."""
    others = [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]
    marked = [path for path in others if "<!-- diagram:" in _read(path) or "<!-- table:" in _read(path)]
    return list(dict.fromkeys([root / LIFECYCLE_PAGE, *marked]))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _problem(path: Path, root: Path, *, write: bool) -> str | None:
    """Return the fault of this document, or None; stale parts are drawn anew if `write`."""
    name = path.relative_to(root)
    if not path.is_file():
        return f"{name}: missing; the lifecycle is drawn there"
    text = _read(path)
    if name == LIFECYCLE_PAGE:
        missing = [marker for part in ("diagram", "table", "side") for marker in markers(part) if marker not in text]
        if missing:
            return f"{name}: lacks the marker {missing[0]}; put it back, then run: {FIX_COMMAND}"
    try:
        fresh = redraw(text)
    except ValueError as error:
        return f"{name}: {error}; put it back, then run: {FIX_COMMAND}"
    if fresh == text:
        return None
    if write:
        path.write_text(fresh, encoding="utf-8")
        print(f"{name}: drawn")
        return None
    return f"{name}: does not show the transition table as it is; run: {FIX_COMMAND}"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write, or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tools.diagram", description="Draw the lifecycle from its table.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a drawing is stale")
    write = not parser.parse_args(arguments).check
    problems = [problem for path in documents(root) if (problem := _problem(path, root, write=write))]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
