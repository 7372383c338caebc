"""What protocols and transports have in common: messages, the request for a line, and the answer to it."""

from __future__ import annotations

import ssl as ssl_module
from dataclasses import dataclass, field

from .urls import redact

Data = str | bytes
"""A whole message: text is `str`, binary is `bytes`."""


@dataclass(frozen=True, slots=True)
class DialRequest:
    """Everything that one attempt needs to know. Its repr shows no header value and no query value."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    ssl: ssl_module.SSLContext | None = None
    proxy: str | None = None
    max_size: int | None = None
    """Bytes of one message, all its fragments together; None: no limit."""
    close_timeout: float = 10.0
    """Seconds for whatever politeness the layers below need to end (TLS close_notify)."""
    secrets: tuple[str, ...] = field(default=())
    """Texts that must not appear in any error, even if the server echoes them."""

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        return f"<DialRequest {redact(self.url)} headers=[{names}] subprotocols={list(self.subprotocols)}>"

    def scrub(self, text: str) -> str:
        """`text` without any of the secrets."""
        for secret in self.secrets:
            if secret:
                text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the server's 101 said: the chosen sub-protocol and the headers (names in lower case)."""

    subprotocol: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
