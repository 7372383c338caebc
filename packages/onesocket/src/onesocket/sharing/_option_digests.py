"""The options that go into dial and login, made comparable: all who share a connection have to agree on them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..client._client import Client
from ..errors import InvalidOption, OptionConflict
from ..protocols._fingerprint import comparable_form, digest
from ..protocols._pace import Pace
from ..protocols._protocol import Protocol
from ..protocols._subscriptions import subscriptions_of
from ..urls import Address
from ._connection_key import ConnectionKey

DIAL_OPTIONS: Final = (
    "headers",
    "subprotocols",
    "protocol",
    "ssl",
    "proxy",
    "server_hostname",
    "local_address",
    "pace",
    "control_pace",
)


@dataclass(frozen=True, slots=True)
class Comparable:
    """One option's value."""

    value: Any
    """The part that processes can compare: its repr is the same in each of them."""
    opaque: tuple[object, ...] = ()
    """The functions and TLS contexts in it, which only ``==`` in one process can compare."""

    def agrees(self, other: Comparable, *, is_keyed: bool) -> bool:
        """Compare both values; where a `key=` names the identity, the opaque parts are taken to."""
        return bool(self.value == other.value and (is_keyed or self.opaque == other.opaque))


def comparable_dial_options(
    *,
    headers: tuple[tuple[str, str], ...],
    subprotocols: tuple[str, ...],
    protocol: Protocol,
    ssl: Any,
    proxy: Any,
    server_hostname: str | None,
    local_address: str | None,
    pace: Pace | None,
    control_pace: Pace | None,
) -> dict[str, Comparable]:
    """The comparable value of each option in `DIAL_OPTIONS`. Raises `InvalidOption`."""
    # Header names have no case, and order counts only among fields of one name (RFC 9110, sections 5.1 and 5.3).
    normalized = sorted(((name.lower(), value.strip()) for name, value in headers), key=lambda pair: pair[0])
    return {
        "headers": Comparable(tuple(normalized)),
        "subprotocols": Comparable(subprotocols or tuple(protocol.subprotocols)),
        "protocol": comparable_protocol(protocol),
        "ssl": Comparable(ssl is not None, () if ssl is None else (ssl,)),
        "proxy": Comparable(proxy),
        "server_hostname": Comparable(server_hostname),
        "local_address": Comparable(local_address),
        "pace": Comparable(comparable_form(pace, [])),
        "control_pace": Comparable(comparable_form(control_pace, [])),
    }


def comparable_protocol(protocol: Protocol) -> Comparable:
    """The declared fingerprint, and whether subscriptions can be merged. Raises `InvalidOption`."""
    kind = type(protocol).__name__
    if not isinstance(protocol, Protocol):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"protocol must be a Protocol, such as Json() (an instance), not {protocol!r}")
    try:
        fingerprint = protocol.fingerprint
    except Exception as error:
        raise InvalidOption(f"the fingerprint of the protocol {kind} raised {type(error).__name__}") from error
    if not isinstance(fingerprint, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"the fingerprint of the protocol {kind} must be a str, not {type(fingerprint).__name__}")
    return Comparable((fingerprint, subscriptions_of(protocol) is not None), protocol.opaque_arguments)


def _client_options(client: Client) -> dict[str, Comparable]:
    options = client.internals.options
    return comparable_dial_options(
        headers=options.headers,
        subprotocols=options.subprotocols,
        protocol=options.protocol,
        ssl=options.ssl,
        proxy=options.proxy,
        server_hostname=options.server_hostname,
        local_address=options.local_address,
        pace=options.pace,
        control_pace=options.control_pace,
    )


def check_comparable_between_processes(client: Client, key: ConnectionKey) -> None:
    """Raise `InvalidOption` if an option of this client can't be compared between processes, and no `key=` is given."""
    for name, option in () if key.is_named else _client_options(client).items():
        if option.opaque:
            raise InvalidOption(
                f"processes can't compare an object of type {type(option.opaque[0]).__name__} in {name}=: pass "
                "key='a name' for the account and the feed"
            )


def option_digests(client: Client) -> dict[str, str]:
    """A digest of each option of this client that goes into dial and login, beside its tokens' source.

    The client must be unused. The digests are those of its options, not of the network, so processes can compare them.
    """
    options = client.internals.options
    token = options.token
    return {
        "client_factory": digest(_comparable_address(options.address)),
        **{name: digest(option.value) for name, option in _client_options(client).items()},
        "token": digest(token if isinstance(token, str) else None),
    }


def _comparable_address(address: Address | None) -> tuple[str | None, str | None]:
    if address is None:  # a function gives it: only the key that its programs give can tell what it means
        return None, None
    return ConnectionKey.of(address.url).url, address.authorization


def option_proofs(digests: Mapping[str, str], secret: bytes, nonce: bytes) -> dict[str, bytes]:
    """The digests as they may be told to another process: keyed with `secret`, and good for this `nonce` only."""
    return {
        name: hmac.digest(secret, b"onesocket option " + nonce + f" {name} {value}".encode(), "sha256")
        for name, value in digests.items()
    }


def first_differing_option(mine: Mapping[str, bytes], theirs: Mapping[str, Any]) -> str | None:
    """The first option whose proofs differ."""
    for name, proof in mine.items():
        their = theirs.get(name)
        if not isinstance(their, bytes) or not hmac.compare_digest(proof, their):
            return name
    return None


def dial_conflict(where: str, option: str) -> OptionConflict:
    """The error for an option that goes into dial or login. `where` names the connection and its present users."""
    return OptionConflict(
        f"{where} with another {option}=, and one connection has one (the server sees it, so leaving it out "
        f"counts as its default): give {option}= what that one has, or a key= of its own to each account or feed that "
        f"only {option}= tells apart",
        option=option,
    )


def opaque_conflict(where: str, option: str) -> OptionConflict:
    """The error for an option of equal data with another function or TLS context in it."""
    return OptionConflict(
        f"{where} with another function or TLS context in {option}=, which nothing but its identity tells apart: give "
        f"{option}= the same object in both, or pass the same key= where they mean the same account, another key= "
        "where they don't",
        option=option,
    )
