"""Sends the outbox: in order per channel, each message once, while the connection is up."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from msgspec.structs import replace

from onesocket import OnesocketError
from onesocket.client import OutboxLimits
from onesocket.errors import OutboxFull
from onesocket_discord.rest import BadAnswer, RequestLost, RestError, RestTimeout, ServerTrouble, Unauthorized

from ..model._chat_state import ChatState
from ..model._models import Json, Message, from_json
from ..model._outbox import Draft, DraftState
from ..model._reducer import add_message
from ._request_texts import request_error_text
from ._session_context import SessionContext, SessionPart

_UNKNOWN_MESSAGE: Final = 10008
"""Discord's code of the error."""
_MIN_BACKOFF: Final = 0.5
_MAX_BACKOFF: Final = 15.0
_UNKNOWN_OUTCOME_ERRORS: Final = (RequestLost, RestTimeout, ServerTrouble)
"""Errors after which a message may or may not be stored. Sending again is safe once the history was searched."""


class MessageSender(SessionPart):
    """Sends drafts so that each message is stored once, even if an answer is lost.

    The server enforces the draft's nonce for minutes only. So a draft that was sent before is looked for in the
    channel's history, and sent again if it isn't there.
    """

    def __init__(self, context: SessionContext, limits: OutboxLimits) -> None:
        super().__init__(context)
        self._limits = limits

    def __repr__(self) -> str:
        return f"<MessageSender {len(self._store.state.outbox)}/{self._limits.messages}>"

    def accept(self, draft: Draft) -> None:
        """Send a draft as soon as the connection is up. Raises `OutboxFull`."""
        waiting = len(self._store.state.outbox)
        if waiting >= self._limits.messages:
            raise OutboxFull(
                f"{waiting} messages wait already, which is the limit; discard some, or wait for the connection"
            )
        self._store.change(lambda state: replace(state, outbox=state.outbox.add(draft)))
        self._work(draft.channel_id)

    def resume(self, draft: Draft) -> None:
        """Continue with a draft of an earlier session."""
        self._store.change(lambda state: replace(state, outbox=state.outbox.add(draft)))
        self._work(draft.channel_id)
        self.settle()

    def retry(self, nonce: str) -> None:
        """Retry a failed draft."""
        draft = self._store.state.outbox.find(nonce)
        if draft is not None and draft.fate is DraftState.FAILED:
            now = asyncio.get_running_loop().time()
            self._store.change(lambda state: replace(state, outbox=state.outbox.retry(nonce, now)))
            self._work(draft.channel_id)

    def discard(self, nonce: str) -> bool:
        """Discard a waiting or failed draft; returns False if it is being sent or stored."""
        draft = self._store.state.outbox.find(nonce)
        if draft is None or draft.fate is DraftState.SENDING:
            return False
        self._store.change(lambda state: replace(state, outbox=state.outbox.without(nonce)))
        return True

    def _work(self, channel_id: int) -> None:
        self._background.start(f"send to {channel_id}", self._send_all(channel_id))

    def settle(self) -> None:
        """Look for failed drafts that may be stored; called whenever the connection comes up."""
        for draft in self._store.state.outbox.drafts:
            if draft.fate is DraftState.FAILED and draft.in_doubt and self._connection.is_connected:
                self._background.start(f"look for {draft.nonce}", self._settle(draft))

    async def _settle(self, draft: Draft) -> None:
        try:
            if await self._is_stored(draft):
                self._drop(draft)
        except Unauthorized as error:
            self._request_errors.failed("send", error)
        except OnesocketError:
            pass  # the draft stays as it is

    async def _send_all(self, channel_id: int) -> None:
        pause = _MIN_BACKOFF
        loop = asyncio.get_running_loop()
        while (draft := self._store.state.outbox.next_of(channel_id)) is not None:
            left = draft.since + self._limits.age - loop.time()
            if left <= 0 or not await self._connection.wait_connected(left):
                doubt = ", which may have it" if draft.in_doubt else ""
                self._mark(draft, DraftState.FAILED, f"it waited {self._limits.age:g} s for the server{doubt}")
                self.settle()
                continue
            if self._store.state.outbox.find(draft.nonce) is None:
                continue  # discarded meanwhile
            # In doubt from here on, on disk as well: this process may end before an answer arrives.
            self._mark(draft, DraftState.SENDING, in_doubt=True)
            try:
                await self._send(draft)
            except Unauthorized as error:
                self._mark(draft, DraftState.WAITING)  # for the next sign-in
                self._request_errors.failed("send", error)
                return
            except OnesocketError as error:
                if draft.reply_to is not None and _is_reply_gone(error):
                    self._unlink(draft)  # what it replies to was deleted: it is sent by itself
                    continue
                in_doubt = draft.in_doubt or _may_be_stored(error)
                if not error.retryable and not (in_doubt and isinstance(error, _UNKNOWN_OUTCOME_ERRORS)):
                    self._mark(draft, DraftState.FAILED, request_error_text(error), in_doubt=in_doubt)
                    self._request_errors.failed("send", error)
                    continue
                self._mark(draft, DraftState.WAITING, in_doubt=in_doubt)
                await asyncio.sleep(min(pause, max(0.0, left)))
                pause = min(2 * pause, _MAX_BACKOFF)
            else:
                pause = _MIN_BACKOFF
                self._request_errors.succeeded("send")

    async def _send(self, draft: Draft) -> None:
        if draft.in_doubt and await self._is_stored(draft):
            self._drop(draft)
            return
        answer = await self._rest.send_message(
            draft.channel_id, draft.content, reply_to=draft.reply_to, nonce=draft.nonce, resend=False
        )
        try:
            message = from_json(answer, Message)
        except msgspec.ValidationError as error:  # it is stored all the same
            self._drop(draft)
            self._request_errors.failed("unreadable", BadAnswer(f"the answer can't be read: {error}", status=200))
            return
        self._store.change(lambda state: _with_sent_message(state, message, draft.nonce))

    async def _is_stored(self, draft: Draft) -> bool:
        """True if the channel's history has the draft; the server refuses a repeated nonce for minutes only."""
        me = self._store.state.me
        async for body in self._rest.history(draft.channel_id, after=draft.after):
            author: Json = body.get("author") or {}
            if body.get("nonce") == draft.nonce and me is not None and author.get("id") == str(me.id):
                return True
        return False

    def _drop(self, draft: Draft) -> None:
        self._store.change(lambda state: replace(state, outbox=state.outbox.without(draft.nonce)))

    def _unlink(self, draft: Draft) -> None:
        self._store.change(lambda state: replace(state, outbox=state.outbox.unlink(draft.nonce)))

    def _mark(self, draft: Draft, fate: DraftState, reason: str = "", *, in_doubt: bool | None = None) -> None:
        doubt = draft.in_doubt if in_doubt is None else in_doubt
        self._store.change(
            lambda state: replace(state, outbox=state.outbox.mark(draft.nonce, fate, reason, in_doubt=doubt))
        )


def _is_reply_gone(error: OnesocketError) -> bool:
    """True if the server refused a message since the one that it replies to does not exist; it stored nothing."""
    return isinstance(error, RestError) and (
        error.code == _UNKNOWN_MESSAGE or any("REPLIES_UNKNOWN_MESSAGE" in problem for problem in error.problems)
    )


def _may_be_stored(error: OnesocketError) -> bool:
    return error.sent if isinstance(error, RestTimeout) else isinstance(error, (*_UNKNOWN_OUTCOME_ERRORS, BadAnswer))


def _with_sent_message(state: ChatState, message: Message, nonce: str) -> ChatState:
    return replace(add_message(state, message), outbox=state.outbox.without(nonce))
