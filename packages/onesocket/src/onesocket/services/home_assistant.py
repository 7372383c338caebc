"""Home Assistant's WebSocket API: login, commands with their results, and subscriptions as streams of events.

```
client = Client(home_assistant.url("http://homeassistant.local:8123"), token=TOKEN, protocol=home_assistant.protocol())
async with client:
    await client.request(home_assistant.CallService(domain="light", service="turn_on", target={"area_id": "kitchen"}))
    async with client.request_stream(home_assistant.SubscribeEvents(event_type="state_changed"), resend=True) as stream:
        async for message in stream:
            if isinstance(message, home_assistant.Event):
                print(message.fired().data["entity_id"])
```

``client.subscribe(keys=["state_changed"])`` is a stream of the events of these types alone, over all losses: readers of
all programs that share the connection need one subscription.

The token is a long-lived access token. Ids have to increase on a connection, over commands and subscriptions: they are
made where the connection lives, for all tasks, threads and processes that share it. A stream has the `Result` of its
command first, then each `Event` with its id; closed, it is unsubscribed. With ``resend=True`` it subscribes again after
a loss, with a `Gap`, and the events in between are missed: ask for `GetStates` then. A command that fails is
`RequestRefused`. Commands without a type here are dicts without an id. Don't ``send()`` commands: they would have ids
beside those of the requests.

Facts, from "WebSocket API" (https://developers.home-assistant.io/docs/api/websocket): the phases, the commands, their
results and errors, `unsubscribe_events` for every kind of subscription, and messages in arrays for a client that asks
for them (``{"type": "supported_features", "features": {"coalesce_messages": 1}}``). From the program's own source
(https://github.com/home-assistant/core/tree/dev/homeassistant/components/websocket_api): ids must increase, errors have
a code that is a text, a message that can't be read is answered without an id, and all events are for administrators.
`onesocket.testing.services.HomeAssistantVenue` fakes the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from ..errors import InvalidOption, InvalidURL
from ..protocols import Json, Login, Requests, Subscriptions
from ._fingerprint import with_fingerprint
from ._home_assistant_messages import (
    AuthInvalid,
    AuthOk,
    AuthRequired,
    CallService,
    Command,
    CommandError,
    Event,
    FiredEvent,
    FireEvent,
    GetStates,
    Message,
    PingCommand,
    PongAnswer,
    Result,
    SubscribeEvents,
    SubscribeTrigger,
    UnsubscribeEvents,
)

__all__ = [
    "AuthInvalid",
    "AuthOk",
    "AuthRequired",
    "CallService",
    "Command",
    "CommandError",
    "Event",
    "FireEvent",
    "FiredEvent",
    "GetStates",
    "Message",
    "PingCommand",
    "PongAnswer",
    "Result",
    "SubscribeEvents",
    "SubscribeTrigger",
    "UnsubscribeEvents",
    "protocol",
    "url",
]

_SCHEMES = {"http": "ws", "https": "wss"}


def url(base: str = "http://homeassistant.local:8123") -> str:
    """Return the address of the API, made of the address at which a browser has Home Assistant."""
    parts = urlsplit(base)
    if parts.scheme not in _SCHEMES:
        raise InvalidURL("the address of Home Assistant must begin with http:// or https://")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, f"{parts.path.rstrip('/')}/api/websocket", "", ""))


def protocol() -> Json[Message]:
    """Return the protocol: the login by an access token, the ids of commands, and events by their types (``keys=``)."""
    made = Json(
        type=Message,
        many=True,
        login=Login(request=_credentials, ready=_is_authenticated, refused=_refused_login),
        requests=Requests(refused=_refused_command, stop=_unsubscribe),
        subscriptions=Subscriptions(subscribe=_subscribe, key=_event_type, requests=True),
    )
    return with_fingerprint(made, __name__)


def _subscribe(event_types: list[str]) -> SubscribeEvents:
    return SubscribeEvents(event_type=event_types[0])


def _event_type(message: Message) -> str | None:
    event: Any = message.event if isinstance(message, Event) else None
    found: object = cast("dict[str, Any]", event).get("event_type") if isinstance(event, dict) else None
    return found if isinstance(found, str) else None


def _credentials(token: str | None) -> dict[str, str]:
    if not token:
        raise InvalidOption("Home Assistant's login needs token=, a long-lived access token (in the profile of a user)")
    return {"type": "auth", "access_token": token}


def _is_authenticated(message: Message) -> bool:
    return isinstance(message, AuthOk)


def _refused_login(message: Message) -> str | None:
    return message.message or "auth_invalid" if isinstance(message, AuthInvalid) else None


def _refused_command(answer: Message) -> str | None:
    if not isinstance(answer, Result) or answer.success:
        return None
    return "no reason was given" if answer.error is None else f"{answer.error.message} ({answer.error.code})"


def _unsubscribe(request: Any) -> UnsubscribeEvents:
    ident: int = cast("Mapping[str, Any]", request)["id"] if isinstance(request, Mapping) else request.id
    return UnsubscribeEvents(subscription=ident)
