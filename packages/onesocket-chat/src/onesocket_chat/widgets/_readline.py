"""Readline's keys for a text area: moving, cutting, and putting back what was cut.

A line is one that ends with a newline, however often it is wrapped, as in Readline; Home and End go by what is drawn.
"""

from __future__ import annotations

from typing import Final

from textual.widgets import TextArea

_MOVES: Final = {
    "ctrl+b": "cursor_left",
    "ctrl+f": "cursor_right",
    "alt+b": "cursor_word_left",
    "alt+f": "cursor_word_right",
}
_CUTS: Final = {
    "ctrl+w": "delete_word_left",
    "alt+backspace": "delete_word_left",
    "alt+d": "delete_word_right",
    "ctrl+u": "delete_left",
    "alt+k": "delete_right",
}
_FORWARD: Final = frozenset({"alt+d", "alt+k"})
_TO_ENDS: Final = {"ctrl+a": 0, "ctrl+u": 0, "ctrl+e": -1, "alt+k": -1}
"""Keys that go, or cut, to the beginning (0) or to the end of the line."""
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
        elif key in _TO_ENDS and key not in _CUTS:
            self._area.move_cursor(self._end_of_line(key))
        elif key in _CUTS:
            if key == "ctrl+w" and not self._area.text:
                # With nothing written it closes the panel; pressed once too often it does not.
                return last == "ctrl+w"
            self._remove(key, goes_on=last in _CUTS)
        elif key == _YANK:
            if self._cut:
                self._area.insert(self._cut)
        else:
            return False
        return True

    def _end_of_line(self, key: str) -> tuple[int, int]:
        row, _ = self._area.cursor_location
        return (row, len(self._area.document.get_line(row)) if _TO_ENDS[key] else 0)

    def _remove(self, key: str, *, goes_on: bool) -> None:
        """Cut; what several keys in a row have cut is put back as one text."""
        before = self._area.text
        end = self._end_of_line(key) if key in _TO_ENDS else self._area.cursor_location
        if end != self._area.cursor_location:
            self._area.delete(self._area.cursor_location, end, maintain_selection_offset=False)
        else:  # at the end of a line it is the newline
            getattr(self._area, f"action_{_CUTS[key]}")()
        row, column = self._area.cursor_location
        document = self._area.document
        at = sum(len(line) + len(document.newline) for line in document.lines[:row]) + column
        cut = before[at : at + len(before) - len(self._area.text)]
        earlier = self._cut if goes_on or not cut else ""
        self._cut = earlier + cut if key in _FORWARD else cut + earlier
