"""Protocol of the owner's client: login, heartbeat and verdicts of the real one, and undecoded messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from ...client._client import Client
from ...errors import DecodeError, InvalidOption, OnesocketError
from ...protocols._protocol import Action, Deliver, Protocol, Ready, ReserveSlot, Undecodable, as_is, implements
from ...protocols._requests import RequestId, Requests
from ...wire._handshake import Data, DialRequest


class ForwardingProtocol(Protocol):
    """Delegates to `inner`, and delivers each message as one frame."""

    name: ClassVar[str] = "forwarding"

    def __init__(self, inner: Protocol) -> None:
        self._inner = inner
        self.name = inner.name  # type: ignore[misc] # reprs and logs show the real one's name
        self.subprotocols = inner.subprotocols
        self.token_place = inner.token_place
        self.pace, self.control_pace = inner.pace, inner.control_pace  # of successors, whose options are made of this
        self.ghost_seconds = inner.ghost_seconds
        self.session_close_code = inner.session_close_code
        self.has_resumed = False
        """True if the login of the last connection that was ready went on with a session: nothing is missing."""
        self.requests = None if inner.requests is None else _requests_of_frames(inner, inner.requests)

    def __repr__(self) -> str:
        return f"<ForwardingProtocol {self._inner!r}>"

    def prepare(self, request: DialRequest, token: str | None) -> DialRequest:
        """As the real one."""
        return self._inner.prepare(request, token)

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        """As the real one."""
        return self._as_frames(self._inner.opened(token, now), None)

    def received(self, data: Data, now: float) -> Iterable[Action]:
        """As the real one, with frames as messages."""
        return self._as_frames(self._inner.received(data, now), data)

    def wake(self, now: float) -> Iterable[Action]:
        """As the real one."""
        return self._as_frames(self._inner.wake(now), None)

    def successor(self) -> ForwardingProtocol:
        """As the real one."""
        return ForwardingProtocol(self._inner.successor())

    def unread(self) -> None:
        """As the real one."""
        self._inner.unread()

    def closing(self, code: int) -> None:
        """As the real one."""
        self._inner.closing(code)

    def lost(self, now: float) -> None:
        """As the real one."""
        self._inner.lost(now)

    @property
    def has_session(self) -> bool:
        """True if the real one can hand its session over."""
        return implements(self._inner, Protocol.session_state, Protocol.resume_session)

    def session_state(self) -> bytes | None:
        """As the real one."""
        return self._inner.session_state()

    def resume_session(self, state: bytes, heard: Iterable[Any]) -> None:
        """As the real one, with frames as messages; those that can't be decoded are left out."""
        messages = decode_all(unpacker(self._inner), list(heard))
        self._inner.resume_session(state, [each for each in messages if not isinstance(each, DecodeError)])

    def space_logins(self, reserve: ReserveSlot) -> None:
        """As the real one, if its logins have to be kept apart."""
        if implements(self._inner, Protocol.space_logins):
            self._inner.space_logins(reserve)

    def encode(self, message: Any) -> Data:
        """Return `message`, which the sending process has encoded."""
        return cast("Data", message)

    def decoder(self) -> Callable[[Data], Any] | None:
        """Forward frames undecoded if each is one message."""
        decode = self._inner.decoder()
        if decode is None or decode == self._inner.frame_decoder():
            return None if decode is None else as_is

        def check(data: Data) -> Data:
            decode(data)  # raises `NoMessage` for a heartbeat
            return data

        return check

    def closed(self, code: int, reason: str) -> OnesocketError:
        """As the real one."""
        return self._inner.closed(code, reason)

    def _as_frames(self, actions: Iterable[Action], frame: Data | None) -> Iterable[Action]:
        plain = self._inner.frame_decoder() is not None
        for action in actions:
            if isinstance(action, Ready):
                self.has_resumed = action.resumed
            if isinstance(action, Deliver | Undecodable) and action.frame is not None:
                yield Deliver(action.frame, action.frame)
            elif not isinstance(action, Deliver):
                yield action
            elif plain and frame is not None:
                yield Deliver(frame)
            else:
                yield Deliver(packer(self._inner)(action.message))


def _requests_of_frames(inner: Protocol, requests: Requests) -> Requests:
    """The same requests, with frames as messages."""
    decode = unpacker(inner)

    def find(frame: Data) -> RequestId | None:
        return requests.find(decode(frame))

    def ends(frame: Data) -> bool:
        return requests.ends(decode(frame))

    def refusal(frame: Data) -> OnesocketError | None:
        return requests.refusal(decode(frame))

    return Requests(
        make_id=requests.make_id,
        id_of=find,
        last=None if requests.last is None else ends,
        refused=None if requests.refused is None else refusal,
    )


def install_forwarding(client: Client) -> Client:
    """Make an unused client deliver undecoded messages."""
    options = client.internals.options
    options.wrap_protocol(ForwardingProtocol, unpacker(options.protocol))
    return client


def packer(protocol: Protocol) -> Callable[[Any], Data]:
    """The protocol's `pack`. Raises `InvalidOption` if it has none."""
    if not implements(protocol, Protocol.pack):
        raise InvalidOption(
            f"the messages of the protocol {protocol.name} are not single frames, so scope='host' needs its "
            "pack(message) -> Data and unpack(Data) -> message; use scope='process' instead"
        )
    return protocol.pack


def unpacker(protocol: Protocol) -> Callable[[Data], Any]:
    """The function that decodes a forwarded message in this process. Raises `InvalidOption` if there is none."""
    decode = protocol.frame_decoder()
    if decode is not None:
        return decode
    packer(protocol)
    if not implements(protocol, Protocol.unpack):
        raise InvalidOption(f"the protocol {protocol.name} has a pack() but no unpack()")
    return protocol.unpack


def decode_all(decode: Callable[[Data], Any], batch: list[Data]) -> list[Any | DecodeError]:
    """Decode a batch; the error of a message takes its place."""
    if decode is as_is:
        return cast("list[Any]", batch)
    messages: list[Any | DecodeError] = []
    for data in batch:
        try:
            messages.append(decode(data))
        except DecodeError as error:
            messages.append(error.with_data(data))
        except Exception as error:  # noqa: BLE001 - a protocol's bug is the fault of one message
            failure = DecodeError(f"the protocol failed on a message: {type(error).__name__}")
            failure.__cause__ = error
            messages.append(failure.with_data(data))
    return messages
