"""Discord's session start limit, counted by all servers of a cluster together."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Final

from onesocket.errors import ConnectionFailure, PeerError
from onesocket.sharing.cluster._redis_client import RedisClient

from ..._serving import GatewayOptions
from .._api_error import ApiError
from .._ports import Account, Json
from ..gateway._identify_limiter import IdentifyVerdict
from . import _redis_scripts as scripts
from ._event_stream import ClusterKeys

_DAY_MS: Final = 86_400_000


class ClusterIdentifies:
    """Counts Identifies per bot, as `IdentifyLimiter` does for one server."""

    def __init__(self, client: RedisClient, keys: ClusterKeys, options: GatewayOptions) -> None:
        self._client = client
        self._keys = keys
        self._options = options

    async def check(self, account: Account, shard: int) -> IdentifyVerdict:
        """Decide about one Identify of this account."""
        if not account.bot:
            return IdentifyVerdict.GRANTED
        keys = self._keys.identifies(account.user_id, shard % self._options.max_concurrency)
        interval = round(self._options.identify_interval * 1000)
        limit = self._options.identify_limit
        with _as_api_error():
            reply = await self._client.run_script(scripts.IDENTIFY, keys, limit, interval, _DAY_MS)
        return IdentifyVerdict(reply.decode())

    async def limit(self, account: Account) -> Json:
        """The `session_start_limit` of ``GET /gateway/bot``."""
        count, _ = self._keys.identifies(account.user_id, 0)
        with _as_api_error():
            used = int(await self._client.run("GET", count) or 0)
            rest = int(await self._client.run("PTTL", count))
        return {
            "total": self._options.identify_limit,
            "remaining": max(0, self._options.identify_limit - used),
            "reset_after": rest if rest > 0 else _DAY_MS,
            "max_concurrency": self._options.max_concurrency,
        }


@contextlib.contextmanager
def _as_api_error() -> Generator[None, None, None]:
    try:
        yield
    except (ConnectionFailure, PeerError) as error:
        raise ApiError(503, 0, f"503: Service Unavailable: {error}") from error
