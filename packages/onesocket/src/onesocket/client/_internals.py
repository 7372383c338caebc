"""The parts of a client that `onesocket.sharing` works on: not part of the public interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._record import record
from ..transports._transport import TransportConnection
from ._fan_out import FanOut
from ._options import Options
from ._runner import Runner
from ._sender import Sender

if TYPE_CHECKING:
    from ._request_tracker import RequestTracker
    from ._upstream_subscriptions import UpstreamSubscriptions


@record
class ClientInternals:
    """The parts of one client."""

    options: Options
    fan_out: FanOut
    sender: Sender
    runner: Runner
    requests: RequestTracker | None
    """None: the protocol declares no requests."""
    remind: Callable[[], None]
    """Has a warning logged, a moment later, if a caller waits for a connection that nothing brings up."""
    subscriptions: Callable[[], UpstreamSubscriptions]
    """Returns the subscriptions of the connection, made with the first call."""
    leave_loop: Callable[[], TransportConnection | None]
    """Lets the client leave its event loop, as `Runner.leave_loop`."""
    enter_loop: Callable[[], None]
    """Lets it go on on the running event loop, then."""
