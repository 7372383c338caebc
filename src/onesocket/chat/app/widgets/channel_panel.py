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
from textual.widgets import Static, TextArea

from .... import OnesocketError
from ..model.composition import Answered, Composition
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

    def __init__(self, session: Session, channel_id: int) -> None:
        super().__init__(classes="panel")
        self.session = session
        self.channel_id = channel_id
        self.place = ""
        """This panel's number among the open ones (``2/4``), where not all have room; else empty."""
        self._composer = Composer()
        self._messages = MessageList(channel_id)
        self._line = ""

    def compose(self) -> ComposeResult:
        """Title, messages, who is writing, what the composer is about, composer."""
        yield Static(markup=False, classes="title")
        yield self._messages
        yield Static(markup=False, classes="writing")
        yield self._composer

    def on_mount(self) -> None:
        """Join the line, have the history loaded, and go on with what was written here."""
        self.session.loader.open(self.channel_id)
        self._composer.write(self._written.shown)
        self.show(self.session.store.world)
        self._join()

    def on_unmount(self) -> None:
        """Let the history go, and keep what was written last."""
        self._written = self._written.typed(self._composer.text)
        self.session.loader.close(self.channel_id)

    def show(self, world: World) -> None:
        """Show what is known now."""
        with contextlib.suppress(NoMatches):  # its parts are still on their way in, or already on their way out
            self._show(world)

    def _show(self, world: World) -> None:
        channel = world.channels.get(self.channel_id)
        title = "a channel that is gone" if channel is None else one_line(channel.title, 60)
        topic = f"  {one_line(channel.topic, 80)}" if channel is not None and channel.topic else ""
        state = "  loading …" if world.history(self.channel_id).is_stale else ""
        place = f"  {self.place}" if self.place else ""
        self.query_one(".title", Static).update(Content.assemble((title, "bold"), (place + state + topic, "dim")))
        self._messages.show(world)
        self._show_writing(world)
        self._see()

    @on(MessageList.EndReached)
    def _see(self) -> None:
        """Mark the channel as read if its newest message is displayed."""
        stale = self.session.store.world.history(self.channel_id).is_stale
        if self.display and self._messages.is_at_end and not stale:
            self.session.seen(self.channel_id)

    def focus_composer(self) -> None:
        """Write here."""
        self._composer.focus()

    # --- writing ----------------------------------------------------------------------------------------------------

    @property
    def _written(self) -> Composition:
        return self.session.drafts.of(self.channel_id)

    @_written.setter
    def _written(self, composition: Composition) -> None:
        self.session.drafts.put(self.channel_id, composition)

    @on(Composer.Submitted)
    def submitted(self, event: Composer.Submitted) -> None:
        """Send it, or change what is being edited."""
        event.stop()
        written = self._written
        if written.edits is not None:
            self._written = written.typed(event.text).plain()
            app_of(self).run_worker(self._edit(written.edits, event.text))
            self._composer.give_back(written.text)
        else:
            try:
                reply_to = written.answers.id if written.answers is not None else None
                self.session.say(self.channel_id, event.text, reply_to=reply_to)
            except OnesocketError as error:
                self.session.complaints.failed("send", error)
                self._composer.give_back(event.text)
                return
            self._written = written.sent()
        self._show_writing(self.session.store.world)
        self._messages.follow()

    @on(TextArea.Changed)
    def changed(self, event: TextArea.Changed) -> None:
        """Keep what is written, and tell the others."""
        event.stop()
        text = self._composer.text
        self._written = self._written.typed(text)
        if text and self._written.edits is None:
            self.session.typing(self.channel_id)

    def action_calm(self) -> None:
        """Answer and edit nothing; then: dismiss what was complained about. What was written is kept."""
        written = self._written.typed(self._composer.text)
        if written.answers is None and written.edits is None:
            self.session.complaints.dismiss()
            return
        edits = written.edits
        if edits is not None:
            message = self.session.store.world.history(self.channel_id).find(edits)
            change = written.changes.get(edits)
            if message is None:
                written = written.moved(edits)
            elif not change or change == message.content:
                written = written.saved(edits)
        self._write(written.plain())

    def _write(self, composition: Composition) -> None:
        """Go on with this in the composer."""
        self._written = composition
        if self._composer.text != composition.shown:
            self._composer.write(composition.shown)
        self._show_writing(self.session.store.world)

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
                self._write(self._written.typed(self._composer.text).answering(Answered(row.id, row.author.username)))
                self._composer.focus()
            case "edit", Message() if world.is_mine(row):
                self._write(self._written.typed(self._composer.text).editing(row.id, row.content))
                self._composer.focus()
            case "delete", Message() if world.may_delete(row):
                self._delete(row)
            case "react", Message():
                self._react(row)
            case _:
                app_of(self).bell()

    async def _edit(self, message_id: int, text: str) -> None:
        """Change a message. If that is refused, what it should be is in the composer again, unless that is in use."""
        done = await self.session.edit(self.channel_id, message_id, text)
        written = self._written
        if written.changes.get(message_id) != text or written.edits == message_id:
            return  # it is being changed once more
        if done:
            self._written = written.saved(message_id)
        elif self.is_attached and written.plain() == written and not self._composer.text:
            self._write(written.editing(message_id, text))

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
        written = self._written
        if written.edits is not None:
            text = "editing (Escape leaves it as it was)"
        elif written.answers is not None:
            text = f"answering {one_line(written.answers.name, 32)} (Escape: a message of its own)"
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
