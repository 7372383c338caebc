"""Requests for members (op 8): forwarded under the hub's own nonces, so that each answer finds its client."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from .._serving import EncodedDispatch, ServedSession
from ..protocol.models import JsonObject

_MAX_REQUESTS: Final = 4096
_REQUEST_TTL: Final = 300.0
"""Seconds after which an unanswered request is dropped."""


@dataclass(slots=True)
class _MemberRequest:
    session: ServedSession
    nonce: Any
    """The client's own."""
    requested_at: float
    chunks: int = 0


class MemberRequests:
    """The requests whose answer is not complete."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _MemberRequest] = OrderedDict()

    def __repr__(self) -> str:
        return f"<MemberRequests {len(self._open)}>"

    def add(self, session: ServedSession, d: JsonObject) -> JsonObject:
        """Remember a client's request; returns its body for the upstream."""
        now = time.monotonic()
        while self._open and (
            len(self._open) >= _MAX_REQUESTS or next(iter(self._open.values())).requested_at < now - _REQUEST_TTL
        ):
            self._open.popitem(last=False)
        nonce = secrets.token_hex(12)
        self._open[nonce] = _MemberRequest(session, d.get("nonce"), now)
        return {**d, "nonce": nonce}

    def chunk(self, data: JsonObject) -> tuple[ServedSession, EncodedDispatch] | None:
        """Return the session that a GUILD_MEMBERS_CHUNK is for, and its dispatch."""
        nonce = data.get("nonce")
        request = self._open.get(str(nonce))
        if request is None:
            return None
        request.chunks += 1
        if request.chunks >= int(data.get("chunk_count", 1)):
            del self._open[str(nonce)]
        return request.session, EncodedDispatch("GUILD_MEMBERS_CHUNK", _with_nonce(data, request.nonce))

    def rate_limited(self, data: JsonObject) -> tuple[ServedSession, EncodedDispatch] | None:
        """Return the session that a RATE_LIMITED is for, and its dispatch."""
        meta: JsonObject = data.get("meta") or {}
        request = self._open.pop(str(meta.get("nonce")), None)
        if request is None:
            return None
        return request.session, EncodedDispatch("RATE_LIMITED", {**data, "meta": _with_nonce(meta, request.nonce)})

    def clear(self) -> None:
        """Drop all requests: the upstream session has ended."""
        self._open.clear()


def _with_nonce(data: JsonObject, nonce: Any) -> JsonObject:
    rest = {name: value for name, value in data.items() if name != "nonce"}
    return rest if nonce is None else {**rest, "nonce": nonce}
