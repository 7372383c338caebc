"""Guilds with their channels, and conversations."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..model._chat_state import ChatState
from ..model._models import Channel
from ..model._safe_text import one_line

_Row = tuple[str, str, bool, bool]


class Sidebar(OptionList):
    """A list of channels by guild; unread ones are marked."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "beside", "Open beside")]

    class ChannelChosen(Message):
        """A channel was chosen: in place of the active one, or beside it."""

        def __init__(self, channel_id: int, *, beside: bool) -> None:
            super().__init__()
            self.channel_id = channel_id
            self.beside = beside

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True, id="sidebar")
        self._shown: list[_Row] = []

    def show(self, state: ChatState, open_channels: frozenset[int]) -> None:
        """Show the channels of this state."""
        lines = _rows(state, open_channels)
        if lines == self._shown:
            return
        place = self.highlighted_option.id if self.highlighted_option is not None else None
        top = self.scroll_offset.y
        self._shown = lines
        self.set_options(_option(line) for line in lines)
        names = [line[0] for line in lines]
        # At first, the first channel: headings can't be chosen.
        first = next((number for number, name in enumerate(names) if name.startswith("c")), None)
        self.highlighted = names.index(place) if place in names else first
        self.scroll_to(y=top, animate=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose the selected channel."""
        event.stop()
        self._choose(event.option_id, beside=False)

    def action_beside(self) -> None:
        """Open the channel beside the open ones."""
        if self.highlighted_option is not None:
            self._choose(self.highlighted_option.id, beside=True)

    def _choose(self, name: str | None, *, beside: bool) -> None:
        if name is not None and name.startswith("c"):
            self.post_message(self.ChannelChosen(int(name[1:]), beside=beside))


def _rows(state: ChatState, open_channels: frozenset[int]) -> list[_Row]:
    lines: list[_Row] = []
    for guild in sorted(state.guilds.values(), key=lambda guild: guild.id):
        lines.append((f"g{guild.id}", one_line(guild.name, 40), False, False))
        lines += [_row(state, channel, open_channels) for channel in state.channels_of(guild.id)]
    direct = state.channels_of(None)
    if direct:
        lines.append(("g0", "Direct messages", False, False))
        lines += [_row(state, channel, open_channels) for channel in direct]
    return lines


def _row(state: ChatState, channel: Channel, open_channels: frozenset[int]) -> _Row:
    return f"c{channel.id}", one_line(channel.title, 40), state.is_unread(channel.id), channel.id in open_channels


def _option(line: _Row) -> Option:
    name, title, unread, is_open = line
    if name.startswith("g"):
        return Option(Content.styled(title, "bold"), id=name, disabled=True)
    mark = ("● ", "$text-warning") if unread else ("▸ " if is_open else "  ", "dim")
    return Option(Content.assemble(mark, (title, "bold" if unread else "")), id=name)
