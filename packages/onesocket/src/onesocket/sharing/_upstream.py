"""The port between the links of one key and the one connection behind them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..client._client import Client
from ..client._gap import Gap
from ..client._status import Change, Status
from ..errors import OnesocketError
from ..lifecycle._effects import Outcome
from ..protocols._protocol import Protocol as WireProtocol
from ._connection_key import ConnectionKey
from ._host_options import HostOptions
from ._member_tokens import MemberTokens


class UpstreamEvents(Protocol):
    """What an upstream tells, on its loop, in order. None of these raises."""

    def messages(self, batch: list[Any]) -> None:
        """These came; the list is the sink's to keep. One call for each turn of the loop, not for each message."""

    def gap(self, gap: Gap) -> None:
        """Here messages may be missing: after those of the batches before, and before those of the next."""

    def changed(self, change: Change, status: Status) -> None:
        """The state changed, and this is how things stand. CLOSED is the last that is told."""

    def failed(self, error: OnesocketError) -> None:
        """Readers that want to know of it get this, after what came before (the state became FAILED)."""


class Upstream(Protocol):
    """The one connection, on the owner loop, where every call on it is made.

    It may be made anywhere: it does nothing, and knows no loop, before `attach`.
    """

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment; may be asked for in any thread."""
        ...

    def attach(self, sink: UpstreamEvents) -> None:
        """Begin: called once, before everything else. What comes goes to this sink."""

    async def connect(self) -> Outcome:
        """Have the line up, as `Client.connect()`: callers join, and each can be cancelled."""
        ...

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`."""
        ...

    async def disconnect(self) -> None:
        """As `Client.disconnect()`: it holds for all, until `reconnect()`."""

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Deliver, or raise what kept it from that.

        What happens up to the first suspension keeps the order of the calls. Cancelled while the message waits, it is
        not sent; cancelled later, `DeliveryUnknown` takes the place of the cancellation. `id`: sending it twice does
        no harm, so it's sent again where `DeliveryUnknown` would be raised.
        """

    def add_keys(self, keys: Iterable[Hashable]) -> None:
        """One subscription more for each of these keys; the new ones go upstream. Raises `InvalidOption`.

        That is: too many, or the protocol has no frames that subscribe.
        """

    def remove_keys(self, keys: Iterable[Hashable]) -> None:
        """One subscription less for each; the keys that nobody wants any more are taken back upstream."""

    def hold(self) -> None:
        """Stop the feed soon: a reader with the rule `wait` is full. What is on its way already still comes."""

    def release(self) -> None:
        """Go on."""

    def file_descriptors(self) -> Iterable[int]:
        """Its descriptors, in the order in which to let go of them: in a forked child, or when its loop was closed."""
        ...

    async def aclose(self) -> None:
        """Close in order, for good, within the connection's deadlines. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSpec:
    """What an upstream is made from: `HostUpstream(recipe)`."""

    key: ConnectionKey
    options: Mapping[str, Any]
    """The arguments of `Client`, beside the URL, that somebody gave; `token` among them."""
    protocol: WireProtocol
    """The one that the upstream uses (`options["protocol"]`, or the default)."""
    make_client: Callable[[], Client]
    """A new, unconnected client. For host sharing: called in the process that becomes the owner."""
    host_options: HostOptions = field(default_factory=HostOptions)
    """For scope "host"."""
    tokens: MemberTokens = field(default_factory=MemberTokens)
    """Where the client gets its tokens, if the members bring token sources."""
