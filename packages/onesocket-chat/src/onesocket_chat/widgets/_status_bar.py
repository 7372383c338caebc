"""The status of the connection."""

from __future__ import annotations

from typing import Final

from textual.content import Content
from textual.widgets import Static

from onesocket import State

from ..session._session import ChatSession

_STYLES: Final = {
    State.CONNECTED: "bold $text-success",
    State.CONNECTING: "bold $text-warning",
    State.BACKING_OFF: "bold $text-warning",
    State.CLOSING: "bold $text-warning",
    State.FAILED: "bold $text-error",
}


class StatusBar(Static):
    """Shows state, epoch, round trip, queues, retries, and the number of joins."""

    def __init__(self) -> None:
        super().__init__(markup=False, id="status")
        self.hint = ""
        """The keys that unfold hidden columns."""

    def show(self, session: ChatSession) -> None:
        """Show the session's current status."""
        status = session.status
        if status is None:
            self.update(Content("  ".join(filter(None, ("not connected yet", self.hint)))))
            return
        state = status.state.value.upper()
        if status.retry_in:
            state += f", again in {status.retry_in:.0f} s"
        rtt = "–" if status.rtt is None else f"{status.rtt * 1000:.0f} ms"
        parts = [
            *filter(None, (self.hint,)),
            f"epoch {status.epoch}",
            f"rtt {rtt}",
            f"outbox {len(session.store.state.outbox)}",
            f"queue {status.inbox + status.outbox}",
            f"retries {status.attempt}",
            f"1 connection, {session.joins} joins",
            session.server.name,
        ]
        text = Content.styled(f"● {state}", _STYLES.get(status.state, "bold"))
        self.update(Content.assemble(text, "  ", "  ".join(parts)))
