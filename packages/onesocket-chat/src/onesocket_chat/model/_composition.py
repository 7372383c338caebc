"""Unsent content of one channel's composer: the next message, and changes of earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_MAX_CHANGES: Final = 20


class ReplyTarget(Struct, frozen=True):
    """The message that is answered."""

    id: int
    name: str = ""
    """Name of the message's author."""


class Composition(Struct, frozen=True, omit_defaults=True):
    """The next message of a channel, and changes of earlier ones that the server does not have."""

    text: str = ""
    """The next message."""
    answers: ReplyTarget | None = None
    edits: int | None = None
    """The message that is being edited; then the composer shows its change, and `text` waits."""
    changes: Mapping[int, str] = {}
    """The new text of each edited message."""

    @property
    def is_empty(self) -> bool:
        """True if the composition holds nothing that could be lost."""
        return self == _EMPTY

    @property
    def shown(self) -> str:
        """Text that the composer shows."""
        return self.text if self.edits is None else self.changes.get(self.edits, "")

    def typed(self, text: str) -> Composition:
        """Return the composition with this text in the composer."""
        return replace(self, text=text) if self.edits is None else self._changed(self.edits, text)

    def answering(self, message: ReplyTarget) -> Composition:
        """Return the composition as a reply to this message."""
        return replace(self, answers=message, edits=None)

    def editing(self, message_id: int, content: str) -> Composition:
        """Return the composition as an edit of this message; an unsaved earlier edit of it is continued."""
        return replace(self._changed(message_id, self.changes.get(message_id) or content), edits=message_id)

    def plain(self) -> Composition:
        """Return the composition without a reply or edit; the texts stay."""
        return replace(self, answers=None, edits=None)

    def sent(self) -> Composition:
        """Return the composition after the next message was accepted."""
        return replace(self, text="", answers=None)

    def saved(self, message_id: int) -> Composition:
        """Return the composition after the edit of this message was saved or given up."""
        left = {key: text for key, text in self.changes.items() if key != message_id}
        return replace(self, changes=left, edits=None if self.edits == message_id else self.edits)

    def moved(self, message_id: int) -> Composition:
        """Return the composition with the edit of a deleted message moved to the next message."""
        text = "\n".join(filter(None, (self.text, self.changes.get(message_id))))
        return replace(self.saved(message_id), text=text)

    def _changed(self, message_id: int, text: str) -> Composition:
        others = [(key, other) for key, other in self.changes.items() if key != message_id]
        return replace(self, changes=dict([*others, (message_id, text)][-_MAX_CHANGES:]))


_EMPTY: Final = Composition()
