"""Requests in frames of JSON that are not decoded otherwise: only their ids are read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from ..protocols._requests import RequestId, Requests
from ..wire._handshake import Data

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonRequests(Requests):
    """`Requests` for `Raw` frames that are JSON objects with the member `id`; all other members stay as they are."""

    def put(self, message: Data, id_: RequestId) -> Data:
        """Return the frame with this id."""
        members = _decode_members(message)
        members[self.id] = msgspec.Raw(_encode(id_))
        frame = _encode(members)
        return frame.decode() if isinstance(message, str) else frame

    def _at_key(self, message: Any) -> RequestId | None:
        try:
            found: object = msgspec.json.decode(_decode_members(message).get(self.id, b"null"))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None
