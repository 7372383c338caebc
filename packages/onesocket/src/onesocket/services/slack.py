"""Slack's Socket Mode: an address for each connection, acknowledged envelopes, and rotation when Slack announces it.

```
async def post(url: str, headers: Mapping[str, str]) -> bytes:
    return (await http.post(url, headers=headers)).content  # any HTTP client

url = slack.connection_url(post, "xapp-…")
async with Client(url, protocol=slack.protocol(), rotation=slack.rotation()) as client:
    async for message in client.subscribe("events_api"):
        if isinstance(message, slack.SlackEnvelope):
            print(message.payload)
```

The app-level token goes to `apps.connections.open` alone, so the client has no `token=`. The type of an envelope is the
event name: ``on("slash_commands", …)``. Envelopes are acknowledged where the connection lives, as they are handed to
the readers: once, however many there are. With ``protocol(acknowledge=False)`` the program does it itself, in time and
with a response if it likes: ``await client.send(envelope.ack({"text": "done"}))``. Slack repeats an envelope whose
acknowledgement it hasn't seen, so one may come twice (`retry_attempt`).

Slack closes each connection after hours, and announces it with `DisconnectNotice`. With `rotation()` another one, with
an address of its own, takes over before that. `join` takes such a client by `client_factory=`, as its address changes.

Facts: the request with an app-level token, its answer and its errors ("apps.connections.open method",
https://docs.slack.dev/reference/methods/apps.connections.open/); `hello`, `disconnect`, envelopes and acknowledgements
("Using Socket Mode", https://docs.slack.dev/apis/events-api/using-socket-mode/, as cited by others); the fields of an
envelope (https://github.com/slackapi/python-slack-sdk/blob/main/slack_sdk/socket_mode/request.py). Not confirmed: which
errors pass by themselves, and that a repeated envelope has the same id. `onesocket.testing.services.SlackVenue` fakes
the service.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from ..client._rotation import Rotation
from ..errors import LoginRefused, OnesocketError, ServerBusy, URLFailed, UsageError
from ..protocols import Json, Login
from ._fingerprint import with_fingerprint
from ._slack_messages import Ack, DisconnectNotice, Message, SlackEnvelope, SlackHello

__all__ = [
    "Ack",
    "DisconnectNotice",
    "Message",
    "SlackEnvelope",
    "SlackHello",
    "connection_url",
    "protocol",
    "rotation",
]

OPEN_URL: Final = "https://slack.com/api/apps.connections.open"
_PASSING: Final = {
    "fatal_error",
    "internal_error",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}
_CLOSES: Final = {"warning", "refresh_requested"}

Post = Callable[[str, Mapping[str, str]], Awaitable[str | bytes]] | Callable[[str, Mapping[str, str]], str | bytes]
"""Sends a POST request without a body to a URL, with headers, and returns the body of the answer."""


class _Header(msgspec.Struct):
    type: str


class _Opened(msgspec.Struct):
    ok: bool
    url: str = ""
    error: str = "no reason was given"


_KINDS: Final[Mapping[str, type[Message]]] = {"hello": SlackHello, "disconnect": DisconnectNotice}


def connection_url(post: Post, token: str, *, open_url: str = OPEN_URL) -> Callable[[], Awaitable[str]]:
    """Return the function for ``Client(url=…)`` that asks Slack for the address of each connection.

    `post`: the program's own HTTP function: called with a URL and headers, it returns the body of the answer, and
    raises for an answer without one. `token`: the app-level token, `xapp-…`.
    """

    async def slack_url() -> str:
        answer = post(open_url, {"Authorization": f"Bearer {token}"})
        body: Any = await answer if inspect.isawaitable(answer) else answer
        if not isinstance(body, str | bytes):
            raise UsageError(f"post must return the body of Slack's answer, str or bytes, not {type(body).__name__}")
        opened = msgspec.json.decode(body, type=_Opened)
        if opened.ok:
            return opened.url
        raise URLFailed(f"Slack gave no address: {opened.error}", retryable=opened.error in _PASSING)

    return slack_url


def protocol(*, acknowledge: bool = True) -> Json[Message]:
    """Return the protocol. `acknowledge`: envelopes are acknowledged as they come; False: by the program."""
    made = Json(
        decode=_decode,
        event=_type_of,
        login=Login(ready=_is_hello, refused=_refusal),
        receipt=_ack if acknowledge else None,
    )
    return with_fingerprint(made, __name__, acknowledge)


def rotation(*, overlap: float = 1.0) -> Rotation:
    """Return the rotation for ``Client(rotation=…)``: another connection takes over when Slack announces a close.

    `overlap`: seconds for which both are open.
    """
    return Rotation(identity=_envelope_id, announced=_announces_close, overlap=overlap)


def _decode(frame: str | bytes) -> Message:
    kind: type[Message] = _KINDS.get(msgspec.json.decode(frame, type=_Header).type, SlackEnvelope)
    return msgspec.json.decode(frame, type=kind)


def _type_of(message: Message) -> str | None:
    return message.type if isinstance(message, SlackEnvelope) else None


def _is_hello(message: Message) -> bool:
    return isinstance(message, SlackHello)


def _refusal(message: Message) -> OnesocketError | None:
    if not isinstance(message, DisconnectNotice):
        return None
    if message.reason == "link_disabled":
        return LoginRefused("Slack refused the connection: Socket Mode is off for this app (link_disabled)")
    busy = ServerBusy(f"Slack takes no connection now: {message.reason}", reason=message.reason)
    busy.is_connection_limit = message.reason == "too_many_websockets"
    return busy


def _ack(message: Message) -> Ack | None:
    return message.ack() if isinstance(message, SlackEnvelope) else None


def _envelope_id(message: Message) -> str | None:
    return message.envelope_id if isinstance(message, SlackEnvelope) else None


def _announces_close(message: Message) -> bool:
    return isinstance(message, DisconnectNotice) and message.reason in _CLOSES
