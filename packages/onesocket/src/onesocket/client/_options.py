"""The options of a client, checked once, when it is made."""

from __future__ import annotations

import ipaddress
import math
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ..errors import InvalidOption, InvalidURL, TokenFailed
from ..lifecycle._outbox import OutboxLimits
from ..lifecycle._retry import ReconnectPolicy
from ..protocols._codec_options import check_subprotocols
from ..protocols._pace import Pace, check_pace, make_limiter
from ..protocols._plain_function import is_plain_function
from ..protocols._protocol import Protocol
from ..protocols._rate_limiter import RateLimiter
from ..protocols._raw import Raw
from ..protocols._token import TokenHeader, TokenPlace
from ..transports._proxy import ProxyOption, check_proxy
from ..transports._transport import Transport
from ..urls import CLIENT_SCHEMES, Address, parse_url, redact
from ..wire._handshake import ByteCounts
from ..wire._header_fields import is_header_value, is_token
from ._instruments import Instruments, check_instruments
from ._token_source import TokenSource, takes_refusal

if TYPE_CHECKING:
    from ..recording._recorder import FlightRecorder
    from ..recording._tap import ClientTap
    from ._durable_outbox import DurableOutbox
    from ._rotation import Rotation

T = TypeVar("T")

Token = str | TokenSource
URLSource = Callable[[], Awaitable[str]] | Callable[[], str]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]

# Ours to write: RFC 6455, section 4.1.
_HANDSHAKE_HEADERS = frozenset({"upgrade", "connection", "content-length", "transfer-encoding"})


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Options:
    """Checked options, which nothing but `wrap_protocol` changes; `Client` describes them."""

    address: Address | None
    """None: `url_source` gives one for each attempt."""
    url_source: URLSource | None
    token: Token | None
    protocol: Protocol
    transport: Transport
    headers: tuple[tuple[str, str], ...]
    subprotocols: tuple[str, ...]
    ssl: ssl_module.SSLContext | None
    proxy: ProxyOption
    server_hostname: str | None
    local_address: str | None
    open_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float
    max_size: int | None
    reconnect: ReconnectPolicy | None
    outbox: OutboxLimits
    durable_outbox: DurableOutbox | None
    pace: Pace | None
    control_pace: Pace | None
    silence_timeout: float | None
    silence_of: Callable[[Any], bool] | None
    limiter: RateLimiter | None
    """Keeps the pace of the client or its protocol; None: there is none."""
    instruments: tuple[Instruments, ...] = ()
    byte_counts: ByteCounts | None = None
    """None: no instruments ask for them."""
    recorder: FlightRecorder | None = None
    rotation: Rotation | None = None
    tap: ClientTap | None = None
    """The client's part of the recorder."""

    @classmethod
    def check(cls, url: str | URLSource, **given: Any) -> Options:
        """Options made of the arguments of `Client`; raises `InvalidURL`, `InvalidOption` or `TokenFailed`."""
        address = None if callable(url) else parse_url(url, schemes=CLIENT_SCHEMES)
        token, transport = given["token"], given["transport"]
        if isinstance(token, str):
            check_token(token)
        elif token is not None and not callable(token):
            raise InvalidOption(f"token must be a str or a callable, not {type(token).__name__}")
        elif token is not None:
            takes_refusal(token)
        if not callable(getattr(transport, "dial", None)):
            raise InvalidOption(f"transport must have a dial() (onesocket.transports.Transport), not be {transport!r}")
        ping_interval, silence_timeout = given["ping_interval"], given["silence_timeout"]
        protocol, headers = check_protocol(given["protocol"]), check_headers(given["headers"])
        if isinstance(token, str):
            _check_token_place(protocol.token_place, headers)
        outbox = check_outbox(given["outbox"])
        instruments, recorder = check_instruments(given["instruments"]), _check_recorder(given["recorder"])
        return cls(
            address=address,
            url_source=url if callable(url) else None,
            token=cast("Token | None", token),
            protocol=protocol,
            transport=transport,
            headers=headers,
            subprotocols=check_subprotocols(given["subprotocols"]),
            ssl=check_ssl(given["ssl"], address),
            proxy=check_proxy(given["proxy"], address),
            server_hostname=check_server_hostname(given["server_hostname"], address),
            local_address=check_local_address(given["local_address"], address),
            open_timeout=check_seconds("open_timeout", given["open_timeout"]),
            close_timeout=check_seconds("close_timeout", given["close_timeout"]),
            ping_interval=None if ping_interval is None else check_seconds("ping_interval", ping_interval),
            ping_timeout=check_seconds("ping_timeout", given["ping_timeout"]),
            max_size=check_size("max_size", given["max_size"]),
            reconnect=_check_instance("reconnect", given["reconnect"], ReconnectPolicy),
            outbox=outbox if isinstance(outbox, OutboxLimits) else OutboxLimits(),
            durable_outbox=None if isinstance(outbox, OutboxLimits) else outbox,
            pace=check_pace("pace", given["pace"]),
            control_pace=check_pace("control_pace", given["control_pace"]),
            silence_timeout=None if silence_timeout is None else check_seconds("silence_timeout", silence_timeout),
            silence_of=_check_silence_of(given["silence_of"], silence_timeout),
            limiter=_choose_limiter(protocol, given["pace"], given["control_pace"]),
            instruments=instruments,
            byte_counts=ByteCounts() if instruments else None,
            recorder=recorder,
            rotation=_check_rotation(given["rotation"], protocol),
            tap=None if recorder is None else recorder.tap(protocol),
        )

    def check_address(self, address: Address) -> Address:
        """Return this address of `url_source`; raises `InvalidOption` where another option doesn't fit it."""
        check_ssl(self.ssl, address)
        check_proxy(self.proxy, address)
        check_server_hostname(self.server_hostname, address)
        check_local_address(self.local_address, address)
        return address

    def wrap_protocol(self, wrap: Callable[[Protocol], Protocol], decode: Callable[[Any], Any]) -> None:
        """Put another protocol around this one, before the client is used; `decode` makes messages of its messages."""
        self.protocol = wrap(self.protocol)
        names = self.silence_of
        if names is not None:

            def names_encoded(message: Any) -> bool:
                return names(decode(message))

            self.silence_of = names_encoded

        if self.rotation is not None:
            self.rotation = self.rotation.wrap(decode)

    def for_successor(self) -> Options:
        """The options of a connection beside the present one, with a protocol and a pace of its own."""
        protocol = self.protocol.successor()
        return replace(self, protocol=protocol, limiter=_choose_limiter(protocol, self.pace, self.control_pace))

    @property
    def shown_url(self) -> str:
        """The URL without its secrets, or the function that gives one, for messages."""
        if self.address is not None:
            return redact(self.address.url)
        return f"<the URL of {getattr(self.url_source, '__name__', type(self.url_source).__name__)}()>"

    def __repr__(self) -> str:
        return f"<Options {self.shown_url} protocol={self.protocol!r} transport={self.transport.name}>"


_UNKNOWN_POLICY: Final = ReconnectPolicy()


def check_retry(value: object, reconnect: ReconnectPolicy | None = _UNKNOWN_POLICY) -> bool | None:
    """`retry` of a `connect()` whose client has this policy; raises `InvalidOption`."""
    if value is not None and not isinstance(value, bool):
        raise InvalidOption(f"retry must be True, False or None, not {value!r}")
    if value and reconnect is None:
        raise InvalidOption("retry=True needs a policy to go by, and this client has reconnect=None")
    return value


# Arguments of callers are `object` here: callers may not use a type checker.


def check_seconds(name: str, value: object) -> float:
    """`value` as a finite number of seconds above zero; raises `InvalidOption`."""
    # A union would be built for each value.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise InvalidOption(f"{name} must be a finite number of seconds above 0, not {value!r}")
    return float(value)


def check_flag(name: str, value: object) -> bool:
    """`value`, which must be True or False; raises `InvalidOption`."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} must be True or False, not {value!r}")
    return value


def check_timeout(value: object) -> float | None:
    """`value` as the time-out of a call: seconds, 0 or more, or None; raises `InvalidOption`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidOption(f"timeout must be a number of seconds, 0 or more, or None, not {value!r}")
    return value


def check_size(name: str, value: object) -> int | None:
    """`value` as a number of bytes above zero, or None; raises `InvalidOption`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise InvalidOption(f"{name} must be a number of bytes above 0, or None for no limit, not {value!r}")
    return value


def check_protocol(value: Any) -> Protocol:
    """`value` as a protocol, by default `Raw()`; raises `InvalidOption`."""
    protocol: Protocol = value
    if value is None:
        return Raw()
    if not isinstance(value, Protocol):
        raise InvalidOption(f"protocol must be a Protocol, such as Json() (an instance), not {value!r}")
    return protocol


def _choose_limiter(protocol: Protocol, pace: Pace | None, control_pace: Pace | None) -> RateLimiter | None:
    if pace is None and control_pace is None:
        return make_limiter(protocol.pace, protocol.control_pace)
    if protocol.pace is not None or protocol.control_pace is not None:
        kind = type(protocol).__name__
        raise InvalidOption(f"the protocol {kind} has a pace of its own: give both paces to it, or both to the client")
    return make_limiter(pace, control_pace)


def _check_recorder(value: object) -> FlightRecorder | None:
    if value is None:
        return None
    from ..recording._recorder import check_recorder  # noqa: PLC0415 - msgspec and more: 20 ms of most programs

    return check_recorder(value)


def _check_rotation(value: object, protocol: Protocol) -> Rotation | None:
    if value is None:
        return None
    from ._rotation import check_rotation  # noqa: PLC0415 - most programs have none

    return check_rotation(value, protocol)


def _check_silence_of(value: object, silence_timeout: object) -> Callable[[Any], bool] | None:
    if value is None:
        return None
    if not is_plain_function(value):
        raise InvalidOption(f"silence_of must be a plain function of a message that returns a bool, not {value!r}")
    if silence_timeout is None:
        raise InvalidOption("silence_of has no effect without silence_timeout")
    return cast("Callable[[Any], bool]", value)


def _check_instance(name: str, value: object, kind: type[T]) -> T | None:
    if value is not None and not isinstance(value, kind):
        raise InvalidOption(f"{name} must be a {kind.__name__} (an instance) or None, not {value!r}")
    return value


def _check_token_place(place: TokenPlace | None, headers: tuple[tuple[str, str], ...]) -> None:
    """Raises `InvalidOption` where a fixed token would replace a header that was given."""
    if isinstance(place, TokenHeader) and any(name.lower() == place.name.lower() for name, _ in headers):
        raise InvalidOption(
            f"token= goes into the header {place.name}, which headers= has, too: give one of them, or choose another "
            "token_place="
        )


def check_outbox(value: object) -> OutboxLimits | DurableOutbox:
    """The limits of messages that are not kept on disk, or the file of those that are; raises `InvalidOption`."""
    if value is None:
        return OutboxLimits(messages=0)
    if isinstance(value, OutboxLimits):
        return value
    from ._durable_outbox import DurableOutbox  # noqa: PLC0415 - most programs have none

    if not isinstance(value, DurableOutbox):
        raise InvalidOption(f"outbox must be OutboxLimits(...), DurableOutbox(path) or None, not {value!r}")
    return value


def check_headers(headers: object) -> tuple[tuple[str, str], ...]:
    """Checked header fields; raises `InvalidOption`, which names the field and never shows its value."""
    if not headers:
        return ()
    given: object = cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers
    try:
        pairs = [(name, value) for name, value in cast("Iterable[tuple[object, object]]", given)]
    except (TypeError, ValueError):
        raise InvalidOption("headers must be a mapping, or pairs of a name and a value") from None
    checked: list[tuple[str, str]] = []
    for name, value in pairs:
        if not is_token(name):
            raise InvalidOption(f"{name!r} is not a header name (RFC 9110, section 5.1)")
        if name.lower() in _HANDSHAKE_HEADERS or name.lower().startswith("sec-websocket-"):
            raise InvalidOption(f"the header {name} belongs to the WebSocket handshake; it can't be set by headers=")
        if not is_header_value(value):
            raise InvalidOption(f"the value of the header {name} must be a str of visible ASCII characters and spaces")
        checked.append((name, value))
    if sum(name.lower() == "host" for name, _ in checked) > 1:
        raise InvalidOption("headers names the Host twice")
    return tuple(checked)


def check_ssl(value: object, address: Address | None) -> ssl_module.SSLContext | None:
    """The TLS context for this address (None: not known yet); raises `InvalidOption`."""
    if value is None:
        return None
    if not isinstance(value, ssl_module.SSLContext):
        raise InvalidOption(f"ssl must be an ssl.SSLContext, not {type(value).__name__}")
    if value.protocol is ssl_module.PROTOCOL_TLS_SERVER:
        raise InvalidOption("ssl is a context for servers; ssl.create_default_context() makes one for clients")
    if address is not None and not address.secure:
        raise InvalidOption(f"ssl= was given, but {_without_tls(address)}")
    return value


def check_server_hostname(value: object, address: Address | None) -> str | None:
    """The name for SNI and certificate, in ASCII; raises `InvalidOption`."""
    if value is None:
        return None
    try:
        named = parse_url(f"wss://{value}" if isinstance(value, str) else "", what="host name")
    except InvalidURL:
        named = None
    if named is None or named.url != f"wss://{named.host}/" or named.authorization is not None:
        raise InvalidOption(f"server_hostname must be a host name (without a port), not {value!r}")
    if address is not None and not address.secure:
        raise InvalidOption(f"server_hostname= was given, but {_without_tls(address)}")
    return named.host


def check_local_address(value: object, address: Address | None) -> str | None:
    """The IP address to connect from; raises `InvalidOption`."""
    if value is None:
        return None
    if not isinstance(value, str) or not _is_ip_address(value):
        raise InvalidOption(f"local_address must be an IP address of this machine, such as 192.0.2.1, not {value!r}")
    if address is not None and address.unix_path:
        raise InvalidOption("local_address= was given, but a Unix socket is connected from no address")
    return value


def _without_tls(address: Address) -> str:
    if address.unix_path:
        return "the URL is that of a Unix socket, over which there is no TLS"
    return "the URL begins with ws://, without TLS; use wss://"


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_token(value: object) -> str:
    """A token that can stand in a header; raises `TokenFailed`, which never shows it."""
    if not isinstance(value, str):
        raise TokenFailed(f"the token must be a str, but the token source gave {type(value).__name__}")
    if not value or not is_header_value(value):
        raise TokenFailed("the token is empty, or holds line breaks or characters that are not ASCII")
    return value
