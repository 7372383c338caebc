"""The changes of the connection's state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from onesocket.client import Change

from ..model._safe_text import one_line
from ..session._session import ChatSession


class TimelineScreen(ModalScreen[None]):
    """Shows the connection's numbers, and its changes, the newest at the bottom."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f3", "dismiss(None)", "Back")]

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._forget: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """Compose a scrollable text with one line per change."""
        with Vertical(classes="timeline"):
            yield Static("The connection, change by change", markup=False, classes="asked")
            yield Static(markup=False, id="numbers")
            with VerticalScroll():
                yield Static(markup=False, id="changes")
            yield Static("Escape: back", markup=False, classes="hint")

    def on_mount(self) -> None:
        """Follow the session."""
        self._forget = self._session.store.listen(lambda: self.call_later(self._show))
        self.set_interval(1.0, self._show)
        self._show()

    def on_unmount(self) -> None:
        """Stop following the session."""
        if self._forget is not None:
            self._forget()

    def _show(self) -> None:
        if not self.is_attached:
            return
        changes = self._session.connection.changes
        left = self._session.connection.total - len(changes)
        lines = [Content.styled(f"… {left} earlier ones", "dim")] if left else []
        lines += [_line(change) for change in changes]
        scroll = self.query_one(VerticalScroll)
        is_at_end = scroll.scroll_offset.y >= scroll.max_scroll_y
        self.query_one("#numbers", Static).update(_numbers(self._session))
        self.query_one("#changes", Static).update(Content("\n").join(lines))
        if is_at_end:  # else an earlier change is being read
            scroll.scroll_end(animate=False)


def _numbers(session: ChatSession) -> Content:
    """The connection's numbers, in one line; the status bar has what matters every day."""
    status = session.status
    if status is None:
        return Content.styled("not connected yet", "dim")
    parts = (
        f"epoch {status.epoch}",
        f"queue {status.inbox + status.outbox}",
        f"retries {status.attempt}",
        f"outbox {len(session.store.state.outbox)}",
        f"1 connection, {session.joins} joins",
    )
    return Content.styled("  ".join(parts), "dim")


def _line(change: Change) -> Content:
    at = datetime.fromtimestamp(change.at).astimezone()
    return Content.assemble(
        (f"{at:%H:%M:%S}", "dim"),
        f"  epoch {change.epoch:<3} ",
        (f"{change.old.value} → {change.new.value}", "bold"),
        f"  {change.cause}",
        (f"  {one_line(str(change.error), 160)}" if change.error is not None else "", "$text-error"),
    )
