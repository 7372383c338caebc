"""The limits and times of a served gateway."""

from __future__ import annotations

from dataclasses import dataclass

from onesocket.errors import InvalidOption


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Seconds, bytes and numbers: Discord's where it documents them, else chosen for one machine."""

    heartbeat_interval: float = 41.25
    """Seconds that HELLO asks for."""
    heartbeat_grace: float = 1.5
    """Intervals without a heartbeat after which a connection is closed."""
    identify_timeout: float = 30.0
    """Seconds from HELLO, or from op 9, to Identify or Resume."""
    handshake_timeout: float = 10.0
    """Seconds from the TCP connection to a complete upgrade request."""
    close_timeout: float = 5.0
    """Seconds for a client to answer CLOSE, and for all clients together when the server stops."""
    session_ttl: float = 300.0
    """Seconds that a session without a connection can be resumed."""
    presence_grace: float = 10.0
    """Seconds without a connection after which a user is shown as offline."""
    rate_limit: int = 120
    """Events that a client may send ..."""
    rate_window: float = 60.0
    """... within so many seconds."""
    identify_interval: float = 5.0
    """Seconds between two Identifies of one bot for the same bucket; 0: no limit."""
    identify_limit: int = 1000
    """Identifies of one bot within 24 h."""
    max_concurrency: int = 1
    """Buckets of shards that may identify at once."""
    replay_count: int = 2000
    """Dispatches kept for a resume."""
    replay_bytes: int = 2 << 20
    """Bytes of dispatches kept for a resume."""
    write_buffer: int = 8 << 20
    """Bytes that may wait for one client beyond what the kernel takes; then its connection is aborted."""
    max_connections: int = 10_000
    """Connections in total."""
    max_per_address: int = 5_000
    """Connections from one address."""
    max_http_per_address: int = 1_000
    """HTTP connections from one address; of a client behind a trusted proxy, requests at the same time."""
    max_sessions_per_user: int = 100
    """Sessions of one user, those to be resumed included."""
    guilds_per_shard: int = 2500
    """A session with more guilds is closed with 4011."""
    disallowed_intents: int = 0
    """Intents that a bot is refused with 4014; of the privileged ones it gets nothing by HTTP either."""

    def __post_init__(self) -> None:
        for name in (
            *("heartbeat_interval", "identify_timeout", "close_timeout", "handshake_timeout"),
            *("rate_limit", "replay_count", "max_concurrency"),
            *("max_connections", "max_per_address", "max_http_per_address", "max_sessions_per_user"),
        ):
            if not getattr(self, name) > 0:
                raise InvalidOption(f"{name} must be more than 0, not {getattr(self, name)!r}")
        for name in ("session_ttl", "presence_grace", "identify_interval", "replay_bytes"):
            if not getattr(self, name) >= 0:
                raise InvalidOption(f"{name} must not be negative: {getattr(self, name)!r}")
        if self.write_buffer < self.replay_bytes:
            raise InvalidOption("write_buffer must be at least replay_bytes: a resume would end its own connection")
