"""Discord's gateway v10, sans-IO."""

from ._close_codes import CloseCode
from ._decompression import Compress
from ._errors import (
    DecompressionBomb,
    DecompressionFailed,
    DisallowedIntents,
    GatewayRefusal,
    IdentifyBudgetExhausted,
    InvalidIntents,
    InvalidShard,
    InvalidVersion,
    PayloadTooBig,
    ReconnectAsked,
    RequestLimited,
    SessionInvalid,
    ShardingRequired,
    WrongToken,
)
from ._gateway import DiscordGateway
from ._identification import Identification, Presence
from ._identify_scheduler import IdentifyScheduler
from ._intents import Intents
from ._opcodes import Opcode
from ._payload import Dispatch
from ._sharding import Shard, shard_of

__all__ = [
    "CloseCode",
    "Compress",
    "DecompressionBomb",
    "DecompressionFailed",
    "DisallowedIntents",
    "DiscordGateway",
    "Dispatch",
    "GatewayRefusal",
    "Identification",
    "IdentifyBudgetExhausted",
    "IdentifyScheduler",
    "Intents",
    "InvalidIntents",
    "InvalidShard",
    "InvalidVersion",
    "Opcode",
    "PayloadTooBig",
    "Presence",
    "ReconnectAsked",
    "RequestLimited",
    "SessionInvalid",
    "Shard",
    "ShardingRequired",
    "WrongToken",
    "shard_of",
]
