"""Guilds with their channels, and conversations."""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..model._chat_state import ChatState
from ..model._models import Channel
from ..model._safe_text import one_line

_WIDTH: Final = 20
"""Columns of a channel's name and its mentions, beside the scroll bar."""
_MOST: Final = 99
_HINT: Final = "hint"


class _Row(NamedTuple):
    """One line: a guild, or a channel."""

    name: str
    """Its id in the list."""
    title: str
    is_unread: bool = False
    is_open: bool = False
    mentions: int = 0


class Sidebar(OptionList):
    """A list of channels by guild; unread ones are marked, and mentions are counted."""

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
        names = [line.name for line in lines]
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
        lines.append(_Row(f"g{guild.id}", one_line(guild.name, 40)))
        lines += [_row(state, channel, open_channels) for channel in state.channels_of(guild.id)]
    direct = state.channels_of(None)
    if direct:
        lines.append(_Row("g0", "Direct messages"))
        lines += [_row(state, channel, open_channels) for channel in direct]
    if not lines and state.me is not None:
        lines.append(_Row(_HINT, "No channels: Ctrl-P makes a server, or enters one by an invite."))
    return lines


def _row(state: ChatState, channel: Channel, open_channels: frozenset[int]) -> _Row:
    return _Row(
        f"c{channel.id}",
        one_line(channel.title, 40),
        is_unread=state.is_unread(channel.id),
        is_open=channel.id in open_channels,
        mentions=state.mentions.get(channel.id, 0),
    )


def _option(line: _Row) -> Option:
    if line.name == _HINT:
        return Option(Content.styled(line.title, "dim"), id=line.name, disabled=True)
    if line.name.startswith("g"):
        return Option(Content.styled(line.title, "bold"), id=line.name, disabled=True)
    mark = ("● ", "$text-warning") if line.is_unread else ("▸ " if line.is_open else "  ", "dim")
    title = Content.styled(line.title, "bold" if line.is_unread else "")
    if not line.mentions:
        return Option(Content.assemble(mark, title), id=line.name)
    count = f" {line.mentions if line.mentions <= _MOST else f'{_MOST}+'} "
    title = title.truncate(_WIDTH - 1 - len(count), ellipsis=True)
    return Option(Content.assemble(mark, title, " ", (count, "bold $text-error on $error-muted")), id=line.name)
