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
    """Shows the state, the round trip and the number of unsent messages; the timeline has the rest."""

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
        style = _STYLES.get(status.state, "bold")
        silence = session.pulse.silence
        if silence is not None:
            state, style = f"NO ANSWER for {silence:.0f} s", _STYLES[State.BACKING_OFF]
        elif status.retry_in:
            state += f", again in {status.retry_in:.0f} s"
        waiting = len(session.store.state.outbox)
        parts = [
            self.hint,
            f"rtt {status.rtt * 1000:.0f} ms" if status.rtt is not None else "",
            f"{waiting} not sent" if waiting else "",
            session.server.name,
        ]
        text = Content.styled(f"● {state}", style)
        self.update(Content.assemble(text, "  ", "  ".join(filter(None, parts))))
