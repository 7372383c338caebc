"""A fake of Home Assistant's WebSocket API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Unpack, cast

from .._faulty_connection import FaultyConnection
from ._ledger import VenueEvent
from ._streams import ALL, StreamSession
from ._venue import Venue, VenueOptions

CommandAnswer = Callable[[dict[str, Any]], Any]
"""Called with the client's message; returns the result. A ValueError is answered as an error with its text."""

_VERSION: Final = "2026.11.0"


class HomeAssistantSession(StreamSession["HomeAssistantVenue"]):
    """One connection to a `HomeAssistantVenue`. Its keys are event types; `*` is a subscription to all events."""

    def __init__(self, venue: HomeAssistantVenue, connection: FaultyConnection) -> None:
        super().__init__(venue, connection)
        self.last_id = 0
        """The highest id of a command so far."""
        self.coalesces = False
        """The client takes several messages in one array."""

    def opened(self) -> None:
        """Ask for the token."""
        self.send({"type": "auth_required", "ha_version": _VERSION})
        self.after(self.venue.auth_timeout, self._time_out)

    def received(self, message: Any) -> None:
        """Take the token, then commands."""
        if isinstance(message, list) and self.account is not None:
            for each in cast("Sequence[Any]", message):
                self.received(each)
            return
        fields = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        if self.account is None:
            self._authenticate(fields)
        else:
            self._command(fields)

    def malformed(self, error: str) -> None:
        """End the connection, as the service does without a message."""
        self.note(VenueEvent.REFUSED, "", error)
        self.end()

    def render(self, subscription: Any, data: Any) -> Any:
        """Return the event for one stream."""
        return {"id": subscription, "type": "event", "event": data}

    def _time_out(self) -> None:
        if self.account is None:
            self.note(VenueEvent.LIMIT_EXCEEDED, "auth_timeout")
            self.end()

    def _authenticate(self, fields: dict[str, Any]) -> None:
        account = self.venue.tokens.get(fields.get("access_token", ""))
        if fields.get("type") != "auth":
            self._reject("Auth message incorrectly formatted")
        elif account is None or not self.sign_in(account):
            self._reject("Invalid access token or password")
        else:
            self.send({"type": "auth_ok", "ha_version": _VERSION})

    def _reject(self, text: str) -> None:
        self.refuse({"type": "auth_invalid", "message": text}, reason=text)
        self.end()

    def _result(self, ident: int, result: Any = None) -> None:
        self.send({"id": ident, "type": "result", "success": True, "result": result})

    def _fail(self, ident: Any, code: str, text: str, key: str = "") -> None:
        error = {"code": code, "message": text}
        self.refuse({"id": ident, "type": "result", "success": False, "error": error}, key=key, reason=text)

    def _command(self, fields: dict[str, Any]) -> None:
        ident, kind = fields.get("id"), fields.get("type")
        if not isinstance(ident, int) or isinstance(ident, bool) or ident < 0 or not isinstance(kind, str):
            self._fail(ident, "invalid_format", "Message incorrectly formatted.")
        elif ident <= self.last_id:
            self._fail(ident, "id_reuse", "Identifier values have to increase.")
        elif kind not in _COMMANDS and kind not in self.venue.commands:
            self._fail(ident, "unknown_command", "Unknown command.", kind)
        else:
            self.last_id = ident
            if kind in self.venue.commands:
                self._custom(ident, self.venue.commands[kind], fields)
            else:
                _COMMANDS[kind](self, ident, fields)

    def _custom(self, ident: int, command: CommandAnswer, fields: dict[str, Any]) -> None:
        try:
            result = command(fields)
        except ValueError as error:
            self._fail(ident, "home_assistant_error", str(error), fields["type"])
        else:
            self._result(ident, result)

    def ping(self, ident: int, _: dict[str, Any]) -> None:
        """Answer `ping`."""
        self.send({"id": ident, "type": "pong"})

    def enable_features(self, ident: int, fields: dict[str, Any]) -> None:
        """Answer `supported_features`."""
        features = fields.get("features")
        self.coalesces = isinstance(features, dict) and bool(cast("dict[str, Any]", features).get("coalesce_messages"))
        self._result(ident)

    def subscribe_events(self, ident: int, fields: dict[str, Any]) -> None:
        """Answer `subscribe_events`."""
        event_type = fields.get("event_type", ALL)
        if not isinstance(event_type, str):
            self._fail(ident, "invalid_format", "expected str for dictionary value @ data['event_type']")
        elif event_type in self.venue.refused:
            self._fail(ident, "unauthorized", "Unauthorized", event_type)
        else:
            self.open_stream(ident, event_type)
            self._result(ident)

    def unsubscribe_events(self, ident: int, fields: dict[str, Any]) -> None:
        """Answer `unsubscribe_events`."""
        if self.close_stream(fields.get("subscription")) is None:
            self.note(VenueEvent.REPEATED, str(fields.get("subscription")))
            self._fail(ident, "not_found", "Subscription not found.")
        else:
            self._result(ident)

    def fire_event(self, ident: int, fields: dict[str, Any]) -> None:
        """Answer `fire_event`, and send the event to all who want it."""
        event_type = fields.get("event_type")
        if not isinstance(event_type, str):
            self._fail(ident, "invalid_format", "required key not provided @ data['event_type']")
            return
        self._result(ident, {"context": _context()})
        self.venue.push(event_type, fields.get("event_data", {}), origin="REMOTE")

    def get_states(self, ident: int, _: dict[str, Any]) -> None:
        """Answer `get_states`."""
        self._result(ident, self.venue.states)

    def call_service(self, ident: int, _: dict[str, Any]) -> None:
        """Answer `call_service`."""
        self._result(ident, {"context": _context(), "response": None})


_COMMANDS: Final[dict[str, Callable[[HomeAssistantSession, int, dict[str, Any]], None]]] = {
    "ping": HomeAssistantSession.ping,
    "supported_features": HomeAssistantSession.enable_features,
    "subscribe_events": HomeAssistantSession.subscribe_events,
    "unsubscribe_events": HomeAssistantSession.unsubscribe_events,
    "fire_event": HomeAssistantSession.fire_event,
    "get_states": HomeAssistantSession.get_states,
    "call_service": HomeAssistantSession.call_service,
}


class HomeAssistantVenue(Venue[HomeAssistantSession]):
    """Home Assistant's WebSocket API: login by message, ids that must increase, results, events.

    - `tokens`: the account of each access token.
    - `auth_timeout`: seconds for the login, after which the connection is closed without a message.
    - `states`: the answer to `get_states`.
    - `commands`: answers to further commands, by their types; they come before those that the venue knows: `ping`,
      `supported_features`, `subscribe_events`, `unsubscribe_events`, `fire_event`, `get_states`, `call_service`.
    - `refused`: event types whose subscription is refused (`unauthorized`).

    `push("state_changed", {…})` sends an event; a client that coalesces gets those of one push in one array.

    Facts: the phases, messages, results and errors of "WebSocket API"
    (https://developers.home-assistant.io/docs/api/websocket), coalesced messages among them; from the program's own
    source (https://github.com/home-assistant/core/tree/dev/homeassistant/components/websocket_api): 10 s for the login,
    the codes `id_reuse`, `unknown_command`, `invalid_format`, `not_found`, `unauthorized`, `home_assistant_error` with
    the texts of the first three, `auth_invalid` and the end for a wrong token, arrays of commands, and that a command
    that is refused doesn't count as the last id.

    Not confirmed: the close code (here 1000); the text for a subscription that isn't there. Not faked: triggers,
    `subscribe_entities`, the registries, the peak of messages at which a slow client is dropped.
    """

    path = "api/websocket"

    def __init__(
        self,
        *,
        tokens: Mapping[str, str] | None = None,
        auth_timeout: float = 10.0,
        states: list[Any] | None = None,
        commands: Mapping[str, CommandAnswer] | None = None,
        **options: Unpack[VenueOptions],
    ) -> None:
        super().__init__(**self.with_defaults(options))
        self.tokens = {"token": "user"} if tokens is None else dict(tokens)
        self.auth_timeout = auth_timeout
        self.states = [] if states is None else states
        self.commands = {} if commands is None else dict(commands)

    def new_session(self, connection: FaultyConnection) -> HomeAssistantSession:
        """Return the session of a new connection."""
        return HomeAssistantSession(self, connection)

    def push(self, event_type: str, *events: Any, origin: str = "LOCAL") -> int:
        """Send events of one type, each given by its data; return the number of connections that want them."""
        disorder_of = self.next_disorder()
        fields = {"event_type": event_type, "origin": origin, "time_fired": datetime.now(UTC), "context": _context()}
        reached = 0
        for session in self.sessions:
            streams = list(session.matching(event_type))
            messages = [session.render(ident, fields | {"data": data}) for data in events for ident in streams]
            reached += bool(messages)
            for message in [messages] if session.coalesces and len(messages) > 1 else messages:
                session.deliver(event_type, message, disorder_of(session, event_type))
        return reached


def _context() -> dict[str, Any]:
    return {"id": "0" * 32, "parent_id": None, "user_id": None}
