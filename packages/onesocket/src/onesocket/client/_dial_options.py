"""Options that go into dial and login, made comparable: those who share a connection have to agree on them."""

from __future__ import annotations

import ssl as ssl_module
import weakref
from typing import Any, Final

from ..errors import InvalidOption
from ..protocols._fingerprint import ByIdentity, ProcessLocal, comparable_form, digest
from ..protocols._protocol import Protocol
from ._options import Options

DIAL_OPTIONS: Final = ("headers", "subprotocols", "protocol", "ssl", "proxy")
SUBSCRIPTION_METHODS: Final = ("subscribe_frames", "unsubscribe_frames")
"""Methods of a protocol whose subscriptions can be merged."""


def comparable_dial_options(
    *,
    headers: tuple[tuple[str, str], ...],
    subprotocols: tuple[str, ...],
    protocol: Protocol,
    ssl: ssl_module.SSLContext | None,
    proxy: str | None,
) -> dict[str, Any]:
    """The comparable form (see `protocols.fingerprint`) of each option in `DIAL_OPTIONS`."""
    return {
        "headers": _normalized_headers(headers),
        "subprotocols": subprotocols or tuple(protocol.subprotocols),
        "protocol": comparable_protocol(protocol),
        "ssl": ProcessLocal(ByIdentity(ssl), _tls_settings(ssl))
        if isinstance(ssl, ssl_module.SSLContext)
        else comparable_form(ssl),
        "proxy": proxy,
    }


def dial_digests(options: Options) -> dict[str, str]:
    """A digest of each option in `DIAL_OPTIONS`, the same in every process that would dial alike."""
    comparable = comparable_dial_options(
        headers=options.headers,
        subprotocols=options.subprotocols,
        protocol=options.protocol,
        ssl=options.ssl,
        proxy=options.proxy,
    )
    return {name: digest(comparable[name]) for name in DIAL_OPTIONS}


def supports_merging(protocol: object) -> bool:
    """Whether the protocol has frames that subscribe and unsubscribe, so that subscriptions can be counted."""
    return all(callable(getattr(protocol, name, None)) for name in SUBSCRIPTION_METHODS)


def comparable_protocol(protocol: Protocol) -> tuple[str, bool]:
    """The declared fingerprint, and whether subscriptions can be merged; raises `InvalidOption`."""
    kind = type(protocol).__name__
    if not isinstance(protocol, Protocol):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"protocol must be a Protocol, such as Json() (an instance), not {protocol!r}")
    try:
        fingerprint = protocol.fingerprint
    except Exception as error:
        raise InvalidOption(f"the fingerprint of the protocol {kind} raised {type(error).__name__}") from error
    if not isinstance(fingerprint, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"the fingerprint of the protocol {kind} must be a str, not {type(fingerprint).__name__}")
    return fingerprint, supports_merging(protocol)


def _normalized_headers(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    # Names have no case, and order counts only among fields of one name (RFC 9110, sections 5.1 and 5.3).
    return tuple(sorted(((name.lower(), value.strip()) for name, value in headers), key=lambda pair: pair[0]))


_tls_settings_cache: weakref.WeakKeyDictionary[ssl_module.SSLContext, tuple[Any, ...]] = weakref.WeakKeyDictionary()


def _tls_settings(context: ssl_module.SSLContext) -> tuple[Any, ...]:
    """Readable settings of a TLS context, as of when it was first seen: some load certificates as they are used.

    A client certificate can't be read.
    """
    found = _tls_settings_cache.get(context)
    if found is None:
        certificates = sorted(context.get_ca_certs(binary_form=True))
        found = _tls_settings_cache[context] = (
            int(context.verify_mode),
            context.check_hostname,
            int(context.minimum_version),
            int(context.maximum_version),
            int(context.verify_flags),
            context.cert_store_stats(),
            digest(certificates),
        )
    return found
