"""Typed errors that all cluster engines have in common."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from ...errors import (
    CertificateInvalid,
    EngineKeyTaken,
    EngineLoginRefused,
    Fenced,
    InvalidOption,
    OnesocketError,
    TLSFailed,
    VersionMismatch,
)
from ._coordinator import FORMAT


def tls_error(error: BaseException | None, where: str) -> OnesocketError | None:
    """The error to raise if the reason of `error` is one of TLS."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return CertificateInvalid(f"{where}: the certificate can't be trusted: {error.verify_message}")
        if isinstance(error, ssl.SSLError) and error.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
            return EngineLoginRefused(f"{where} wants a certificate of its clients: name the PEM files, ?cert=…&key=…")
        if isinstance(error, ssl.SSLError):
            return TLSFailed(f"{where}: the TLS handshake failed ({error.reason}); does that port speak TLS?")
        error = error.__cause__ or error.__context__
    return None


def tls_context(files: Mapping[str, str], where: str) -> ssl.SSLContext:
    """The context with the PEM files of an engine's URL (``ca``, ``cert``, ``key``). Raises `EngineLoginRefused`."""
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "cert" in files:
            context.load_cert_chain(files["cert"], files.get("key"))
    except OSError as error:  # an SSLError is one
        text = f"{where}: the PEM files in the URL ({', '.join(files)}) can't be used: {error.strerror or error}"
        raise EngineLoginRefused(text) from error
    return context


def other_format(where: str, used: str) -> VersionMismatch:
    """The error for a cluster whose members use another format."""
    return VersionMismatch(
        f"the members of this cluster at {where} use another format ({used}, this release {FORMAT}): the same release "
        "on all hosts, or another prefix",
        ours=FORMAT,
        theirs=int(used) if used.isdigit() else 0,
    )


def foreign_key(where: str, key: str) -> EngineKeyTaken:
    """The error for a key of the right type with a value that no release writes."""
    return EngineKeyTaken(
        f"{where}: the key {key} holds what onesocket did not write: use another prefix, or delete it", key=key
    )


def fenced(epoch: int, newer: int | None) -> Fenced:
    """The error for an epoch that doesn't hold the lease; `newer`: the one that does."""
    text = f"epoch {newer} leads" if newer is not None else "no member leads"
    return Fenced(f"epoch {epoch} does not hold the lease: {text}", epoch=epoch, newer=newer)


def check_size(payload: bytes, limit: int) -> None:
    """Raise `InvalidOption` if a payload is too large."""
    if len(payload) > limit:
        raise InvalidOption(f"a payload has at most {limit} bytes, not {len(payload)}")
