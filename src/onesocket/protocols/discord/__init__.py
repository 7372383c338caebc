"""Discord's gateway v10, sans-IO."""

from .close_codes import CloseCode
from .errors import (
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
from .gateway import DiscordGateway, Turns
from .identify import Identification, Presence
from .inflate import Compress
from .intents import Intents
from .opcodes import Opcode
from .payload import Dispatch
from .sharding import Shard, shard_of

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
    "Turns",
    "WrongToken",
    "shard_of",
]
