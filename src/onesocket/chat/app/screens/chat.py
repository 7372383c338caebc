"""The chat: channels on the left, panels in the middle, people on the right, and how the line stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.widgets import Footer

from .... import NoticeLevel
from ..session.session import Session
from ..widgets.channel_panel import ChannelPanel
from ..widgets.member_list import MemberList
from ..widgets.sidebar import Sidebar
from ..widgets.status_bar import StatusBar
from .questions import Prompt, app_of, ask
from .timeline import TimelineScreen

_MOST_PANELS: Final = 4


class ChatScreen(Screen[None]):
    """Shows one session. Changes are shown together, once the loop has come round."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "next_unread", "Next unread"),
        Binding("f3", "timeline", "Timeline"),
        Binding("f5", "connect", "Connect now"),
        Binding("f6", "next_panel", "Next panel"),
        Binding("ctrl+w", "close_panel", "Close panel", priority=True),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._forget: Callable[[], None] | None = None
        self._due = False
        self._active: ChannelPanel | None = None

    def compose(self) -> ComposeResult:
        """Three columns, the status, the keys."""
        with Horizontal(id="columns"):
            yield Sidebar()
            yield Horizontal(id="panels")
            yield MemberList()
        yield StatusBar()
        yield Footer()

    def on_mount(self) -> None:
        """Follow the session."""
        self._forget = self.session.store.listen(self._changed)
        self.set_interval(1.0, self._tick)
        self.query_one(Sidebar).focus()
        self._changed()

    def on_unmount(self) -> None:
        """Follow it no longer."""
        if self._forget is not None:
            self._forget()

    @property
    def panels(self) -> list[ChannelPanel]:
        """The open ones, from left to right."""
        return list(self.query(ChannelPanel))

    @property
    def active_channel(self) -> int | None:
        """The channel of the panel in which somebody works."""
        return self._active.channel_id if self._active is not None else None

    # --- showing ----------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if not self._due:
            self._due = True
            self.call_later(self._show)

    def _show(self) -> None:
        self._due = False
        if not self.is_attached:
            return
        world = self.session.store.world
        self.query_one(Sidebar).show(world, frozenset(panel.channel_id for panel in self.panels))
        for panel in self.panels:
            panel.show(world)
        self.query_one(MemberList).show(world, self.active_channel)
        self.query_one(StatusBar).show(self.session)

    def _tick(self) -> None:
        self.session.tick()
        self.query_one(StatusBar).show(self.session)

    # --- panels -----------------------------------------------------------------------------------------------------

    @on(Sidebar.Chosen)
    async def chosen(self, event: Sidebar.Chosen) -> None:
        """Open a channel."""
        await self.open(event.channel_id, beside=event.beside)

    async def open(self, channel_id: int, *, beside: bool = False) -> None:
        """Show a channel: in its panel if it has one, else in the active one's place or beside it."""
        for panel in self.panels:
            if panel.channel_id == channel_id:
                self._activate(panel)
                return
        new = ChannelPanel(self.session, channel_id)
        room = self.query_one("#panels", Horizontal)
        old = self._active
        if old is not None and (not beside or len(self.panels) >= _MOST_PANELS):
            await room.mount(new, after=old)
            await old.remove()
        else:
            await room.mount(new)
        self._activate(new)

    def _activate(self, panel: ChannelPanel) -> None:
        self._active = panel
        panel.focus_composer()
        self._changed()

    @on(DescendantFocus)
    def somebody_focused(self, event: DescendantFocus) -> None:
        """Whose people are shown."""
        panel = next((one for one in event.widget.ancestors if isinstance(one, ChannelPanel)), None)
        if panel is not None and panel is not self._active:
            self._active = panel
            self._changed()

    async def action_close_panel(self) -> None:
        """Close the active panel."""
        if self._active is not None:
            await self._active.remove()
            left = self.panels
            self._active = None
            if left:
                self._activate(left[-1])
            else:
                self.query_one(Sidebar).focus()
            self._changed()

    def action_next_panel(self) -> None:
        """Go to the next panel."""
        panels = self.panels
        if panels:
            place = panels.index(self._active) if self._active in panels else -1
            self._activate(panels[(place + 1) % len(panels)])

    async def action_next_unread(self) -> None:
        """Open the next channel in which there is something new."""
        world = self.session.store.world
        groups = [*sorted(world.guilds), None]
        unread = [one.id for group in groups for one in world.channels_of(group) if world.is_unread(one.id)]
        if unread:
            await self.open(unread[0])

    def action_timeline(self) -> None:
        """Show what became of the connection."""
        app_of(self).push_screen(TimelineScreen(self.session))

    def action_connect(self) -> None:
        """Try now."""
        self.session.connect()

    # --- what the command palette offers ----------------------------------------------------------------------------

    @on(MemberList.Chosen)
    def person_chosen(self, event: MemberList.Chosen) -> None:
        """Begin a conversation."""
        me = self.session.store.world.me
        if me is None or me.id != event.user_id:
            self._converse(event.user_id)

    @work
    async def _converse(self, user_id: int) -> None:
        channel = await self.session.direct(user_id)
        if channel is not None:
            await self.open(channel.id)

    @work
    async def create_guild(self) -> None:
        """Ask for a name and make a guild."""
        name = await ask(self, Prompt("Name of the new guild", hint="2 to 100 characters"))
        if name:
            await self.session.create_guild(name)

    @work
    async def create_channel(self) -> None:
        """Ask for a name and make a channel in the guild of the active panel."""
        guild_id = self._guild()
        if guild_id is None:
            app_of(self).bell()
            return
        name = await ask(self, Prompt("Name of the new channel"))
        channel = await self.session.create_channel(guild_id, name) if name else None
        if channel is not None:
            await self.open(channel.id)

    @work
    async def create_invite(self) -> None:
        """Make an invite to the guild of the active panel, and say its code."""
        channel_id = self.active_channel
        code = await self.session.invite(channel_id) if channel_id is not None and self._guild() is not None else None
        if code is not None:
            text = f"Others enter with the code {code}; it is good for a day"
            self.session.notices.post("invite-made", NoticeLevel.INFO, "Invite", text)

    @work
    async def accept_invite(self) -> None:
        """Ask for a code and enter."""
        code = await ask(self, Prompt("Code of the invite", hint="or the whole link"))
        if code:
            await self.session.accept(code)

    def _guild(self) -> int | None:
        channel = self.session.store.world.channels.get(self.active_channel or 0)
        return channel.guild_id if channel is not None else None
