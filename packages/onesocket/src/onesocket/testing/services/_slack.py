"""A fake of Slack's Socket Mode."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Unpack, cast
from urllib.parse import parse_qs, urlsplit

from .._faults import ConnectionLimit, Fault
from .._faulty_connection import FaultyConnection
from ._disorder import DisorderOf
from ._http_api import ApiRequest
from ._ledger import LedgerEntry, VenueEvent
from ._session import VenueSession
from ._venue import Venue, VenueOptions

_OPEN_PATH: Final = "/api/apps.connections.open"
_KEPT_ENVELOPES: Final = 10_000


@dataclass(slots=True)
class Envelope:
    """A payload on its way to an app: sent on one connection, and again on another one if it isn't acknowledged."""

    envelope_id: str
    type: str
    payload: Any
    accepts_response_payload: bool
    attempts: int = 0
    """Number of times it was sent."""
    is_acknowledged: bool = False
    response: Any = None
    """The payload of the acknowledgement."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def message(self, reason: str) -> dict[str, Any]:
        """Return the message that brings the payload."""
        fields: dict[str, Any] = {
            "envelope_id": self.envelope_id,
            "type": self.type,
            "payload": self.payload,
            "accepts_response_payload": self.accepts_response_payload,
        }
        return fields | {"retry_attempt": self.attempts, "retry_reason": reason} if self.attempts else fields


class SlackSession(VenueSession["SlackVenue"]):
    """One connection of an app to a `SlackVenue`. It has no subscriptions: each envelope goes to one connection."""

    def __init__(self, venue: SlackVenue, connection: FaultyConnection, app_id: str) -> None:
        super().__init__(venue, connection)
        self.app_id = app_id

    def opened(self) -> None:
        """Greet, or refuse one connection too many."""
        if not self.sign_in(self.app_id):
            self.disconnect("too_many_websockets")
            self.end()
            return
        self.send(
            {
                "type": "hello",
                "connection_info": {"app_id": self.app_id},
                "num_connections": self.venue.places(self.app_id).taken,
                "debug_info": {"host": "applink", "approximate_connection_time": int(self.venue.lifetime or 0)},
            }
        )
        self.venue.connection_ready.set()

    def received(self, message: Any) -> None:
        """Take an acknowledgement."""
        fields = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        envelope = self.venue.envelopes.get(fields.get("envelope_id", ""))
        if envelope is None:
            self.note(VenueEvent.REFUSED, str(fields.get("envelope_id", "")), "acknowledges no envelope")
            return
        self.note(VenueEvent.REPEATED if envelope.is_acknowledged else VenueEvent.ACKNOWLEDGED, envelope.envelope_id)
        envelope.is_acknowledged = True
        envelope.response = fields.get("payload")
        envelope.settled.set()

    def announce(self) -> None:
        """Warn that the connection is going to end."""
        self.note(VenueEvent.ANNOUNCED)
        self.disconnect("warning")

    def farewell(self) -> None:
        """Tell that the connection ends."""
        self.disconnect("refresh_requested")

    def disconnect(self, reason: str) -> None:
        """Send `disconnect`."""
        self.send({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink"}})


class SlackVenue(Venue[SlackSession]):
    """Slack's Socket Mode: an address for each connection, envelopes that must be acknowledged, connections that end.

    - `tokens`: the app of each app-level token. An app is an account: `account_limit` (default: 10 connections).
    - `ack_timeout`: seconds for the acknowledgement of an envelope, after which it is sent again, on the connection
      whose turn it is, at most `retries` times.
    - `lifetime`, `notice`: a connection gets `disconnect` with the reason `warning` so many seconds before its end, and
      with `refresh_requested` at its end.

    A client asks for an address by POST to `open_url` with its token; `new_url(app)` gives one in a test. An address
    serves one connection. `push({…})` sends an envelope and returns it: `await envelope.settled.wait()`. An envelope
    waits while no connection is open. `disorder` concerns the first time that an envelope is sent.

    ```
    async with SlackVenue() as venue:
        …  # POST venue.open_url with "Authorization: Bearer xapp-token", connect to the "url" of the answer
        envelope = venue.push({"type": "event_callback", "event": {"type": "app_mention"}})
        await envelope.settled.wait()
        assert envelope.is_acknowledged
        await venue.rotate(notice=1.0)
    ```

    Facts: the request with an app-level token in the header, its answer and its errors ("apps.connections.open method",
    https://docs.slack.dev/reference/methods/apps.connections.open/); `hello`, addresses made at run time, up to 10
    connections, `disconnect` with `warning` about 10 s before and `refresh_requested`, and the acknowledgement by
    `envelope_id` ("Using Socket Mode", https://docs.slack.dev/apis/events-api/using-socket-mode/, as cited by others:
    its text could not be read here); `retry_attempt` and `retry_reason` (Slack's Python SDK,
    https://github.com/slackapi/python-slack-sdk/blob/main/slack_sdk/socket_mode/request.py); `too_many_websockets`
    (https://github.com/slackapi/node-slack-sdk/issues/1654).

    Not confirmed: 3 s for an acknowledgement, the number of retries and that they have the same `envelope_id`; that
    connections have envelopes by turns; the close codes; that an address is good for one connection (another one is
    answered with 404 here).
    """

    path = "link/"
    has_api = True
    default_options: ClassVar[VenueOptions] = {
        "account_limit": ConnectionLimit(max_connections=10),
        "lifetime": 18_060.0,
        "notice": 10.0,
    }

    def __init__(
        self,
        *,
        tokens: Mapping[str, str] | None = None,
        ack_timeout: float = 3.0,
        retries: int = 3,
        **options: Unpack[VenueOptions],
    ) -> None:
        super().__init__(**self.with_defaults(options))
        self.tokens = {"xapp-token": "A0"} if tokens is None else dict(tokens)
        self.ack_timeout = ack_timeout
        self.retries = retries
        self.envelopes: dict[str, Envelope] = {}
        """The envelopes, by their ids: those that wait, and the newest 10 000."""
        self.connection_ready = asyncio.Event()
        self._tickets: dict[str, str] = {}
        self._ticket_count = 0
        self._envelope_count = 0
        self._turn = 0

    def new_session(self, connection: FaultyConnection) -> SlackSession:
        """Return the session of a new connection."""
        return SlackSession(self, connection, self._tickets.pop(_ticket(connection)))

    def admit(self, connection: FaultyConnection) -> Fault | None:
        """Accept an address that was given and not used yet."""
        return None if _ticket(connection) in self._tickets else Fault.refuse(404)

    @property
    def open_url(self) -> str:
        """The address of `apps.connections.open`."""
        return self.api_url + _OPEN_PATH

    def new_url(self, app_id: str = "A0") -> str:
        """Return the address of a connection to come."""
        self._ticket_count += 1
        ticket = f"ticket-{self._ticket_count}"
        self._tickets[ticket] = app_id
        return f"{self.url}?ticket={ticket}&app_id={app_id}"

    def answer_http(self, request: ApiRequest) -> tuple[int, Any]:
        """Answer `apps.connections.open`."""
        if request.path != _OPEN_PATH:
            return 404, {"ok": False, "error": "unknown_method"}
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if request.method != "POST":
            return 200, {"ok": False, "error": "insecure_request"}
        if scheme != "Bearer" or not token:
            return 200, {"ok": False, "error": "not_authed"}
        if token not in self.tokens:
            return 200, {"ok": False, "error": "invalid_auth"}
        return 200, {"ok": True, "url": self.new_url(self.tokens[token])}

    def push(self, payload: Any, *, type: str = "events_api", accepts_response_payload: bool = False) -> Envelope:  # noqa: A002 - Slack's name
        """Send a payload, and send it again until it is acknowledged."""
        self._envelope_count += 1
        envelope = Envelope(f"envelope-{self._envelope_count}", type, payload, accepts_response_payload)
        self.envelopes[envelope.envelope_id] = envelope
        while len(self.envelopes) > _KEPT_ENVELOPES and next(iter(self.envelopes.values())).settled.is_set():
            del self.envelopes[next(iter(self.envelopes))]
        self.start_task(self._carry(envelope, self.next_disorder()))
        return envelope

    async def _carry(self, envelope: Envelope, disorder_of: DisorderOf) -> None:
        while envelope.attempts <= self.retries and not envelope.is_acknowledged:
            session = await self._next_session()
            disorder = disorder_of(session, envelope.envelope_id) if envelope.attempts == 0 else None
            session.deliver(envelope.envelope_id, envelope.message("timeout"), disorder)
            envelope.attempts += 1
            try:
                async with asyncio.timeout(self.ack_timeout):
                    await envelope.settled.wait()
            except TimeoutError:
                continue
        if not envelope.is_acknowledged:
            self.ledger.note(LedgerEntry(self.time(), 0, VenueEvent.UNANSWERED, envelope.envelope_id))
            envelope.settled.set()

    async def _next_session(self) -> SlackSession:
        while True:
            ready = [each for each in self.sessions if each.account is not None and each.connection.can_send]
            if ready:
                self._turn += 1
                return ready[self._turn % len(ready)]
            self.connection_ready.clear()
            await self.connection_ready.wait()


def _ticket(connection: FaultyConnection) -> str:
    return parse_qs(urlsplit(connection.request_path).query).get("ticket", [""])[0]
