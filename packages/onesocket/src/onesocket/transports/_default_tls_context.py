"""The TLS context of clients that are given none: one for the whole process, with the system's trust."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Final

# The variables that OpenSSL reads the trust from.
_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_contexts: Final[dict[tuple[str | None, ...], ssl.SSLContext]] = {}


async def default_tls_context() -> ssl.SSLContext:
    """Return the TLS context with the system's trust.

    It is made once: that takes 20 ms or more, and so is done in a thread.
    """
    trust = tuple(map(os.environ.get, _VARIABLES))
    context = _contexts.get(trust)
    if context is None:
        try:
            context = await asyncio.get_running_loop().run_in_executor(None, _make_context, trust)
        except RuntimeError:  # no thread can be started any more: the interpreter, or the executor, is shutting down
            context = _make_context(trust)
    return context


def _make_context(trust: tuple[str | None, ...]) -> ssl.SSLContext:
    context = _contexts[trust] = ssl.create_default_context()
    return context
