"""One WebSocket, however many ask for it."""

import importlib
from typing import TYPE_CHECKING, Any

from .client.client import Client
from .client.delivery import Delivery
from .client.gap import Gap, GapReason
from .client.queue import Overflow
from .client.status import Change, Stats, Status
from .client.subscription import Subscription
from .errors import (
    AuthTimeout,
    CertificateInvalid,
    ClientClosed,
    ClosedByPeer,
    ConnectAborted,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    DeliveryUnknown,
    EncodeError,
    ForkedCopy,
    GaveUp,
    InvalidOption,
    InvalidText,
    InvalidUpgrade,
    InvalidURL,
    LineLost,
    LoginRefused,
    ManuallyDisconnected,
    MessageExpired,
    MessageTooBig,
    MissingExtra,
    NameResolutionFailed,
    NoCurrentProvider,
    OnesocketError,
    OpenTimeout,
    OutboxFull,
    PeerError,
    PortRefused,
    ProtocolViolation,
    ProxyFailed,
    RetriesExhausted,
    SessionExpired,
    SlowConsumer,
    TLSFailed,
    TokenFailed,
    UpgradeRefused,
    UpstreamBusy,
    UsageError,
    WaitTimeout,
    WrongEventLoop,
    ZombieLine,
)
from .lifecycle.effects import Outcome
from .lifecycle.outbox import OutboxLimits
from .lifecycle.retry import ReconnectPolicy
from .lifecycle.states import State
from .notices import CallableSink, LogSink, Notice, NoticeLevel, Notices, NoticeSink, RichSink
from .protocols.base import Protocol
from .protocols.json import Json
from .protocols.login import Login
from .protocols.msgpack import Msgpack
from .protocols.pace import Pace
from .protocols.raw import Raw
from .protocols.token import TokenHeader, TokenQuery
from .provider.current import current_provider, use
from .provider.identity import Identity
from .provider.provider import Provider
from .provider.status import ProviderStatus

if TYPE_CHECKING:
    from . import blocking as blocking
    from .discord.client import DiscordClient
    from .protocols.discord.intents import Intents
    from .sharing.errors import OptionConflict
    from .sharing.join import Joining, join
    from .sharing.link import Link
    from .sharing.registry import offer_loop

# Imported by whoever asks for them: the core doesn't pay for them.
_LAZY = {
    "DiscordClient": ".discord.client",
    "Intents": ".protocols.discord.intents",
    "Joining": ".sharing.join",
    "Link": ".sharing.link",
    "OptionConflict": ".sharing.errors",
    "join": ".sharing.join",
    "offer_loop": ".sharing.registry",
}


def __getattr__(name: str) -> Any:
    """Import what is not part of the core."""
    if name == "blocking":
        value: Any = importlib.import_module(".blocking", __name__)
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name], __name__), name)
    else:
        raise AttributeError(f"module 'onesocket' has no attribute {name!r}")
    globals()[name] = value
    return value


__all__ = [
    "AuthTimeout",
    "CallableSink",
    "CertificateInvalid",
    "Change",
    "Client",
    "ClientClosed",
    "ClosedByPeer",
    "ConnectAborted",
    "ConnectFailed",
    "ConnectionLost",
    "DecodeError",
    "Delivery",
    "DeliveryUnknown",
    "DiscordClient",
    "EncodeError",
    "ForkedCopy",
    "Gap",
    "GapReason",
    "GaveUp",
    "Identity",
    "Intents",
    "InvalidOption",
    "InvalidText",
    "InvalidURL",
    "InvalidUpgrade",
    "Joining",
    "Json",
    "LineLost",
    "Link",
    "LogSink",
    "Login",
    "LoginRefused",
    "ManuallyDisconnected",
    "MessageExpired",
    "MessageTooBig",
    "MissingExtra",
    "Msgpack",
    "NameResolutionFailed",
    "NoCurrentProvider",
    "Notice",
    "NoticeLevel",
    "NoticeSink",
    "Notices",
    "OnesocketError",
    "OpenTimeout",
    "OptionConflict",
    "OutboxFull",
    "OutboxLimits",
    "Outcome",
    "Overflow",
    "Pace",
    "PeerError",
    "PortRefused",
    "Protocol",
    "ProtocolViolation",
    "Provider",
    "ProviderStatus",
    "ProxyFailed",
    "Raw",
    "ReconnectPolicy",
    "RetriesExhausted",
    "RichSink",
    "SessionExpired",
    "SlowConsumer",
    "State",
    "Stats",
    "Status",
    "Subscription",
    "TLSFailed",
    "TokenFailed",
    "TokenHeader",
    "TokenQuery",
    "UpgradeRefused",
    "UpstreamBusy",
    "UsageError",
    "WaitTimeout",
    "WrongEventLoop",
    "ZombieLine",
    "current_provider",
    "join",
    "offer_loop",
    "use",
]
