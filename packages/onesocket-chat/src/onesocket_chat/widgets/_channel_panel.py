"""The panel of one channel: messages, typing indicator, composer."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.widgets import Static, TextArea

from onesocket import OnesocketError

from ..model._chat_state import ChatState
from ..model._composition import Composition, ReplyTarget
from ..model._mentions import decode_mentions, encode_mentions
from ..model._models import Message, ReferencedMessage
from ..model._outbox import Draft
from ..model._permissions import may_delete
from ..model._safe_text import one_line
from ..screens._dialogs import ConfirmDialog, PromptDialog, app_of, ask_dialog
from ..screens._moderation import show_actions
from ..session._session import ChatSession
from ._composer import Composer
from ._message_list import MessageList
from ._rows import preview
from ._welcome_hint import WelcomeHint

_EMOJIS = {"+1": "👍", "-1": "👎", "heart": "❤️", "laugh": "😂", "tada": "🎉", "eyes": "👀", "check": "✅"}

_NOTE_SECONDS = 2.0
GONE = "a channel that is gone"
"""The title of one that was deleted, or that one can't see any more."""


class ChannelPanel(Vertical):
    """Shows one channel. Every panel joins the session's connection by itself."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "calm", "Cancel", show=False)]

    def __init__(self, session: ChatSession, channel_id: int, keys: Mapping[str, str] | None = None) -> None:
        """`keys`: those of the configuration, by action."""
        super().__init__(classes="panel")
        self.session = session
        self.channel_id = channel_id
        self.place = ""
        """This panel's number among the open ones (``2/4``), where not all have room; else empty."""
        self._composer = Composer(self._names, keys)
        self._messages = MessageList(channel_id)
        self._line = ""
        self._note = ""

    def compose(self) -> ComposeResult:
        """Title, messages, typing indicator, composer."""
        yield Static(markup=False, classes="title")
        yield self._messages
        yield Static(markup=False, classes="writing")
        yield self._composer

    def on_mount(self) -> None:
        """Join the connection, load the history, and restore the unsent text."""
        self.session.loader.open(self.channel_id)
        self._composer.write(self._composition.shown)
        self.show(self.session.store.state)
        self._join()

    def on_unmount(self) -> None:
        """Release the history, and keep the unsent text."""
        self._composition = self._composition.typed(self._composer.text)
        self.session.loader.close(self.channel_id)

    def show(self, state: ChatState) -> None:
        """Show the channel of this state."""
        with contextlib.suppress(NoMatches):  # its parts are not mounted yet, or removed already
            self._show(state)

    def _show(self, state: ChatState) -> None:
        channel = state.channels.get(self.channel_id)
        title = GONE if channel is None else one_line(channel.title, 60)
        guild = state.guilds.get(channel.guild_id or 0) if channel is not None else None
        parts = (
            f"  {self.place}" if self.place else "",
            "  loading …" if channel is not None and state.history(self.channel_id).is_stale else "",
            f" · {one_line(guild.name, 40)}" if guild is not None else "",
            f"  {one_line(channel.topic, 80)}" if channel is not None and channel.topic else "",
        )
        self.query_one(".title", Static).update(Content.assemble((title, "bold"), ("".join(parts), "dim")))
        self._messages.show(state)
        self._show_writing(state)
        self._see()

    @on(MessageList.EndReached)
    def _end_reached(self, event: MessageList.EndReached) -> None:
        """Load the next page, if there is one, and mark the channel as read otherwise."""
        event.stop()
        self.session.loader.newer(self.channel_id)
        self._see()

    @on(MessageList.NewestWanted)
    def to_newest(self) -> None:
        """Go to the newest message."""
        self.session.loader.aim(self.channel_id, None)
        self._messages.follow()

    def go_to(self, message_id: int) -> None:
        """Go to a message of this channel, however old it is."""
        self.session.loader.aim(self.channel_id, message_id)
        self._messages.go_to(message_id)
        self._messages.focus()

    def _see(self) -> None:
        """Mark the channel as read if its newest message is displayed, in a terminal that has the focus."""
        stale = self.session.store.state.history(self.channel_id).is_stale
        if self.display and self._messages.is_at_end and not stale and app_of(self).app_focus:
            self.session.read_marker.seen(self.channel_id)

    def focus_composer(self) -> None:
        """Focus the composer."""
        self._composer.focus()

    # --- writing ----------------------------------------------------------------------------------------------------

    @property
    def _composition(self) -> Composition:
        return self.session.drafts.of(self.channel_id)

    @_composition.setter
    def _composition(self, composition: Composition) -> None:
        self.session.drafts.put(self.channel_id, composition)

    @on(Composer.Submitted)
    def submitted(self, event: Composer.Submitted) -> None:
        """Send the text, or save the edit."""
        event.stop()
        written = self._composition
        if self.channel_id not in self.session.store.state.channels:
            self._composer.give_back(event.text)
            app_of(self).bell()
            return
        if written.edits is not None:
            if self._is_as_it_was(written.edits, event.text):
                self._composition = written.saved(written.edits)
            else:
                self._composition = written.typed(event.text).plain()
                app_of(self).run_worker(self._edit(written.edits, event.text))
            self._composer.give_back(written.text)
        else:
            try:
                reply_to = written.answers.id if written.answers is not None else None
                self.session.send_message(self.channel_id, self._encoded(event.text), reply_to=reply_to)
            except OnesocketError as error:
                self.session.request_errors.failed("send", error)
                self._composer.give_back(event.text)
                return
            self._composition = written.sent()
            self.post_message(WelcomeHint.Read())
        self._show_writing(self.session.store.state)
        self.to_newest()

    @on(Composer.LastWanted)
    def last_wanted(self, event: Composer.LastWanted) -> None:
        """Edit the newest own message of those that are loaded."""
        event.stop()
        state = self.session.store.state
        mine = (one for one in reversed(state.history(self.channel_id).messages) if state.is_mine(one))
        message = next(mine, None)
        if message is None or self._composition.edits is not None or self._composer.text:
            app_of(self).bell()
        else:
            self._begin_edit(message)

    def _begin_edit(self, message: Message) -> None:
        """Put a message's text into the composer, to be changed."""
        self._write(self._composition.typed(self._composer.text).editing(message.id, self._decoded(message.content)))
        self._composer.focus()

    @on(TextArea.Changed)
    def changed(self, event: TextArea.Changed) -> None:
        """Keep the unsent text, and send the typing indicator."""
        event.stop()
        text = self._composer.text
        self._composition = self._composition.typed(text)
        if text and self._composition.edits is None:
            self.session.typing(self.channel_id)

    def action_calm(self) -> None:
        """Leave a reply or edit, keeping its text; otherwise dismiss the error notices."""
        if self._messages.clear_selection():
            return
        written = self._composition.typed(self._composer.text)
        if written.answers is None and written.edits is None:
            self.session.request_errors.dismiss()
            self.post_message(WelcomeHint.Read())
            return
        edits = written.edits
        if edits is not None:
            change = written.changes.get(edits)
            if self.session.store.state.history(self.channel_id).find(edits) is None:
                written = written.moved(edits)
            elif not change or self._is_as_it_was(edits, change):
                written = written.saved(edits)
        self._write(written.plain())

    def _is_as_it_was(self, message_id: int, text: str) -> bool:
        """True if this is the message's text already."""
        message = self.session.store.state.history(self.channel_id).find(message_id)
        return message is not None and text == self._decoded(message.content)

    def _write(self, composition: Composition) -> None:
        """Put this composition into the composer."""
        self._composition = composition
        if self._composer.text != composition.shown:
            self._composer.write(composition.shown)
        self._show_writing(self.session.store.state)

    def _names(self) -> list[str]:
        """The names that can be mentioned."""
        return [person.username for person in self.session.store.state.people_in(self.channel_id)]

    def _encoded(self, text: str) -> str:
        """The text as it is sent."""
        return encode_mentions(text, self.session.store.state.people_in(self.channel_id))

    def _decoded(self, content: str) -> str:
        """A message's text as it is edited."""
        return decode_mentions(content, self.session.store.state.people)

    # --- the messages -----------------------------------------------------------------------------------------------

    @on(MessageList.TopReached)
    def older(self, event: MessageList.TopReached) -> None:
        """Load the previous page."""
        event.stop()
        self.session.loader.older(self.channel_id)

    @on(MessageList.ActionRequested)
    def action_requested(self, event: MessageList.ActionRequested) -> None:
        """Perform an action on a row, or ring the bell if it isn't possible."""
        event.stop()
        row, state = event.row, self.session.store.state
        match event.verb, row:
            case "retry", Draft():
                self.session.sender.retry(row.nonce)
            case "discard", Draft():
                self.session.sender.discard(row.nonce)
            case "follow", Message(referenced_message=ReferencedMessage(id=message_id)):
                self.go_to(message_id)
            case "reply", Message():
                self._write(
                    self._composition.typed(self._composer.text).answering(ReplyTarget(row.id, row.author.username))
                )
                self._composer.focus()
            case "edit", Message() if state.is_mine(row):
                self._begin_edit(row)
            case "delete", Message() if may_delete(state, row):
                self._delete(row)
            case "more", Message():
                self._show_more(row)
            case "react", Message():
                self._react(row)
            case _:
                app_of(self).bell()

    @on(MessageList.Copied)
    def copied(self, event: MessageList.Copied) -> None:
        """Say for a moment that messages were copied."""
        event.stop()
        self._note = "copied" if event.number == 1 else f"copied {event.number} messages"
        self._show_writing(self.session.store.state)
        self.set_timer(_NOTE_SECONDS, self._forget_note)

    def _forget_note(self) -> None:
        self._note = ""
        self.show(self.session.store.state)

    async def _edit(self, message_id: int, text: str) -> None:
        """Edit a message; the text of a refused edit returns to the composer, unless that is in use."""
        done = await self.session.edit(self.channel_id, message_id, self._encoded(text))
        written = self._composition
        if written.changes.get(message_id) != text or written.edits == message_id:
            return  # it is being edited once more
        if done:
            self._composition = written.saved(message_id)
        elif self.is_attached and written.plain() == written and not self._composer.text:
            self._write(written.editing(message_id, text))

    @work
    async def _delete(self, message: Message) -> None:
        question = f"Delete “{preview(message.content, self.session.store.state, 60)}”?"
        if await ask_dialog(self, ConfirmDialog(question)):
            await self.session.delete(message)

    @work
    async def _show_more(self, message: Message) -> None:
        channel = self.session.store.state.channels.get(self.channel_id)
        guild_id = channel.guild_id if channel is not None else None
        await show_actions(self, self.session, message.author, guild_id, message)

    @work
    async def _react(self, message: Message) -> None:
        names = " ".join(f"{name} {emoji}" for name, emoji in _EMOJIS.items())
        answer = await ask_dialog(self, PromptDialog("React with", hint=f"an emoji, or {names}", value="+1"))
        if answer:
            await self.session.react(message, _EMOJIS.get(answer.strip(":"), answer))

    @work
    async def _join(self) -> None:
        with contextlib.suppress(OnesocketError):  # the provider has posted a notice
            await self.session.join()

    # --- parts ------------------------------------------------------------------------------------------------------

    def _show_writing(self, state: ChatState) -> None:
        written = self._composition
        if self._note:
            text = self._note
        elif self.channel_id not in state.channels:
            text = "nothing can be sent here any more (F8 closes it)"
        elif written.edits is not None:
            text = "editing (Escape leaves it as it was)"
        elif written.answers is not None:
            is_gone = state.history(self.channel_id).is_deleted(written.answers.id)
            name = "a message that was deleted" if is_gone else one_line(written.answers.name, 32)
            text = f"answering {name} (Escape: a message of its own)"
        elif state.history(self.channel_id).anchor is not None:
            text = "older messages (End: back to the newest)"
        else:
            text = _typing_text([one_line(name, 32) for name in state.writing_in(self.channel_id)])
        if text != self._line:
            self._line = text
            self.query_one(".writing", Static).update(Content.styled(text, "dim italic"))


def _typing_text(names: list[str]) -> str:
    match names:
        case []:
            return ""
        case [one]:
            return f"{one} is writing …"
        case [one, other]:
            return f"{one} and {other} are writing …"
        case _:
            return f"{len(names)} people are writing …"
