"""A channel's messages, the newest at the bottom."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import MouseScrollDown, MouseScrollUp, Resize, Show
from textual.message import Message as TextualMessage
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..model._chat_state import ChatState
from ..model._models import Message
from ..screens._dialogs import app_of
from ._row_rendering import render_row
from ._rows import Row, RowView, row_id, rows_of, text_of, views_of

_SHOWN_PARTS: Final = ("people", "channels", "blocked")
"""Parts of the state, besides the messages, on which depends how a row looks."""
_TOP_MARGIN: Final = 3
"""Lines from the top at which older messages are wanted."""


class _ScrollPosition(NamedTuple):
    """Scroll position: the line that is at the top."""

    number: int
    """Number of the row."""
    line: int
    """Number of the line within that row."""


class MessageList(OptionList):
    """Shows a channel's rows. The scroll position stays at the bottom, or at the row that is read.

    Only the user's scrolling moves it: added, removed and resized rows, and a resize of the list, do not.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "request('reply')", "Reply", id="reply"),
        Binding("e", "request('edit')", "Edit", id="edit"),
        Binding("d", "request('delete')", "Delete", id="delete"),
        Binding("plus", "request('react')", "React", id="react"),
        Binding("m", "request('more')", "More", show=False, id="more"),
        Binding("t", "request('retry')", "Try again", show=False, id="retry"),
        Binding("x", "request('discard')", "Discard", show=False, id="discard"),
        Binding("s", "reveal", "Spoiler", show=False, id="reveal"),
        Binding("space", "toggle_selected", "Select", show=False, id="select"),
        Binding("shift+up", "select_on(-1)", "Select up", show=False),
        Binding("shift+down", "select_on(1)", "Select down", show=False),
        Binding("y", "copy", "Copy", id="copy"),
    ]

    class ActionRequested(TextualMessage):
        """An action on a row was requested."""

        def __init__(self, verb: str, row: Row) -> None:
            super().__init__()
            self.verb = verb
            self.row = row

    class Copied(TextualMessage):
        """Messages were copied."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class TopReached(TextualMessage):
        """The list was scrolled to its top: older messages are wanted."""

    class EndReached(TextualMessage):
        """The list was scrolled to its bottom: the newest message is there, or newer ones are wanted."""

    class NewestWanted(TextualMessage):
        """The newest messages are wanted, however far back the list is."""

    def __init__(self, channel_id: int) -> None:
        super().__init__(markup=False, compact=True)
        self._channel_id = channel_id
        self._rows: list[Row] = []
        self._views: list[RowView] = []
        self._chat: ChatState = ChatState()
        self._revealed: set[str] = set()
        self._selection: set[str] = set()
        self._position: _ScrollPosition | None = None  # at the bottom
        self._keeps_position = False
        self._is_anchored = False
        self._wanted = ""

    @property
    def is_at_end(self) -> bool:
        """True if the newest message is in sight, or will be with the next refresh."""
        return self._position is None and not self._is_anchored

    @property
    def rows(self) -> tuple[Row, ...]:
        """The displayed rows."""
        return tuple(self._rows)

    def show(self, state: ChatState) -> None:
        """Show the rows of this state."""
        new = rows_of(state, self._channel_id)
        names = any(getattr(state, name) is not getattr(self._chat, name) for name in _SHOWN_PARTS)
        if self._is_anchored and self._position is None and self._lines:
            # What is added below is not the newest: the reader stays.
            self._position = _ScrollPosition(*self._lines[min(self.scroll_offset.y, len(self._lines) - 1)])
        self._chat = state
        self._is_anchored = state.history(self._channel_id).anchor is not None
        if new != self._rows or names:
            self._show(new)
        if self._wanted:
            self._go_to_wanted()

    def go_to(self, message_id: int) -> None:
        """Highlight this message in the middle of the list, now or when it is loaded."""
        self._wanted = f"m{message_id}"
        self._go_to_wanted()

    def _go_to_wanted(self) -> None:
        number = next((number for number, row in enumerate(self._rows) if row_id(row) == self._wanted), None)
        if number is None:
            return
        self._wanted = ""
        with self._position_kept():
            self.highlighted = number
            self._update_lines()
            top = max(0, self._index_to_line.get(number, 0) - self.scrollable_content_region.height // 3)
            is_end = top >= self.max_scroll_y and not self._is_anchored
            self._position = None if is_end or top >= len(self._lines) else _ScrollPosition(*self._lines[top])

    def _show(self, new: list[Row]) -> None:
        """Show these rows, and what changes of those that are there."""
        old, before = self._rows, self._views
        views = views_of(new, self._chat, self._revealed, self._selection)
        if views == before:
            return
        with self._position_kept():
            marked = self.highlighted
            if views[: len(before)] == before:
                self.add_options(_option(view) for view in views[len(before) :])
            else:
                known = {row_id(view.row): (view, option) for view, option in zip(before, self.options, strict=True)}
                self.set_options(_reuse_option(view, known) for view in views)
                numbers = {row_id(row): number for number, row in enumerate(new)}
                self.highlighted = (
                    None if marked is None else _moved_position(_ScrollPosition(marked, 0), old, numbers).number
                )
                if self._position is not None:
                    self._position = _moved_position(self._position, old, numbers)
            self._rows, self._views = new, views

    def follow(self) -> None:
        """Scroll to the bottom, and stay there."""
        self._is_anchored = False  # what is shown next is the newest
        with self._position_kept():
            self._position = None
        self.post_message(self.EndReached())

    # --- scroll position --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _position_kept(self) -> Generator[None]:
        """Keep the list's scroll position while its content changes inside the block."""
        before, self._keeps_position = self._keeps_position, True
        try:
            yield
            self._update_lines()
            place = self._position
            if place is None:
                line = self.max_scroll_y
            else:
                height = self._heights.get(place.number, 1)
                line = self._index_to_line.get(place.number, 0) + min(place.line, height - 1)
            self.scroll_to(y=line, animate=False, force=True, immediate=True)
        finally:
            self._keeps_position = before

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Record the position after the user's scrolling."""
        super().watch_scroll_y(old_value, new_value)
        if self._keeps_position or not self.size or not self._rows:
            return
        before, lines, top = self._position, self._lines, self.scroll_offset.y
        self._position = None if top >= self.max_scroll_y or top >= len(lines) else _ScrollPosition(*lines[top])
        if self._position is None and before is not None:
            self.post_message(self.EndReached())

    def _on_resize(self, event: Resize) -> None:  # type: ignore[override]
        """Wrap the rows again."""
        event.prevent_default()
        with self._position_kept():
            self._clear_caches()

    def on_show(self, event: Show) -> None:  # type: ignore[override]
        """Keep the position; the base class scrolls to the highlighted row."""
        event.prevent_default()
        with self._position_kept():
            pass

    @on(OptionList.OptionSelected)
    def _follow_reply(self, event: OptionList.OptionSelected) -> None:
        """From a reply, request the message that it replies to."""
        event.stop()
        row = self._rows[event.option_index]
        if isinstance(row, Message) and row.referenced_message is not None:
            self.post_message(self.ActionRequested("follow", row))

    # --- keys -------------------------------------------------------------------------------------------------------

    def action_request(self, verb: str) -> None:
        """Request an action on the highlighted row, or the last one."""
        if self._rows:
            place = self.highlighted if self.highlighted is not None else len(self._rows) - 1
            self.post_message(self.ActionRequested(verb, self._rows[place]))

    def action_reveal(self) -> None:
        """Show the spoilers of the highlighted row, or hide them again."""
        if self.highlighted is not None:
            self._revealed ^= {row_id(self._rows[self.highlighted])}
            self._show(self._rows)

    def action_toggle_selected(self) -> None:
        """Select the highlighted row, or give it up."""
        if self.highlighted is not None:
            self._selection ^= {row_id(self._rows[self.highlighted])}
            self._show(self._rows)

    def action_select_on(self, step: int) -> None:
        """Select the highlighted row and the next one in this direction."""
        if self.highlighted is None:
            return
        self._selection.add(row_id(self._rows[self.highlighted]))
        self.highlighted = min(max(0, self.highlighted + step), len(self._rows) - 1)
        self._selection.add(row_id(self._rows[self.highlighted]))
        self._show(self._rows)

    def clear_selection(self) -> bool:
        """Select nothing; returns False if nothing was selected."""
        had = bool(self._selection)
        self._selection.clear()
        self._show(self._rows)
        return had

    def action_copy(self) -> None:
        """Copy the selected rows, or the highlighted one, to the terminal's clipboard."""
        rows = [row for row in self._rows if row_id(row) in self._selection]
        if not rows and self.highlighted is not None:
            rows = [self._rows[self.highlighted]]
        if rows:
            app_of(self).copy_to_clipboard(text_of(rows, self._chat, self._revealed))
            self.clear_selection()
            self.post_message(self.Copied(len(rows)))

    def action_cursor_up(self) -> None:
        """Go up; from the first row, request older messages."""
        if self.highlighted is None and self._rows:
            self.highlighted = self._lowest_in_sight()
            return
        if not self.highlighted:
            self.post_message(self.TopReached())
            return
        super().action_cursor_up()

    def action_cursor_down(self) -> None:
        """Go down, without wrapping to the first row."""
        if self.highlighted is not None and self.highlighted < len(self._rows) - 1:
            super().action_cursor_down()
        else:
            self._look_at_bottom()

    def action_page_down(self) -> None:
        """Go down a page; from the last one, request newer messages."""
        self._look_at_bottom()
        super().action_page_down()  # type: ignore[no-untyped-call]

    def action_last(self) -> None:
        """Go to the newest message, which may have to be loaded."""
        if self._is_anchored:
            self.post_message(self.NewestWanted())
        else:
            super().action_last()

    def action_page_up(self) -> None:
        """Go up a page."""
        super().action_page_up()  # type: ignore[no-untyped-call]
        self._look_at_top()

    def action_first(self) -> None:
        """Go to the first row, and request older messages."""
        super().action_first()
        self._look_at_top()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Request older messages when the user scrolls beyond the top."""
        del event
        self._look_at_top()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Request newer messages when the user scrolls beyond the bottom."""
        del event
        self._look_at_bottom()

    def on_focus(self) -> None:
        """Highlight the newest visible row, unless one in sight is: a key must not act on what is not seen."""
        if self._rows and not self._is_in_sight(self.highlighted):
            with self._position_kept():
                self.highlighted = self._lowest_in_sight()

    def _is_in_sight(self, number: int | None) -> bool:
        top = self.scroll_offset.y
        return any(line[0] == number for line in self._lines[top : top + self.scrollable_content_region.height])

    def _lowest_in_sight(self) -> int:
        bottom = self.scroll_offset.y + self.scrollable_content_region.height - 1
        return (
            self._lines[bottom][0] if self._position is not None and bottom < len(self._lines) else len(self._rows) - 1
        )

    def _look_at_bottom(self) -> None:
        """Request newer messages at the bottom of a list that is far back."""
        if self._is_anchored and self.scroll_offset.y >= self.max_scroll_y:
            self.post_message(self.EndReached())

    def _look_at_top(self) -> None:
        if self.scroll_offset.y <= _TOP_MARGIN or self.highlighted == 0:
            self.post_message(self.TopReached())


def _option(view: RowView) -> Option:
    prompt: Content = render_row(view)
    return Option(prompt, id=row_id(view.row))


def _reuse_option(view: RowView, known: dict[str, tuple[RowView, Option]]) -> Option:
    """The existing option of an unchanged row, whose height is known, or a new one."""
    before = known.get(row_id(view.row))
    return before[1] if before is not None and before[0] == view else _option(view)


def _moved_position(place: _ScrollPosition, old: list[Row], numbers: dict[str, int]) -> _ScrollPosition:
    """The position after a change of the rows; if its row is gone, that of the next row."""
    for number in range(place.number, len(old)):
        new = numbers.get(row_id(old[number]))
        if new is not None:
            return _ScrollPosition(new, place.line if number == place.number else 0)
    return _ScrollPosition(max(numbers.values(), default=0), 0)
