"""The messages of Slack's Socket Mode, as msgspec structs."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, field


class SlackHello(msgspec.Struct, frozen=True, kw_only=True):
    """The greeting: the connection is ready."""

    num_connections: int = 0
    connection_info: dict[str, Any] = field(default_factory=dict[str, Any])
    debug_info: dict[str, Any] = field(default_factory=dict[str, Any])


class DisconnectNotice(msgspec.Struct, frozen=True, kw_only=True):
    """The announcement that Slack closes the connection."""

    reason: str = ""
    """`warning`, `refresh_requested`, `link_disabled` or `too_many_websockets`."""
    debug_info: dict[str, Any] = field(default_factory=dict[str, Any])


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The acknowledgement of an envelope."""

    envelope_id: str
    payload: Any = UNSET


class SlackEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """A payload for the app."""

    type: str
    """`events_api`, `slash_commands`, `interactive`, or what comes to them."""
    envelope_id: str
    payload: Any = None
    accepts_response_payload: bool = False
    retry_attempt: int = 0
    retry_reason: str = ""

    def ack(self, payload: Any = UNSET) -> Ack:
        """Return the acknowledgement, with a response if the envelope accepts one."""
        return Ack(envelope_id=self.envelope_id, payload=payload)


Message = SlackHello | DisconnectNotice | SlackEnvelope
"""All messages."""
