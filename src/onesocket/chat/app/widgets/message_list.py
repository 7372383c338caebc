"""A channel's messages, the newest at the bottom."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import MouseScrollUp
from textual.message import Message as TextualMessage
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..model.world import World
from .rows import Row, row_id, rows_of, shown

_NEAR: Final = 3
"""Lines from the top at which older messages are wanted."""


class MessageList(OptionList):
    """Follows what is known. It stays at the bottom if it is there, else where somebody reads."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "wish('reply')", "Reply"),
        Binding("e", "wish('edit')", "Edit"),
        Binding("d", "wish('delete')", "Delete"),
        Binding("plus", "wish('react')", "React"),
        Binding("t", "wish('retry')", "Try again", show=False),
        Binding("x", "wish('discard')", "Discard", show=False),
    ]

    class Wish(TextualMessage):
        """Somebody wants something done with a row."""

        def __init__(self, verb: str, row: Row) -> None:
            super().__init__()
            self.verb = verb
            self.row = row

    class TopReached(TextualMessage):
        """Somebody reads at the top: older messages are wanted."""

    def __init__(self, channel_id: int) -> None:
        super().__init__(markup=False, compact=True)
        self._channel_id = channel_id
        self._rows: list[Row] = []

    @property
    def is_at_end(self) -> bool:
        """Whether the newest message is in sight."""
        return self.scroll_offset.y >= self.max_scroll_y - 1

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown."""
        return tuple(self._rows)

    def show(self, world: World) -> None:
        """Show what is known now."""
        new, old = rows_of(world, self._channel_id), self._rows
        if new == old:
            return
        follows = self.is_at_end or not old
        same = _common([row_id(row) for row in old], [row_id(row) for row in new])
        if old and same == 0:
            self._rebuild(new, world)
        else:
            for place in range(len(old) - 1, same - 1, -1):
                self.remove_option_at_index(place)
            for place in range(same):
                if new[place] != old[place]:
                    self.replace_option_prompt_at_index(place, shown(new[place], world))
            self.add_options(_option(row, world) for row in new[same:])
        self._rows = new
        if follows:
            self.scroll_end(animate=False, immediate=False)

    def action_wish(self, verb: str) -> None:
        """Say what is wanted with the highlighted row; without one, with the last."""
        if self._rows:
            place = self.highlighted if self.highlighted is not None else len(self._rows) - 1
            self.post_message(self.Wish(verb, self._rows[place]))

    def action_cursor_up(self) -> None:
        """Go up; beyond the first, older ones are wanted."""
        if self.highlighted is None and self._rows:
            self.highlighted = len(self._rows) - 1
            return
        if not self.highlighted:
            self.post_message(self.TopReached())
            return
        super().action_cursor_up()

    def action_cursor_down(self) -> None:
        """Go down; not round to the first."""
        if self.highlighted is not None and self.highlighted < len(self._rows) - 1:
            super().action_cursor_down()

    def action_page_up(self) -> None:
        """Go up a page."""
        super().action_page_up()  # type: ignore[no-untyped-call]
        self._look_at_top()

    def action_first(self) -> None:
        """Go to the first, and ask for older ones."""
        super().action_first()
        self._look_at_top()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Older ones are wanted when somebody scrolls beyond the top."""
        del event
        self._look_at_top()

    def on_focus(self) -> None:
        """Begin with the newest."""
        if self.highlighted is None and self._rows:
            self.highlighted = len(self._rows) - 1

    def _look_at_top(self) -> None:
        if self.scroll_offset.y <= _NEAR or self.highlighted == 0:
            self.post_message(self.TopReached())

    def _rebuild(self, new: list[Row], world: World) -> None:
        marked = None if self.highlighted is None else row_id(self._rows[self.highlighted])
        from_end = self.virtual_size.height - self.scroll_offset.y
        self.set_options(_option(row, world) for row in new)
        place = next((place for place, row in enumerate(new) if row_id(row) == marked), None)
        if place is not None:
            self.highlighted = place
        self.call_after_refresh(lambda: self.scroll_to(y=self.virtual_size.height - from_end, animate=False))


def _option(row: Row, world: World) -> Option:
    prompt: Content = shown(row, world)
    return Option(prompt, id=row_id(row))


def _common(old: list[str], new: list[str]) -> int:
    same = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        same += 1
    return same
