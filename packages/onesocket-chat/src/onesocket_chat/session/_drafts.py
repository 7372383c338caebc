"""Unsent text by channel: kept in the session, and written to disk within a moment."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from msgspec.structs import replace

from onesocket.notices import NoticeLevel, Notices

from ..model._composition import Composition
from ..model._outbox import Draft, DraftState
from ._draft_files import DraftFile, DraftFiles, UnsentMessages
from ._message_sender import MessageSender
from ._session_context import SessionContext

_SAVE_DELAY: Final = 0.3
"""Seconds from a change to the file, at most."""
_EMPTY: Final = Composition()
NOT_KEPT_NOTICE: Final = "drafts-not-kept"


class Drafts:
    """The compositions and the outbox of the signed-in account, saved to its draft file."""

    def __init__(
        self, context: SessionContext, sender: MessageSender, notices: Notices, draft_files: DraftFiles, api_url: str
    ) -> None:
        self._store = context.store
        self._sender = sender
        self._notices = notices
        self._files = draft_files
        self._api_url = api_url
        self._file: DraftFile | None = None
        self._compositions: dict[int, Composition] = {}
        self._saved_outbox: tuple[Draft, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Drafts of {len(self._compositions)} channels>"

    def of(self, channel_id: int) -> Composition:
        """The unsent composition of this channel; an empty one if there is none."""
        return self._compositions.get(channel_id, _EMPTY)

    def put(self, channel_id: int, composition: Composition) -> None:
        """Set the unsent composition of this channel, and save it soon."""
        if composition == self.of(channel_id):
            return
        if composition.is_empty:
            del self._compositions[channel_id]
        else:
            self._compositions[channel_id] = composition
        self._save_soon()

    def check(self) -> None:
        """Load or save after a change of the state."""
        me = self._store.state.me
        if self._file is None and me is not None:
            self._file = self._files.of(self._api_url, me.id)
            self._take_over(self._file)
        elif self._store.state.outbox.drafts != self._saved_outbox:
            self._save_soon()

    def close(self) -> None:
        """Save the unsent texts; later changes by panels are saved at once."""
        self._closed = True
        if self._timer is not None or self._store.state.outbox.drafts != self._saved_outbox:
            self._save()

    def _take_over(self, draft_file: DraftFile) -> None:
        """Load the saved compositions, and resume sending the saved outbox."""
        try:
            draft_file.open()
        except OSError as error:
            self._not_kept(error)
        self._compositions = {**draft_file.unsent.compositions, **self._compositions}
        shift = asyncio.get_running_loop().time() - time.time()
        known = {draft.nonce for draft in self._store.state.outbox.drafts}
        for draft in draft_file.unsent.outbox:
            if draft.nonce not in known:
                # The saved state may be older than the last send.
                failed = draft.fate is DraftState.FAILED
                fate, in_doubt = (DraftState.FAILED, draft.in_doubt) if failed else (DraftState.WAITING, True)
                self._sender.resume(replace(draft, fate=fate, in_doubt=in_doubt, since=draft.since + shift))
        self._saved_outbox = self._store.state.outbox.drafts

    def _save_soon(self) -> None:
        if self._closed:
            self._save()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SAVE_DELAY, self._save)

    def _save(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._file is None:
            return
        self._saved_outbox = self._store.state.outbox.drafts
        shift = time.time() - asyncio.get_running_loop().time()
        outbox = tuple(replace(draft, since=draft.since + shift) for draft in self._saved_outbox)
        try:
            self._file.save(UnsentMessages(dict(self._compositions), outbox))
        except OSError as error:
            self._not_kept(error)
        else:
            self._notices.withdraw(NOT_KEPT_NOTICE)

    def _not_kept(self, error: OSError) -> None:
        where = self._files.directory
        text = f"what you write can't be kept in {where} ({error.strerror or error}): it is lost when the chat ends"
        self._notices.post(NOT_KEPT_NOTICE, NoticeLevel.WARNING, "Drafts Not Kept", text)
