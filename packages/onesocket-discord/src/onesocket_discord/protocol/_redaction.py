"""Payloads of the gateway as a recording may show them."""

from __future__ import annotations

import re
from typing import Final

from onesocket.wire._handshake import Data

# Of Identify and Resume, READY, interactions and webhooks, voice servers.
_SECRET: Final = re.compile(r'("(?:token|session_id)"\s*:\s*")(?:[^"\\]|\\.)*"')


def redact_payload(data: Data) -> Data | None:
    """The payload without tokens and session ids; None: it is compressed, and may hold some."""
    return _SECRET.sub(r'\1***"', data) if isinstance(data, str) else None
