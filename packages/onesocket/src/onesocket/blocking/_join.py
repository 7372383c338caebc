"""`join()` for threads without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from ..client._client_options import ConnectionOptions
from ..client._error_reporter import check_on_error
from ..client._options import Token
from ..client._queue import DEFAULT_LIMIT, Overflow
from ..errors import InvalidOption
from ..protocols._message_type import M
from ..protocols._protocol import Protocol
from ..sharing._host_options import HostOptions
from ..sharing._join import ClientFactory, JoinParameters
from ..sharing._options import SharingOptions
from ..wire._handshake import Data
from ._shared_client import SharedClient

if TYPE_CHECKING:  # most programs share with no other host
    from ..sharing.cluster._cluster_options import ClusterOptions
    from ..sharing.cluster._coordinator import ClusterEngine


class BlockingJoinOptions(SharingOptions, total=False):
    """The options of `onesocket.blocking.join()`, besides `protocol` and `client_factory`."""

    scope: Literal["process", "host", "cluster"]
    timeout: float | None
    limit: int
    overflow: Overflow | str


@overload
def join(url: str, *, protocol: Protocol[M], **options: Unpack[BlockingJoinOptions]) -> SharedClient[M]: ...
@overload
def join(
    url: str,
    *,
    client_factory: ClientFactory[M],
    protocol: Protocol[Any] | None = None,
    **options: Unpack[BlockingJoinOptions],
) -> SharedClient[M]: ...
@overload
def join(
    url: str, *, protocol: None = None, client_factory: None = None, **options: Unpack[BlockingJoinOptions]
) -> SharedClient[Data]: ...
def join(
    url: str,
    *,
    key: str | None = None,
    scope: Literal["process", "host", "cluster"] = "process",
    token: Token | None = None,
    linger: float = 0.0,
    timeout: float | None = None,
    wait: bool = True,
    limit: int = DEFAULT_LIMIT,
    overflow: Overflow | str = Overflow.FAIL,
    on_error: Callable[[BaseException], object] | None = None,
    client_factory: ClientFactory[Any] | None = None,
    host_options: HostOptions | None = None,
    cluster: ClusterOptions | ClusterEngine | str | None = None,
    protocol: Protocol[Any] | None = None,
    **options: Unpack[ConnectionOptions],
) -> SharedClient[Any]:
    """Join the one connection of this URL and identity: ``with onesocket.blocking.join(url) as client:``.

    It is the same connection that `onesocket.join()` gives to event loops, and the arguments mean the same. Returns
    when the connection is up (at once with ``wait=False``), or raises the error that kept it from that; `WaitTimeout`
    after `timeout` seconds. In a
    thread in which an event loop runs it raises `WrongEventLoop`.

    `limit` and `overflow` are those of the client's own stream (``for message in client``).
    """
    if scope not in ("process", "host", "cluster"):
        raise InvalidOption(f"scope must be 'process', 'host' or 'cluster' without an event loop, not {scope!r}")
    parameters = JoinParameters(
        url,
        key=key,
        scope=scope,
        token=token,
        linger=linger,
        client_factory=client_factory,
        host_options=host_options,
        cluster=cluster,
        options=dict(options) if protocol is None else {**options, "protocol": protocol},
    )
    return SharedClient(
        parameters, limit=limit, overflow=overflow, timeout=timeout, wait=wait, on_error=check_on_error(on_error)
    )
