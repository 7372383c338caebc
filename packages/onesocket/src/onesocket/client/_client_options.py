"""The options of a client as keywords: those of its connection, and those of `Client` itself."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from ..lifecycle._outbox import OutboxLimits
from ..lifecycle._retry import ReconnectPolicy
from ..protocols._pace import Pace
from ..transports._proxy import ProxyOption
from ..transports._transport import Transport
from ._instruments import InstrumentsOption
from ._options import Headers, Token
from ._transport_choice import Compression

if TYPE_CHECKING:
    from ..recording._recorder import FlightRecorder
    from ._durable_outbox import DurableOutbox
    from ._rotation import Rotation


class ConnectionOptions(TypedDict, total=False):
    """The options of a connection besides `protocol`, for `Client` and `join()`; see `Client`."""

    headers: Headers | None
    subprotocols: Iterable[str]
    ssl: ssl_module.SSLContext | None
    proxy: ProxyOption
    server_hostname: str | None
    local_address: str | None
    open_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float
    silence_timeout: float | None
    silence_of: Callable[[Any], bool] | None
    max_size: int | None
    reconnect: ReconnectPolicy | None
    rotation: Rotation | None
    outbox: OutboxLimits | DurableOutbox | None
    pace: Pace | None
    control_pace: Pace | None
    compression: Compression | None
    transport: Transport | None
    instruments: InstrumentsOption
    recorder: FlightRecorder | None


class ClientOptions(ConnectionOptions, total=False):
    """The options of `Client` besides `protocol`."""

    token: Token | None
    on_error: Callable[[BaseException], object] | None
