"""Goes to a channel or person by a few letters of the name."""

from __future__ import annotations

from typing import NamedTuple

from textual import on
from textual.content import Content
from textual.widgets import Input

from ..model._chat_state import ChatState
from ..model._models import Channel
from ..model._safe_text import one_line
from ..widgets._channel_panel import GONE
from ._picker import PickerScreen

_MAX_ENTRIES = 50
_MOST_MENTIONS = 99


class JumpTarget(NamedTuple):
    """A channel, or a person with whom there is no conversation yet."""

    title: str
    guild: str
    channel_id: int | None
    user_id: int | None
    is_unread: bool
    mentions: int = 0
    """Messages that mention me there, and that I haven't read."""


class JumpScreen(PickerScreen[JumpTarget]):
    """Lists the channels and people whose names fit what is typed, the best first."""

    def __init__(self, state: ChatState) -> None:
        super().__init__("Go to", "Enter goes there, Escape stays here")
        self._targets = _targets_of(state)

    def on_mount(self) -> None:
        """Show what is unread, then the rest."""
        super().on_mount()
        self._show("")

    @on(Input.Changed)
    def changed(self, event: Input.Changed) -> None:
        """Show what fits."""
        event.stop()
        self._show(event.value)

    def _show(self, query: str) -> None:
        found = find_targets(self._targets, query)
        self.show_entries([(target, _line(target)) for target in found[:_MAX_ENTRIES]])


def find_targets(targets: list[JumpTarget], query: str) -> list[JumpTarget]:
    """The targets that fit: by the beginning of a name, then by a part, then by its letters in order."""
    wanted = query.casefold().strip().lstrip("#@")
    if not wanted:
        return sorted(targets, key=lambda target: (not target.mentions, not target.is_unread))
    ranked = ((_rank(target, wanted), number) for number, target in enumerate(targets))
    return [targets[number] for rank, number in sorted(ranked) if rank < _NO_MATCH]


_NO_MATCH = 4


def _rank(target: JumpTarget, wanted: str) -> int:
    name = target.title.casefold().lstrip("#@")
    whole = f"{name} {target.guild.casefold()}"
    if name.startswith(wanted):
        return 0
    if wanted in name:
        return 1
    if all(word in whole for word in wanted.split()):
        return 2
    letters = iter(name)
    return 3 if all(letter in letters for letter in wanted) else _NO_MATCH


def _targets_of(state: ChatState) -> list[JumpTarget]:
    guilds = sorted(state.guilds.values(), key=lambda guild: guild.id)
    found = [
        _target_of(state, channel, one_line(guild.name, 40))
        for guild in guilds
        for channel in state.channels_of(guild.id)
    ]
    lost = dict.fromkeys(one.channel_id for one in state.outbox.drafts if one.channel_id not in state.channels)
    found += [JumpTarget(GONE, "with what was not sent there", one, None, is_unread=False) for one in lost]
    direct = state.channels_of(None)
    found += [_target_of(state, one, "") for one in direct]
    talked = {person.id for channel in direct for person in channel.recipients}
    me = state.me.id if state.me is not None else 0
    others = [person for person in state.people.values() if person.id not in talked | {me} and person.username]
    others.sort(key=lambda person: (person.username.casefold(), person.id))
    return found + [JumpTarget(f"@{one_line(one.username, 32)}", "", None, one.id, is_unread=False) for one in others]


def _target_of(state: ChatState, channel: Channel, guild: str) -> JumpTarget:
    unread, mentions = state.is_unread(channel.id), state.mentions.get(channel.id, 0)
    return JumpTarget(one_line(channel.title, 60), guild, channel.id, None, unread, mentions)


def _line(target: JumpTarget) -> Content:
    mark = ("● ", "$text-warning") if target.is_unread else "  "
    shown = str(target.mentions) if target.mentions <= _MOST_MENTIONS else f"{_MOST_MENTIONS}+"
    count = (f"  {shown}", "bold $text-error") if target.mentions else ""
    return Content.assemble(
        mark, (target.title, "bold" if target.is_unread else ""), count, (f"  {target.guild}", "dim")
    )
