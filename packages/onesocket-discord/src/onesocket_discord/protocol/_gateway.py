"""Discord's gateway v10: one session over any number of connections. Sans-IO; time and chance are arguments."""

from __future__ import annotations

import dataclasses
import enum
import functools
import random
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, cast

import msgspec

from onesocket.errors import DecodeError, EncodeError, OnesocketError, PingTimeout
from onesocket.protocols._fingerprint import comparable_form, digest, name_of
from onesocket.protocols._protocol import Action, Deliver, Extend, Fail, Protocol, Ready, ReserveSlot, Send, WakeAt
from onesocket.urls import with_query
from onesocket.wire._handshake import Data, DialRequest

from ._close_codes import FATAL, NEEDS_NEW_SESSION, close_error
from ._decompression import Compress, Decompressor, checked_compress, make_decompressor
from ._errors import DecompressionBomb, DecompressionFailed, ReconnectAsked, SessionInvalid
from ._heartbeat import Heartbeat
from ._identification import Identification
from ._identify_scheduler import IdentifyScheduler, ImmediateIdentify
from ._limits import API_VERSION, INVALID_SESSION_WAIT, RESUMABLE_CLOSE_CODE
from ._opcodes import RESERVED_OPCODES, Opcode
from ._payload import (
    Dispatch,
    Envelope,
    encode_command,
    encode_payload,
    pack_dispatch,
    read_body,
    read_envelope,
    unpack_dispatch,
)
from ._redaction import redact_payload
from ._send_window import GatewaySendWindow
from ._sequence import Sequence
from ._session import Session
from ._session_transfer import SessionTransfer

_DISPATCH: Final = int(Opcode.DISPATCH)  # compared for every message


class _Login(enum.Enum):
    """The state of a connection's login."""

    PENDING = enum.auto()
    """Neither READY nor a Resume yet: before HELLO, before the Identify slot, or identifying."""
    RESUMING = enum.auto()
    READY = enum.auto()


class _Intake(enum.Enum):
    """The messages of a connection that are handled."""

    ALL = enum.auto()
    DISPATCHES = enum.auto()
    """The protocol has failed the connection; events that arrive until its end are delivered."""
    NOTHING = enum.auto()
    """The compressed stream is broken."""


class _Hello(msgspec.Struct):
    heartbeat_interval: float
    """Milliseconds."""


class _ReadySession(msgspec.Struct):
    """The fields of READY that the protocol uses."""

    session_id: str | None = None
    resume_gateway_url: str | None = None


class DiscordGateway(Protocol[Dispatch]):
    """The client's side of the gateway.

    Parameters:
        identification: The fields of Identify besides the token.
        compress: The transport compression to ask for.
        max_size: Bytes of one payload once decompressed; None: no limit.
        scheduler: Assigns identify slots; without one, Identify is sent at once.
        chance: For the first heartbeat and the wait after a refused session.
    """

    name: ClassVar[str] = "discord"
    session_close_code = RESUMABLE_CLOSE_CODE

    def __init__(
        self,
        identification: Identification,
        *,
        compress: str | None = None,
        max_size: int | None = None,
        scheduler: IdentifyScheduler | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.identification = identification
        self.compress: Compress | None = checked_compress(compress)
        self.max_size = max_size
        self.token_place = None  # the token is sent in Identify and Resume alone
        self.pace = self._pace = GatewaySendWindow()
        self.url: str | None = None
        """The gateway's address, where sessions begin; None: that of the request."""
        self.url_failed = False
        """True if the last connection to it ended before HELLO."""
        self.session: Session | None = None
        self.ready: Dispatch | None = None
        """The newest READY."""
        self._scheduler = ImmediateIdentify() if scheduler is None else scheduler
        self._chance = random.Random() if chance is None else chance
        self._sequence = Sequence()
        self._dialled: str | None = None
        self._avoid_resume_url = False
        self._transfer = SessionTransfer(identification.fixed)
        self._reset_connection(None)

    def __repr__(self) -> str:
        session = "no session" if self.session is None else f"sequence={self._sequence.last}"
        return f"<DiscordGateway {session} pace={self._pace!r}>"

    def _reset_connection(self, token: str | None) -> None:
        self._token = token
        self._heartbeat: Heartbeat | None = None  # from HELLO on
        self._decompressor: Decompressor | None = make_decompressor(self.compress, self.max_size)
        self._identify_at: float | None = None
        self._login = _Login.PENDING
        self._intake = _Intake.ALL
        self._pace.begin()

    @functools.cached_property
    def fingerprint(self) -> str:
        """The fields of Identify besides the token, and the compression."""
        return digest((name_of(type(self)), comparable_form(self.identification.body(""), []), self.compress))

    @property
    def latency(self) -> float | None:
        """Seconds from the last acknowledged heartbeat of this connection to its ACK."""
        return None if self._heartbeat is None else self._heartbeat.latency

    def forget_session(self) -> None:
        """Forget the session: the next login begins a new one."""
        self.session = None

    # --- connections ------------------------------------------------------------------------------------------------

    def prepare(self, request: DialRequest, token: str | None) -> DialRequest:
        """Dial the resume address of the session, or else the gateway, with the protocol's query."""
        self.take_up_session(token)
        url = self.url or request.url
        session = self.session
        if session is not None and session.resume_url is not None and not self._avoid_resume_url:
            url = session.resume_url
        self._dialled = url
        url = with_query(with_query(url, "v", str(API_VERSION)), "encoding", "json")
        if self.compress is not None:
            url = with_query(url, "compress", self.compress)
        return dataclasses.replace(request, url=url)

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        """The server speaks first: HELLO, or op 7 at once."""
        del now
        self._reset_connection(token)
        return ()

    def closing(self, code: int) -> None:
        """Forget the session, unless this code lets it be resumed."""
        if code < RESUMABLE_CLOSE_CODE:
            self.session = None

    def closed(self, code: int, reason: str) -> OnesocketError:
        """Return the error for the gateway's close code, and forget the session where the code ends it."""
        if code in NEEDS_NEW_SESSION or code in FATAL:
            self.session = None
        return close_error(code, reason)

    def lost(self, now: float) -> None:
        """Release the identify slot, and choose the next address: the connection is lost."""
        del now
        if self._identify_at is not None:
            self._scheduler.release()
        if self._dialled is not None:
            resumed = self.session is not None and self._dialled == self.session.resume_url
            # Without HELLO: an outage looks the same, so the session is kept, and tried at both addresses in turn.
            self._avoid_resume_url = resumed and self._heartbeat is None
            self.url_failed = not resumed and self._heartbeat is None
        self._dialled = None
        self._reset_connection(None)

    # --- sessions of other hosts --------------------------------------------------------------------------------------

    def session_state(self) -> bytes | None:
        """As `Protocol.session_state`: the session with its last number, and the identifies that were used up."""
        return self._transfer.state(self.url, self.session, self._scheduler.spent())

    def resume_session(self, state: bytes, heard: Iterable[Any]) -> None:
        """As `Protocol.resume_session`: with the next login, if that is by the same token."""
        self._transfer.expect(state, heard)

    def take_up_session(self, token: str | None) -> None:
        """Take over what `resume_session` brought, if it is of this token."""
        taken = self._transfer.take(token)
        if taken is None:
            return
        state, session = taken
        if state.spent is not None:
            self._scheduler.restore(state.spent)
        self.url = self.url or state.url
        if session is not None:
            self.session, self._sequence = session, session.sequence

    def space_logins(self, reserve: ReserveSlot) -> None:
        """As `Protocol.space_logins`: Identifies of one token, in each bucket."""
        self._scheduler.share(reserve)

    # --- receiving --------------------------------------------------------------------------------------------------

    def received(self, data: Data, now: float) -> Iterable[Action]:
        """Handle one message. Raises `DecodeError` for an unreadable payload; before READY it fails instead."""
        if self._intake is _Intake.NOTHING:
            return ()
        try:
            if self._decompressor is not None and isinstance(data, bytes):
                payload = self._decompressor.feed(data)
                if payload is None:
                    return ()
                data = payload
            envelope = read_envelope(data)
            if envelope.op == _DISPATCH:
                return self._dispatch(envelope)
            return self._control(envelope, now) if self._intake is _Intake.ALL else ()
        except DecompressionFailed as error:
            if isinstance(error, DecompressionBomb) or self._login is not _Login.READY:
                self.session = None  # a replay would repeat it
            actions = self._fail(error)
            self._intake = _Intake.NOTHING
            return actions
        except DecodeError as error:
            if self._login is _Login.READY or self._intake is not _Intake.ALL:
                raise
            self.session = None  # see above
            return self._fail(error)

    def _control(self, envelope: Envelope, now: float) -> Iterable[Action]:
        match envelope.op:
            case Opcode.HELLO:
                return self._hello(read_body(envelope.d, _Hello, "HELLO"), now)
            case Opcode.HEARTBEAT_ACK:
                if self._heartbeat is not None:
                    self._heartbeat.answered(now)
            case Opcode.HEARTBEAT:
                # Over the send limit the gateway would close with 4008.
                return () if self._pace.is_full(now) else (self._beat(now),)
            case Opcode.RECONNECT:
                return self._fail(ReconnectAsked("the gateway asked for a reconnect and resume (op 7)"))
            case Opcode.INVALID_SESSION:
                return self._invalid_session(resumable=read_body(envelope.d, object, "op 9") is True)
            case _:
                pass  # an opcode of a later version
        return ()

    def _hello(self, hello: _Hello, now: float) -> Iterable[Action]:
        if self._heartbeat is not None:
            return ()
        self._heartbeat = Heartbeat(hello.heartbeat_interval / 1000, self._chance.random(), now)
        self._pace.reserve_heartbeats(self._heartbeat.interval)
        if self.session is not None:
            return (self._resume(self.session, now), self._wake_next())
        self._sequence = Sequence()  # heartbeats must not carry numbers of an ended session
        try:
            self._identify_at = self._scheduler.reserve(now)
        except OnesocketError as error:
            return self._fail(error)
        if self._identify_at <= now:
            return (self._identify(now), self._wake_next())
        return (Extend(self._identify_at - now), self._wake_next())

    def _invalid_session(self, *, resumable: bool) -> Iterable[Action]:
        if resumable and self.session is not None:
            return self._fail(SessionInvalid("the gateway asked for a resume on a new connection (op 9)"))
        self.session = None
        error = SessionInvalid("the gateway refused the session (op 9): the next login begins a new one")
        error.retry_after = self._chance.uniform(*INVALID_SESSION_WAIT)
        # After an outage the session may be gone. A refused Identify counts against the day's limit: that backs off.
        error.backs_off = self._login is not _Login.RESUMING
        return self._fail(error)

    def _dispatch(self, envelope: Envelope) -> Iterable[Action]:
        event, number = envelope.t, envelope.s
        if event == "READY":
            return self._session_begun(Dispatch(event, number, envelope.d), envelope)
        is_new = number is None or self._sequence.is_new(number)
        if event is None:
            raise DecodeError("a dispatch without a name came (t is null)")
        if event == "RESUMED" and self._login is _Login.RESUMING:
            self._login = _Login.READY
            whole, self._sequence.has_lost = not self._sequence.has_lost, False
            return (Ready(resumed=whole), Deliver(Dispatch(event, number, envelope.d)))
        return (Deliver(Dispatch(event, number, envelope.d)),) if is_new else ()

    def _session_begun(self, ready: Dispatch, envelope: Envelope) -> Iterable[Action]:
        core: _ReadySession = read_body(envelope.d, _ReadySession, "READY")
        if self._login is _Login.READY and self.session is not None and self.session.id == core.session_id:
            return ()  # a duplicate
        if self._login is not _Login.PENDING:
            self._sequence = Sequence()  # of another session than this connection's login
        if ready.sequence is not None:
            self._sequence.begin(ready.sequence)
        url = self._dialled or ""
        self.session = Session.from_ready(core.session_id, core.resume_gateway_url, url, self._sequence)
        self.ready = ready
        self._login = _Login.READY
        return (Ready(), Deliver(ready))

    # --- sending ----------------------------------------------------------------------------------------------------

    def wake(self, now: float) -> Iterable[Action]:
        """Send what is due: a heartbeat, or the Identify of the reserved slot."""
        heartbeat = self._heartbeat
        if heartbeat is None or self._intake is not _Intake.ALL:
            return ()
        actions: list[Action] = []
        if heartbeat.due <= now:
            if heartbeat.is_timed_out(now):
                text = f"no answer to a heartbeat within {heartbeat.interval:g} s: the connection is open, but dead"
                return self._fail(PingTimeout(text), dead=True)
            actions.append(self._beat(now))
            heartbeat.beat(now)
        if self._identify_at is not None and self._identify_at <= now:
            self._identify_at = self._scheduler.turn(now)
            is_due = self._identify_at <= now
            actions.append(self._identify(now) if is_due else Extend(self._identify_at - now))
        actions.append(self._wake_next())
        return actions

    def unread(self) -> None:
        """Excuse a missing ACK: it may be behind messages that are not read yet."""
        if self._heartbeat is not None:
            self._heartbeat.excused = True

    def encode(self, message: Any) -> Data:
        """Encode a payload of the application: a mapping with `op` and `d`. Raises `EncodeError`, `PayloadTooBig`."""
        if not isinstance(message, Mapping):
            raise EncodeError(f"a payload is a mapping with 'op' and 'd', not {type(message).__name__}")
        opcode: object = cast("Mapping[str, object]", message).get("op")
        if not isinstance(opcode, int) or isinstance(opcode, bool):
            raise EncodeError(f"a payload's 'op' is a number, not {type(opcode).__name__}")
        if opcode in RESERVED_OPCODES:
            raise EncodeError(f"op {opcode} ({Opcode(opcode).name}) is sent by the client itself")
        return encode_payload(cast("Any", message))

    def event_of(self, message: Any) -> str | None:
        """The name of a dispatch's event."""
        return message.event if isinstance(message, Dispatch) else None

    def redact(self, data: Data, *, outgoing: bool) -> Data | None:
        """Return the payload without tokens and session ids; None: it is compressed."""
        del outgoing
        return redact_payload(data)

    def pack(self, message: Dispatch) -> Data:
        """Encode a dispatch for another process of this machine."""
        return pack_dispatch(message)

    def unpack(self, data: Data) -> Dispatch:
        """Decode a packed dispatch. Raises `DecodeError`."""
        return unpack_dispatch(data)

    def _identify(self, now: float) -> Send:
        self._identify_at = None
        self._scheduler.sent(now)
        self._sequence = Sequence()
        return self._send(Opcode.IDENTIFY, self.identification.body(self._token or ""), now)

    def _resume(self, session: Session, now: float) -> Send:
        self._login = _Login.RESUMING
        body = {"token": self._token or "", "session_id": session.id, "seq": session.sequence.resume()}
        return self._send(Opcode.RESUME, body, now)

    def _beat(self, now: float) -> Send:
        return self._send(Opcode.HEARTBEAT, self._sequence.last, now)

    def _send(self, opcode: Opcode, body: Any, now: float) -> Send:
        self._pace.record(now)
        return Send(encode_command(opcode, body))

    def _wake_next(self) -> WakeAt:
        times = [self._identify_at, None if self._heartbeat is None else self._heartbeat.due]
        return WakeAt(min((time for time in times if time is not None), default=None))

    def _fail(self, error: OnesocketError, *, dead: bool = False) -> Iterable[Action]:
        self._intake = _Intake.DISPATCHES
        return (Fail(error, RESUMABLE_CLOSE_CODE, "", dead),)
