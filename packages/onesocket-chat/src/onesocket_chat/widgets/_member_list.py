"""The users who can read the channel, with their presence."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..model._chat_state import ChatState
from ..model._models import User
from ..model._safe_text import one_line

_STATUS_MARKS: Final = {"online": ("●", "$text-success"), "idle": ("◐", "$text-warning"), "dnd": ("⊖", "$text-error")}
_OFFLINE_MARK: Final = ("○", "dim")


class MemberList(OptionList):
    """A list of users; Enter opens a direct message channel, `m` shows what can be done about one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("m", "more", "More", id="more")]

    class MemberChosen(Message):
        """A user was chosen."""

        def __init__(self, user_id: int) -> None:
            super().__init__()
            self.user_id = user_id

    class MoreWanted(Message):
        """The actions about a user are wanted."""

        def __init__(self, user_id: int) -> None:
            super().__init__()
            self.user_id = user_id

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True, id="members")
        self._shown: list[tuple[int, str, str, str]] = []

    def show(self, state: ChatState, channel_id: int | None) -> None:
        """Show the users of this state."""
        people = [] if channel_id is None else state.people_in(channel_id)
        lines = [
            (one.id, one_line(one.username, 32), _note(one, state), state.presences.get(one.id, "")) for one in people
        ]
        if lines == self._shown:
            return
        self._shown = lines
        place = self.highlighted_option.id if self.highlighted_option is not None else None
        self.set_options(
            Option(
                Content.assemble(_STATUS_MARKS.get(status, _OFFLINE_MARK), " ", name, (note, "dim")),
                id=f"u{user_id}",
            )
            for user_id, name, note, status in lines
        )
        names = [f"u{line[0]}" for line in lines]
        if place in names:
            self.highlighted = names.index(place)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        if event.option_id is not None:
            self.post_message(self.MemberChosen(int(event.option_id[1:])))

    def action_more(self) -> None:
        """Request the actions about the highlighted user."""
        if self.highlighted_option is not None and self.highlighted_option.id is not None:
            self.post_message(self.MoreWanted(int(self.highlighted_option.id[1:])))

    def on_focus(self) -> None:
        """Highlight the first user, or the one that was."""
        if self.highlighted is None and self.options:
            self.highlighted = 0


def _note(person: User, state: ChatState) -> str:
    return (" bot" if person.bot else "") + (" blocked" if person.id in state.blocked else "")
