"""Readline's keys for a text area: moving, cutting, and putting back what was cut."""

from __future__ import annotations

from typing import Final

from textual.widgets import TextArea

_MOVES: Final = {
    "ctrl+a": "cursor_line_start",
    "ctrl+e": "cursor_line_end",
    "ctrl+b": "cursor_left",
    "ctrl+f": "cursor_right",
    "alt+b": "cursor_word_left",
    "alt+f": "cursor_word_right",
}
_CUTS: Final = {
    "ctrl+w": "delete_word_left",
    "alt+backspace": "delete_word_left",
    "alt+d": "delete_word_right",
    "ctrl+u": "delete_to_start_of_line",
    "alt+k": "delete_to_end_of_line",
}
_YANK: Final = "ctrl+y"


class Readline:
    """Handles the keys of one text area. Ctrl-K is not among them: it is the application's."""

    def __init__(self, area: TextArea) -> None:
        self._area = area
        self._cut = ""
        self._last = ""

    def __repr__(self) -> str:
        return f"<Readline with {len(self._cut)} characters cut>"

    def handle(self, key: str) -> bool:
        """Perform a key; returns False if it is none of these."""
        last, self._last = self._last, key
        if key in _MOVES:
            getattr(self._area, f"action_{_MOVES[key]}")()
        elif key in _CUTS:
            if key == "ctrl+w" and not self._area.text:
                # With nothing written it closes the panel; pressed once too often it does not.
                return last == "ctrl+w"
            self._remove(_CUTS[key])
        elif key == _YANK:
            if self._cut:
                self._area.insert(self._cut)
        else:
            return False
        return True

    def _remove(self, action: str) -> None:
        before = self._area.text
        getattr(self._area, f"action_{action}")()
        row, column = self._area.cursor_location
        document = self._area.document
        at = sum(len(line) + len(document.newline) for line in document.lines[:row]) + column
        cut = before[at : at + len(before) - len(self._area.text)]
        self._cut = cut or self._cut
