"""The chat: channels on the left, panels in the middle, members on the right, the connection's status below."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import DescendantFocus, Resize, ScreenResume
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from onesocket.notices import NoticeLevel

from ..model._models import Message
from ..session._session import ChatSession
from ..widgets._channel_panel import ChannelPanel
from ..widgets._member_list import MemberList
from ..widgets._no_channel import NoChannel
from ..widgets._sidebar import Sidebar
from ..widgets._status_bar import StatusBar
from ..widgets._welcome_hint import WelcomeHint
from ._dialogs import PromptDialog, app_of, ask_dialog
from ._help import HelpScreen
from ._jump import JumpScreen, JumpTarget
from ._logins import LoginsScreen
from ._moderation import show_actions, show_bans
from ._password import PasswordScreen
from ._search import SearchScreen
from ._timeline import TimelineScreen

_MAX_PANELS: Final = 4
# Columns of the terminal: below these, a side column is folded away, and panels that have no room are hidden.
_SIDEBAR_MIN_WIDTH: Final = 64
_MEMBERS_MIN_WIDTH: Final = 100
_SIDEBAR_WIDTH: Final = 26
_MEMBERS_WIDTH: Final = 22
_PANEL_WIDTH: Final = 24


class ChatScreen(Screen[None]):
    """Shows one session; several changes within one turn of the event loop are drawn once.

    The `channels` are open at first, the last of them active; without any, the first channel of the first guild that is
    known. The first run shows a hint. In a narrow terminal the side columns are folded; a key
    shows one over the panels until something is chosen there.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,question_mark", "help", "Keys", id="help"),
        Binding("ctrl+k", "jump", "Go to", id="jump"),
        Binding("ctrl+r,slash", "search", "Search", id="search"),
        Binding("f2", "next_unread", "Next unread", id="next-unread"),
        Binding("f3", "timeline", "Connection", id="connection"),
        Binding("f4", "channels", "Channels", show=False, id="channels"),
        Binding("f7", "people", "People", show=False, id="people"),
        Binding("f5", "connect", "Connect now", show=False, id="connect"),
        Binding("f6", "next_panel", "Next panel", show=False, id="next-panel"),
        Binding("f8,ctrl+w", "close_panel", "Close panel", show=False, id="close-panel"),
        Binding("escape", "fold", "Fold", show=False),
    ]

    def __init__(
        self,
        session: ChatSession,
        channels: Sequence[int] = (),
        *,
        is_first_run: bool = False,
        keys: Mapping[str, str] | None = None,
        on_shown: Callable[[ChatScreen], object] = lambda _: None,
    ) -> None:
        """`keys`: those of the configuration, by action; `on_shown`: called after each change."""
        super().__init__()
        self._keys = keys or {}
        self._on_shown = on_shown
        self.session = session
        self._channels = channels
        self._is_first_run = is_first_run
        self._has_opened = bool(channels)
        self._opening = asyncio.Lock()
        self._forget: Callable[[], None] | None = None
        self._due = False
        self._active: ChannelPanel | None = None
        self._unfolded: Sidebar | MemberList | None = None

    def compose(self) -> ComposeResult:
        """Compose three columns, the status bar and the keys."""
        with Horizontal(id="columns"):
            yield Sidebar()
            yield Horizontal(NoChannel(), id="panels")
            yield MemberList()
        if self._is_first_run:
            yield WelcomeHint()
        yield StatusBar()
        yield Footer()

    async def on_mount(self) -> None:
        """Follow the session."""
        self._forget = self.session.store.listen(self._changed)
        self.watch(app_of(self), "app_focus", self._changed, init=False)
        self.set_interval(1.0, self._tick)
        self._arrange()
        self.query_one(Sidebar).focus()
        for channel_id in self._channels:
            await self.open(channel_id, beside=True)
        self._changed()

    def on_unmount(self) -> None:
        """Stop following the session."""
        if self._forget is not None:
            self._forget()

    @property
    def panels(self) -> list[ChannelPanel]:
        """The open panels, from left to right."""
        return list(self.query(ChannelPanel))

    @property
    def open_channels(self) -> list[int]:
        """The channels of the panels, that of the active one last."""
        channels = [panel.channel_id for panel in self.panels]
        return sorted(channels, key=lambda channel_id: channel_id == self.active_channel)

    @property
    def active_channel(self) -> int | None:
        """The channel of the active panel."""
        return self._active.channel_id if self._active is not None else None

    # --- showing ----------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if not self._due:
            self._due = True
            self.call_later(self._show)

    async def _show(self) -> None:
        self._due = False
        if not self.is_attached:
            return
        state = self.session.store.state
        first = next((channel for guild in sorted(state.guilds) for channel in state.channels_of(guild)), None)
        if first is not None and not self._has_opened:
            # An Enter that was meant for the list of channels must not send what was left unsent.
            await self._open(first.id, write=not self.session.drafts.of(first.id).shown)
        self.query_one(Sidebar).show(state, frozenset(panel.channel_id for panel in self.panels))
        for panel in self.panels:
            panel.show(state)
        self.query_one(NoChannel).show(state, is_needed=not (self.panels or self.query_one(Sidebar).has_class("over")))
        self.query(WelcomeHint).set(display=bool(self.panels))  # its keys are those of a channel
        self.query_one(MemberList).show(state, self.active_channel)
        self.query_one(StatusBar).show(self.session)
        self._on_shown(self)

    def _tick(self) -> None:
        self.session.tick()
        self.query_one(StatusBar).show(self.session)

    # --- layout -----------------------------------------------------------------------------------------------------

    @on(Resize)
    @on(ScreenResume)
    def _arrange(self) -> None:
        """Fold the columns and hide the panels that have no room; hidden ones keep their text."""
        if not self.is_mounted:
            return
        sidebar, members, panels = self.query_one(Sidebar), self.query_one(MemberList), self.panels
        width = app_of(self).size.width
        has_channels, has_people = width >= _SIDEBAR_MIN_WIDTH, width >= _MEMBERS_MIN_WIDTH
        sidebar.set_class(not has_channels, "over")
        members.set_class(not has_people, "over")
        sidebar.display = has_channels or self._unfolded is sidebar or not panels
        members.display = has_people or self._unfolded is members
        folded = ("" if has_channels else "F4 channels", "" if has_people else "F7 people")
        self.query_one(StatusBar).hint = "  ".join(filter(None, folded))
        room = max(1, (width - has_channels * _SIDEBAR_WIDTH - has_people * _MEMBERS_WIDTH) // _PANEL_WIDTH)
        active = panels.index(self._active) if self._active in panels else 0
        first = min(active // room * room, max(0, len(panels) - room))
        for number, panel in enumerate(panels):
            panel.display = first <= number < first + room
            panel.place = f"{number + 1}/{len(panels)}" if room < len(panels) else ""
        if self.focused is None or not _is_displayed(self.focused):
            self._go_back()
        self._changed()

    def _go_back(self) -> None:
        """Move the focus back to the unfolded column, else to the active panel's composer, else to the sidebar."""
        if self._unfolded is not None:
            self._unfolded.focus()
        elif self._active is not None and self._active.is_attached:
            self._active.focus_composer()
        else:
            self.query_one(Sidebar).focus()

    def action_channels(self) -> None:
        """Go to the channels; from there, back."""
        self._unfold(self.query_one(Sidebar))

    def action_people(self) -> None:
        """Go to the people; from there, back."""
        self._unfold(self.query_one(MemberList))

    def action_fold(self) -> None:
        """Go back from a side column."""
        if isinstance(self.focused, Sidebar | MemberList):
            self._unfold(self.focused)

    def _unfold(self, column: Sidebar | MemberList) -> None:
        back = column.has_focus and self._active is not None
        self._unfolded = None if back else column
        self._arrange()
        self._go_back()

    @on(WelcomeHint.Read)
    def _welcomed(self) -> None:
        """Hide the hint of the first run; the application remembers it."""
        self.query(WelcomeHint).remove()

    # --- panels -----------------------------------------------------------------------------------------------------

    @on(Sidebar.ChannelChosen)
    async def chosen(self, event: Sidebar.ChannelChosen) -> None:
        """Open a channel."""
        await self.open(event.channel_id, beside=event.beside)

    async def open(self, channel_id: int, *, beside: bool = False) -> None:
        """Show a channel: in its panel if it has one, else in the active one's place or beside it."""
        await self._open(channel_id, beside=beside)

    async def _open(self, channel_id: int, *, beside: bool = False, write: bool = True) -> None:
        self._has_opened = True
        async with self._opening:
            panel = next((one for one in self.panels if one.channel_id == channel_id), None)
            self._activate(panel or await self._mount(channel_id, beside=beside), write=write)

    async def _mount(self, channel_id: int, *, beside: bool) -> ChannelPanel:
        new = ChannelPanel(self.session, channel_id, self._keys)
        room = self.query_one("#panels", Horizontal)
        old = self._active
        if old is not None and (not beside or len(self.panels) >= _MAX_PANELS):
            await room.mount(new, after=old)
            await old.remove()
        else:
            await room.mount(new)
        return new

    def _activate(self, panel: ChannelPanel, *, write: bool = True) -> None:
        self._active = panel
        self._unfolded = None if write else self.query_one(Sidebar)
        self._arrange()
        self._go_back()

    @on(DescendantFocus)
    def panel_focused(self, event: DescendantFocus) -> None:
        """Show the members of the focused panel's channel."""
        panel = next((one for one in event.widget.ancestors if isinstance(one, ChannelPanel)), None)
        if panel is not None and (panel is not self._active or self._unfolded is not None):
            self._active = panel
            self._unfolded = None
            self._arrange()

    async def action_close_panel(self) -> None:
        """Close the active panel."""
        if self._active is not None:
            await self._active.remove()
            left = self.panels
            self._active = None
            if left:
                self._activate(left[-1])
            else:
                self._arrange()
                self.query_one(Sidebar).focus()

    def action_next_panel(self) -> None:
        """Go to the next panel."""
        panels = self.panels
        if panels:
            place = panels.index(self._active) if self._active in panels else -1
            self._activate(panels[(place + 1) % len(panels)])

    async def action_next_unread(self) -> None:
        """Open the next channel with unread messages, one with a mention first."""
        state = self.session.store.state
        groups = [*sorted(state.guilds), None]
        unread = [one.id for group in groups for one in state.channels_of(group) if state.is_unread(one.id)]
        if unread:
            await self.open(next((one for one in unread if one in state.mentions), unread[0]))

    def action_help(self) -> None:
        """Show all keys."""
        app_of(self).push_screen(HelpScreen(self._keys))

    # Answers are taken by callbacks, which run before the next key is handled: a worker would run at any time.

    def action_jump(self) -> None:
        """Ask for a channel or person, and go there."""
        app_of(self).push_screen(JumpScreen(self.session.store.state), self._jump_to)

    async def _jump_to(self, target: JumpTarget | None) -> None:
        if target is not None and target.channel_id is not None:
            await self.open(target.channel_id)
        elif target is not None and target.user_id is not None:
            self.run_worker(self._open_direct(target.user_id))

    def action_search(self) -> None:
        """Search the guild or conversation of the active panel, and go to a message."""
        if self.active_channel is not None:
            app_of(self).push_screen(SearchScreen(self.session, self.active_channel), self._go_to)

    async def _go_to(self, message: Message | None) -> None:
        if message is None:
            return
        await self.open(message.channel_id)
        if self._active is not None and self._active.channel_id == message.channel_id:
            self._active.go_to(message.id)

    def action_timeline(self) -> None:
        """Show the timeline of the connection."""
        app_of(self).push_screen(TimelineScreen(self.session))

    def action_connect(self) -> None:
        """Connect now."""
        self.session.connect()

    # --- commands of the palette ------------------------------------------------------------------------------------

    @on(MemberList.MemberChosen)
    @work
    async def person_chosen(self, event: MemberList.MemberChosen) -> None:
        """Open the direct message channel with a user."""
        await self._open_direct(event.user_id)

    @on(MemberList.MoreWanted)
    @work
    async def more_wanted(self, event: MemberList.MoreWanted) -> None:
        """Show what can be done about a user."""
        user = self.session.store.state.people.get(event.user_id)
        if user is not None:
            await show_actions(self, self.session, user, self._guild())

    async def _open_direct(self, user_id: int) -> None:
        me = self.session.store.state.me
        channel = await self.session.direct(user_id) if me is None or me.id != user_id else None
        if channel is not None:
            await self.open(channel.id)

    def show_logins(self) -> None:
        """Show the logins of the account."""
        app_of(self).push_screen(LoginsScreen(self.session))

    def change_password(self) -> None:
        """Ask for another password."""
        app_of(self).push_screen(PasswordScreen(self.session))

    @work
    async def create_guild(self) -> None:
        """Ask for a name and create a guild."""
        name = await ask_dialog(self, PromptDialog("Name of the new server", hint="2 to 100 characters"))
        if name:
            await self.session.create_guild(name)

    @work
    async def create_channel(self) -> None:
        """Ask for a name and create a channel in the guild of the active panel."""
        guild_id = self._guild()
        if guild_id is None:
            app_of(self).bell()
            return
        name = await ask_dialog(self, PromptDialog("Name of the new channel"))
        channel = await self.session.create_channel(guild_id, name) if name else None
        if channel is not None:
            await self.open(channel.id)

    @work
    async def create_invite(self) -> None:
        """Create an invite to the guild of the active panel, and show its code."""
        channel_id = self.active_channel
        code = await self.session.invite(channel_id) if channel_id is not None and self._guild() is not None else None
        if code is not None:
            text = f"Others enter with the code {code}; it is good for a day"
            self.session.notices.post("invite-made", NoticeLevel.INFO, "Invite", text)

    @work
    async def show_bans(self) -> None:
        """Show who is banned from the guild of the active panel."""
        await show_bans(self, self.session, self._guild())

    @work
    async def accept_invite(self) -> None:
        """Ask for an invite and join its guild."""
        code = await ask_dialog(self, PromptDialog("Invite", hint="its code, or the whole link"))
        if code:
            await self.session.accept(code)

    def _guild(self) -> int | None:
        channel = self.session.store.state.channels.get(self.active_channel or 0)
        return channel.guild_id if channel is not None else None


def _is_displayed(widget: Widget) -> bool:
    return widget.is_attached and all(one.display for one in widget.ancestors_with_self if isinstance(one, Widget))
