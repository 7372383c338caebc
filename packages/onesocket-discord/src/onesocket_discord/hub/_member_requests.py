"""Requests for members (op 8): forwarded under a nonce of ours, and the chunks go to whoever asked."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from ._cached_guild import Json
from ._server_payloads import FrontendDispatch
from ._session import FrontendSession

_MAX_REQUESTS: Final = 4096
_REQUEST_TTL: Final = 300.0
"""Seconds after which an answer isn't waited for any more."""


@dataclass(slots=True)
class _MemberRequest:
    session: FrontendSession
    nonce: Any
    """The client's own."""
    requested_at: float
    chunks: int = 0


class MemberRequests:
    """Those whose answer isn't complete."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _MemberRequest] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Questions {len(self._open)}>"

    def ask(self, session: FrontendSession, d: Json) -> Json:
        """The request as it goes up."""
        now = time.monotonic()
        while self._open and (
            len(self._open) >= _MAX_REQUESTS or next(iter(self._open.values())).requested_at < now - _REQUEST_TTL
        ):
            self._open.popitem(last=False)
        nonce = secrets.token_hex(12)
        self._open[nonce] = _MemberRequest(session, d.get("nonce"), now)
        return {**d, "nonce": nonce}

    def chunk(self, data: Json) -> tuple[FrontendSession, FrontendDispatch] | None:
        """GUILD_MEMBERS_CHUNK, for whoever asked."""
        nonce = data.get("nonce")
        question = self._open.get(str(nonce))
        if question is None:
            return None
        question.chunks += 1
        if question.chunks >= int(data.get("chunk_count", 1)):
            del self._open[str(nonce)]
        return question.session, FrontendDispatch.of("GUILD_MEMBERS_CHUNK", _with_nonce(data, question.nonce))

    def limited(self, data: Json) -> tuple[FrontendSession, FrontendDispatch] | None:
        """RATE_LIMITED, for whoever asked."""
        meta: Json = data.get("meta") or {}
        question = self._open.pop(str(meta.get("nonce")), None)
        if question is None:
            return None
        return question.session, FrontendDispatch.of(
            "RATE_LIMITED", {**data, "meta": _with_nonce(meta, question.nonce)}
        )

    def clear(self) -> None:
        """The session that was asked is over."""
        self._open.clear()


def _with_nonce(data: Json, nonce: Any) -> Json:
    rest = {name: value for name, value in data.items() if name != "nonce"}
    return rest if nonce is None else {**rest, "nonce": nonce}
