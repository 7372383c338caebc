"""State that all clients with one token share in this process: the identify budget and the gateway's address."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from ._gateway_info import GatewayInfo
from ._identify_budget import IdentifyBudget

MAX_TOKEN_STATES: Final = 4096
"""Tokens whose state is kept; beyond that, the least recently used ones are dropped."""
GATEWAY_INFO_TTL: Final = 3600.0
"""Seconds for which the gateway's address is cached. Discord says not to keep it for long; sessions begin rarely."""


class TokenState:
    """The identify budget and the gateway's address of one token at one API."""

    def __init__(self, key: bytes = b"") -> None:
        """`key`: a digest of token and API."""
        self.budget = IdentifyBudget()
        self._key = key
        self._info: tuple[float, GatewayInfo] | None = None
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<TokenState {self.budget!r}>"

    def slot_name(self, shard: int) -> str:
        """A name for the identify slots of this shard's bucket: no token can be told from it."""
        return hashlib.sha256(b"onesocket identify slots\n%d\n" % self.budget.bucket(shard) + self._key).hexdigest()

    async def gateway(self, ask: Callable[[], Awaitable[GatewayInfo]], *, failed: str | None) -> GatewayInfo:
        """The gateway's address, requested once for all concurrent callers.

        `failed`: an address that did not answer, so that it is requested again.
        """
        loop = asyncio.get_running_loop()
        async with self._locks.setdefault(loop, asyncio.Lock()):
            known = self._info
            if known is not None and loop.time() < known[0] + GATEWAY_INFO_TTL and known[1].url != failed:
                return known[1]
            self._info = None
            info = await ask()
            self._info = loop.time(), info
            if info.limit is not None:
                self.budget.learn(info.limit, loop.time())
            return info


class TokenStates:
    """The states of all tokens in this process, by a hash: no token is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, TokenState] = OrderedDict()

    def of(self, api_url: str, token: str) -> TokenState:
        """The state of this token at this API."""
        key = hashlib.sha256(f"{api_url.rstrip('/')}\n{token}".encode()).digest()
        with self._lock:
            account = self._known.setdefault(key, TokenState(key))
            self._known.move_to_end(key)
            if len(self._known) > MAX_TOKEN_STATES:
                self._known.popitem(last=False)
            return account


TOKEN_STATES: Final = TokenStates()
