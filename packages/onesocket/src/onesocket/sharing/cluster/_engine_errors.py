"""Typed errors that all cluster engines have in common."""

from __future__ import annotations

import ssl

from ...errors import CertificateInvalid, Fenced, InvalidOption, OnesocketError, TLSFailed, VersionMismatch
from ._coordinator import FORMAT


def tls_error(error: BaseException | None, where: str) -> OnesocketError | None:
    """The error to raise if the reason of `error` is one of TLS."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return CertificateInvalid(f"{where}: the certificate can't be trusted: {error.verify_message}")
        if isinstance(error, ssl.SSLError):
            return TLSFailed(f"{where}: the TLS handshake failed ({error.reason}); does that port speak TLS?")
        error = error.__cause__ or error.__context__
    return None


def other_format(where: str, used: str) -> VersionMismatch:
    """The error for a cluster whose members use another format."""
    return VersionMismatch(
        f"the members of this cluster at {where} use another format ({used}, this release {FORMAT}): the same release "
        "on all hosts, or another prefix",
        ours=FORMAT,
        theirs=int(used) if used.isdigit() else 0,
    )


def fenced(epoch: int, newer: int | None) -> Fenced:
    """The error for an epoch that doesn't hold the lease; `newer`: the one that does."""
    text = f"epoch {newer} leads" if newer is not None else "no member leads"
    return Fenced(f"epoch {epoch} does not hold the lease: {text}", epoch=epoch, newer=newer)


def check_size(payload: bytes, limit: int) -> None:
    """Raise `InvalidOption` if a payload is too large."""
    if len(payload) > limit:
        raise InvalidOption(f"a payload has at most {limit} bytes, not {len(payload)}")
