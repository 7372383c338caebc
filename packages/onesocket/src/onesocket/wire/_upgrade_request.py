"""Writes the upgrade request of a client (RFC 6455, section 4.1)."""

from __future__ import annotations

import base64
import os

from ._handshake import DialRequest, upgrade_headers


def new_key() -> str:
    """Return a new Sec-WebSocket-Key: 16 random bytes in base64."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def upgrade_request(request: DialRequest, key: str, extensions: str | None = None) -> bytes:
    """Return the bytes of the upgrade request; `extensions`: the offer of extensions.

    The request's own headers may replace `Host` and `User-Agent`. A `DialRequest` holds no header that could smuggle in
    another one.
    """
    address = request.address
    headers = upgrade_headers(request)
    lines = [f"GET {address.target} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(f"Host: {address.authority}")
    lines += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    if request.subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(request.subprotocols)}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
