"""What a server's answer to the upgrade request means when it is not the one we asked for (`websockets`)."""

from __future__ import annotations

from typing import Final

from websockets.exceptions import InvalidHeader, InvalidStatus, NegotiationError
from websockets.exceptions import InvalidUpgrade as NoUpgrade

from ..errors import InvalidUpgrade, OnesocketError
from ..lifecycle.verdicts import line_lost, upgrade_refused
from ..urls import parse_url
from ..wire import DialRequest

_EXCERPT: Final = 200


def upgrade_failure(error: Exception | None, request: DialRequest, *, cut_off: bool = False) -> OnesocketError:
    """The error for an upgrade that failed; `cut_off`: the stream ended before the answer did.

    The library's exceptions hold the server's whole answer, which may echo a token: they are not chained.
    """
    if isinstance(error, InvalidStatus):
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return upgrade_refused(response.status_code, headers, _excerpt(bytes(response.body or b""), request))
    if isinstance(error, NegotiationError):
        if "extension" in str(error).lower() or "permessage" in str(error):
            return InvalidUpgrade("the server switched on an extension that was not offered")
        offered = list(request.subprotocols)
        return InvalidUpgrade(f"the server chose a sub-protocol that was not offered (offered: {offered})")
    if cut_off:
        return line_lost("during the upgrade")
    why = "its answer is not HTTP"
    if isinstance(error, InvalidHeader | NoUpgrade):
        why = f"its header {error.name.lower()} is missing or wrong"
    return InvalidUpgrade(f"{parse_url(request.url).where} did not answer with a WebSocket upgrade: {why}")


def _excerpt(body: bytes, request: DialRequest) -> str:
    text = body.decode("utf-8", "replace").strip()
    text = "".join(character if character.isprintable() else " " for character in text)
    return request.scrub(text)[:_EXCERPT]
