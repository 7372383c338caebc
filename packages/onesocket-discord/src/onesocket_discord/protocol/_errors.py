"""The errors of Discord's gateway."""

from __future__ import annotations

from onesocket.errors import ClosedByPeer, ConnectionFailure, DecodeError, EncodeError, LoginRefused, ServerBusy


class PayloadTooBig(EncodeError):
    """More than 4 096 bytes: the gateway would close the connection (4002), so the payload isn't sent."""


class DecompressionFailed(DecodeError):
    """The compressed stream is broken: nothing after it can be read, so the connection is closed and resumed."""


class DecompressionBomb(DecompressionFailed):
    """A message is larger than `max_size` once decompressed."""


class ReconnectAsked(ConnectionFailure):
    """The server asked us to connect again and resume (op 7)."""


class SessionInvalid(ConnectionFailure):
    """The server refused the session (op 9); `retry_after` is set when a new one has to be begun."""


class IdentifyBudgetExhausted(ServerBusy):
    """The daily identifies are used up but for a reserve; `retry_after` seconds from now they are renewed."""


class RequestLimited(ServerBusy):
    """The gateway limits this kind of request; `retry_after` seconds from now it takes the next (RATE_LIMITED)."""


class GatewayRefusal(ClosedByPeer):
    """A close code after which the same login fails again until you change something."""


class WrongToken(GatewayRefusal, LoginRefused):
    """4004."""


class InvalidShard(GatewayRefusal):
    """4010."""


class ShardingRequired(GatewayRefusal):
    """4011."""


class InvalidVersion(GatewayRefusal):
    """4012."""


class InvalidIntents(GatewayRefusal):
    """4013."""


class DisallowedIntents(GatewayRefusal):
    """4014."""
