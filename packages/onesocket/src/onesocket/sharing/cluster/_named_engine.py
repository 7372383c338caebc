"""The engine of a cluster, by its URL: from an argument, a command line, or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from ...errors import InvalidOption
from ._cluster_options import ClusterOptions
from ._coordinator import ClusterEngine
from ._nats_coordinator import NatsCoordinator
from ._redis_coordinator import RedisCoordinator

ENVIRONMENT_VARIABLE: Final = "ONESOCKET_CLUSTER"
_ENGINES: Final[dict[str, Callable[[str], ClusterEngine]]] = {
    **dict.fromkeys(("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"), RedisCoordinator),
    **dict.fromkeys(("nats", "tls"), NatsCoordinator),
}
"""By the scheme of the URL."""


def engine_of(url: str) -> ClusterEngine:
    """The engine with this URL. Raises `InvalidURL`, which shows no secret, or `InvalidOption`."""
    scheme = url.partition(":")[0].lower()
    make = _ENGINES.get(scheme)
    if make is None:
        schemes = ", ".join(f"{each}:" for each in _ENGINES)
        raise InvalidOption(f"the URL of a cluster's engine must begin with one of {schemes}")
    return make(url)


def cluster_options(given: ClusterOptions | ClusterEngine | str | None) -> ClusterOptions:
    """The checked `cluster=` of a `join()`; None: the URL in `ONESOCKET_CLUSTER`. Raises `InvalidOption`."""
    if isinstance(given, ClusterOptions):
        return given
    if given is None:
        url = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if not url:
            raise InvalidOption(
                "scope='cluster' needs an engine: cluster=RedisCoordinator('redis://host'), or its URL in the "
                f"environment variable {ENVIRONMENT_VARIABLE}"
            )
        given = url
    return ClusterOptions(engine=engine_of(given) if isinstance(given, str) else given)
