"""One channel: what was said, who is writing, and where to write."""

from __future__ import annotations

import contextlib
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message as TextualMessage
from textual.widgets import Static, TextArea

from .... import OnesocketError
from ..model.outbox import Draft
from ..model.text import one_line
from ..model.things import Message
from ..model.world import World
from ..screens.questions import Confirm, Prompt, app_of, ask
from ..session.session import Session
from .composer import Composer
from .message_list import MessageList

_EMOJIS = {"+1": "👍", "-1": "👎", "heart": "❤️", "laugh": "😂", "tada": "🎉", "eyes": "👀", "check": "✅"}


class ChannelPanel(Vertical):
    """Every panel joins the session's one line by itself, and lives on what the session knows."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "calm", "Cancel", show=False)]

    class Focused(TextualMessage):
        """Somebody works in this panel."""

        def __init__(self, panel: ChannelPanel) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self, session: Session, channel_id: int) -> None:
        super().__init__(classes="panel")
        self.session = session
        self.channel_id = channel_id
        self._answers: Message | None = None
        self._edits: Message | None = None
        self._line = ""

    def compose(self) -> ComposeResult:
        """Title, messages, who is writing, what the composer is about, composer."""
        yield Static(markup=False, classes="title")
        yield MessageList(self.channel_id)
        yield Static(markup=False, classes="writing")
        yield Composer()

    def on_mount(self) -> None:
        """Join the line, and have the history loaded."""
        self.session.loader.open(self.channel_id)
        self.show(self.session.store.world)
        self._join()

    def on_unmount(self) -> None:
        """Let the history go."""
        self.session.loader.close(self.channel_id)

    def show(self, world: World) -> None:
        """Show what is known now."""
        with contextlib.suppress(NoMatches):  # its parts are still on their way in, or already on their way out
            self._show(world)

    def _show(self, world: World) -> None:
        channel = world.channels.get(self.channel_id)
        title = "a channel that is gone" if channel is None else one_line(channel.title, 60)
        topic = f"  {one_line(channel.topic, 80)}" if channel is not None and channel.topic else ""
        history = world.history(self.channel_id)
        state = "  loading …" if history.is_stale else ""
        self.query_one(".title", Static).update(Content.assemble((title, "bold"), (topic + state, "dim")))
        messages = self.query_one(MessageList)
        messages.show(world)
        self._show_writing(world)
        if not history.is_stale and messages.is_at_end:
            self.session.seen(self.channel_id)

    def focus_composer(self) -> None:
        """Write here."""
        self.query_one(Composer).focus()

    # --- writing ----------------------------------------------------------------------------------------------------

    @on(Composer.Submitted)
    def submitted(self, event: Composer.Submitted) -> None:
        """Send it, or change what is being edited."""
        event.stop()
        if self._edits is not None:
            self._edit(self._edits, event.text)
        else:
            try:
                reply_to = self._answers.id if self._answers is not None else None
                self.session.say(self.channel_id, event.text, reply_to=reply_to)
            except OnesocketError as error:
                self.session.complaints.failed("send", error)
                return  # what was written stays
        self.action_calm()
        self.query_one(MessageList).scroll_end(animate=False)

    @on(TextArea.Changed)
    def changed(self, event: TextArea.Changed) -> None:
        """Tell the others."""
        if event.text_area.text and self._edits is None:
            self.session.typing(self.channel_id)

    def action_calm(self) -> None:
        """Answer and edit nothing."""
        if self._answers is not None or self._edits is not None or self.query_one(Composer).text:
            self._answers = self._edits = None
            self.query_one(Composer).write("")
            self._show_writing(self.session.store.world)
        else:
            self.session.complaints.dismiss()

    # --- the messages -----------------------------------------------------------------------------------------------

    @on(MessageList.TopReached)
    def older(self, event: MessageList.TopReached) -> None:
        """Load the page before."""
        event.stop()
        self.session.loader.older(self.channel_id)

    @on(MessageList.Wish)
    def wished(self, event: MessageList.Wish) -> None:
        """Do what is wanted with a row, if it can be done."""
        event.stop()
        row, world = event.row, self.session.store.world
        match event.verb, row:
            case "retry", Draft():
                self.session.retry(row.nonce)
            case "discard", Draft():
                self.session.discard(row.nonce)
            case "reply", Message():
                self._answers, self._edits = row, None
                self._begin("")
            case "edit", Message() if world.is_mine(row):
                self._answers, self._edits = None, row
                self._begin(row.content)
            case "delete", Message() if world.may_delete(row):
                self._delete(row)
            case "react", Message():
                self._react(row)
            case _:
                app_of(self).bell()

    def _begin(self, text: str) -> None:
        composer = self.query_one(Composer)
        if text or self._edits is not None:
            composer.write(text)
        composer.focus()
        self._show_writing(self.session.store.world)

    @work
    async def _edit(self, message: Message, text: str) -> None:
        await self.session.edit(message, text)

    @work
    async def _delete(self, message: Message) -> None:
        question = f"Delete “{one_line(message.content, 60)}”?"
        if await ask(self, Confirm(question)):
            await self.session.delete(message)

    @work
    async def _react(self, message: Message) -> None:
        names = " ".join(f"{name} {emoji}" for name, emoji in _EMOJIS.items())
        answer = await ask(self, Prompt("React with", hint=f"an emoji, or {names}", value="+1"))
        if answer:
            await self.session.react(message, _EMOJIS.get(answer.strip(":"), answer))

    @work
    async def _join(self) -> None:
        with contextlib.suppress(OnesocketError):  # the provider said it on the board
            await self.session.join()

    # --- parts ------------------------------------------------------------------------------------------------------

    def _show_writing(self, world: World) -> None:
        if self._edits is not None:
            text = "editing (Escape leaves it as it was)"
        elif self._answers is not None:
            text = f"answering {one_line(self._answers.author.username, 32)} (Escape: a message of its own)"
        else:
            text = _writing([one_line(name, 32) for name in world.writing_in(self.channel_id)])
        if text != self._line:
            self._line = text
            self.query_one(".writing", Static).update(Content.styled(text, "dim italic"))


def _writing(names: list[str]) -> str:
    match names:
        case []:
            return ""
        case [one]:
            return f"{one} is writing …"
        case [one, other]:
            return f"{one} and {other} are writing …"
        case _:
            return f"{len(names)} people are writing …"
