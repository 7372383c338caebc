"""The commands and the messages of Home Assistant's WebSocket API, as msgspec structs."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, field

from ..errors import DecodeError


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A command: the base of those that have a type here. All others are dicts: ``{"type": "config/get", …}``."""

    id: int | UnsetType = UNSET
    """Put in by ``request()`` and ``request_stream()``; one of your own is given back with the answers."""


class SubscribeEvents(Command, frozen=True, kw_only=True, tag="subscribe_events"):
    """The subscription to the events of a type; None: of all types, for administrators."""

    event_type: str | None = None


class SubscribeTrigger(Command, frozen=True, kw_only=True, tag="subscribe_trigger"):
    """The subscription to a trigger, described as in an automation."""

    trigger: Any
    variables: dict[str, Any] | None = None


class UnsubscribeEvents(Command, frozen=True, kw_only=True, tag="unsubscribe_events"):
    """The end of a subscription of any kind, by its id. A stream that is closed sends it."""

    subscription: int


class CallService(Command, frozen=True, kw_only=True, tag="call_service"):
    """A call of a service (an action), such as `light`, `turn_on`."""

    domain: str
    service: str
    service_data: dict[str, Any] | None = None
    target: dict[str, Any] | None = None
    return_response: bool = False


class FireEvent(Command, frozen=True, kw_only=True, tag="fire_event"):
    """An event to be fired."""

    event_type: str
    event_data: dict[str, Any] | None = None


class GetStates(Command, frozen=True, kw_only=True, tag="get_states"):
    """The question for all states; the result is a list of dicts."""


class PingCommand(Command, frozen=True, kw_only=True, tag="ping"):
    """The question for a `PongAnswer`."""


class HomeAssistantMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A message of Home Assistant."""


class AuthRequired(HomeAssistantMessage, frozen=True, kw_only=True, tag="auth_required"):
    """The greeting."""

    ha_version: str = ""


class AuthOk(HomeAssistantMessage, frozen=True, kw_only=True, tag="auth_ok"):
    """The end of the login."""

    ha_version: str = ""


class AuthInvalid(HomeAssistantMessage, frozen=True, kw_only=True, tag="auth_invalid"):
    """The refusal of the login."""

    message: str = ""


class CommandError(msgspec.Struct, frozen=True, kw_only=True):
    """The reason of a command that failed."""

    code: str | int
    message: str = ""


class Result(HomeAssistantMessage, frozen=True, kw_only=True, tag="result"):
    """The answer to a command, and the first message of a stream."""

    id: int | None
    success: bool
    result: Any = None
    error: CommandError | None = None


class FiredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the event bus, such as `state_changed`."""

    event_type: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    origin: str = ""
    time_fired: str = ""
    context: dict[str, Any] = field(default_factory=dict[str, Any])


class Event(HomeAssistantMessage, frozen=True, kw_only=True, tag="event"):
    """A message of a subscription, with the id of the command that subscribed."""

    id: int
    event: Any = None
    """Payload: for `SubscribeEvents`, the fields of a `FiredEvent`."""

    def fired(self) -> FiredEvent:
        """Return the event of a `SubscribeEvents`. Raises `DecodeError` for that of another subscription."""
        try:
            return msgspec.convert(self.event, FiredEvent)
        except msgspec.ValidationError as error:
            raise DecodeError(f"a message of a subscription is no event of the event bus: {error}") from error


class PongAnswer(HomeAssistantMessage, frozen=True, kw_only=True, tag="pong"):
    """The answer to `PingCommand`."""

    id: int


Message = AuthRequired | AuthOk | AuthInvalid | Result | Event | PongAnswer
"""All messages."""
