"""Typed errors for the exceptions of the operating system and the TLS library while a connection is dialled.

Errors of the peer (close codes, HTTP statuses) are in `lifecycle._peer_errors`, which is sans-IO.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Final, TypeVar

from .._threads import is_thread_refusal, thread_refusal
from ..errors import CertificateInvalid, ConnectFailed, ConnectionRefused, NameResolutionFailed, TLSFailed

_CLIENT_CERTIFICATE: Final = "load one into ssl= (SSLContext.load_cert_chain)"
_ALERT_REASON: Final = re.compile(r"(?:SSLV3_ALERT|TLSV1_ALERT|TLSV13_ALERT|TLSV1|TLSV13)_(?P<alert>.+)")
# What helps against an alert of the peer (RFC 8446, section 6.2), by its name in OpenSSL.
_ALERTS: Final[Mapping[str, str]] = {
    "CERTIFICATE_REQUIRED": f"the server wants a client certificate: {_CLIENT_CERTIFICATE}",
    **dict.fromkeys(
        (
            "BAD_CERTIFICATE",
            "CERTIFICATE_EXPIRED",
            "CERTIFICATE_REVOKED",
            "CERTIFICATE_UNKNOWN",
            "DECRYPT_ERROR",
            "UNKNOWN_CA",
            "UNSUPPORTED_CERTIFICATE",
        ),
        "the server refuses the client certificate that ssl= has loaded",
    ),
    "ACCESS_DENIED": "the server takes the client certificate, and denies access to its owner",
    "HANDSHAKE_FAILURE": f"the server wants other ciphers, or a client certificate: {_CLIENT_CERTIFICATE}",
    "INTERNAL_ERROR": "the server has a fault of its own",
    "PROTOCOL_VERSION": "the server speaks none of the TLS versions that ssl= allows",
    "UNRECOGNIZED_NAME": "the server has no such host name: check the URL, or server_hostname=",
}
_TRANSIENT_ALERTS: Final = frozenset({"INTERNAL_ERROR"})
# Codes of OpenSSL's verification: another host name, another IP address; not yet valid, expired.
_WRONG_NAME: Final = frozenset({62, 64})
_WRONG_TIME: Final = frozenset({9, 10})
# The event loop's own text, which repeats the address.
_CONNECT_CALL: Final = re.compile(r"Connect call failed \('(?P<host>[^']+)', .*\)")


E = TypeVar("E", bound=BaseException)


def without_tracebacks(error: E) -> E:
    """Return the exception without the tracebacks of its chain: their frames keep the ended attempt in a cycle."""
    part: BaseException | None = error
    while part is not None and part.__traceback__ is not None:
        part.__traceback__ = None
        part = part.__cause__ or part.__context__
    return error


def connect_failed(
    error: BaseException, where: str, *, local_address: str | None = None, peer: str = "server"
) -> ConnectFailed:
    """Return the typed error for an exception while dialling `where` (host:port), the address of `peer`."""
    if isinstance(error, ssl.SSLError):
        return _tls_refused(error, where)
    failure = _connect_failure(error, where, local_address, peer)
    # The system's errors say all in their text; their traceback refers to the ended attempt: no cycle is left.
    failure.__cause__ = error.with_traceback(None) if isinstance(error, OSError) else error
    return failure


def tls_handshake_aborted(error: ConnectionError, where: str) -> TLSFailed:
    """Return the error of a connection that ended during the TLS handshake; retryable, as a restart does that, too."""
    failure = TLSFailed(
        f"{where} ended the connection during the TLS handshake; if that port speaks plain WebSocket, use ws:// "
        f"instead of wss://; if the server wants a client certificate, {_CLIENT_CERTIFICATE}"
    )
    failure.retryable = True
    failure.__cause__ = error.with_traceback(None)
    return failure


def tls_reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's name for a TLS error, or the text of one that isn't OpenSSL's, which has no `reason` at all."""
    return getattr(error, "reason", None) or (str(error.args[-1]) if error.args else "handshake failed")


def untrusted(error: ssl.SSLCertVerificationError, *, unknown: str, wrong_name: str) -> str:
    """Return why a certificate can't be trusted, with the remedy: for another name, or for an unknown authority."""
    why = (error.verify_message or "verification failed").rstrip(".")
    if error.verify_code in _WRONG_NAME:
        return f"{why}; {wrong_name}"
    if error.verify_code in _WRONG_TIME:
        return f"{why}; it has to be renewed, unless the clock of this machine is wrong"
    return f"{why}; {unknown}"


def _tls_refused(error: ssl.SSLError, where: str) -> TLSFailed:
    """Return the error for a TLS error: a certificate that isn't trusted, an alert of the peer, or no TLS at all."""
    reason = tls_reason(error)
    alert = _ALERT_REASON.fullmatch(reason)
    failure: TLSFailed
    if isinstance(error, ssl.SSLCertVerificationError):
        why = untrusted(
            error,
            unknown="pass ssl= to trust your own CA",
            wrong_name="check the host in the URL, or pass the certificate's name as server_hostname=",
        )
        failure = CertificateInvalid(f"the certificate of {where} can't be trusted: {why}")
    elif alert is not None:
        hint = _ALERTS.get(alert["alert"], "the server ended the handshake with this alert")
        failure = TLSFailed(f"no TLS with {where}: {reason}; {hint}")
        failure.retryable = alert["alert"] in _TRANSIENT_ALERTS
    else:
        failure = TLSFailed(
            f"no TLS with {where}: {reason}; if that port speaks plain WebSocket, use ws:// instead of wss://"
        )
    failure.__cause__ = error.with_traceback(None)
    return failure


def _connect_failure(error: BaseException, where: str, local_address: str | None, peer: str) -> ConnectFailed:
    if isinstance(error, socket.gaierror):
        return NameResolutionFailed(f"{where} has no address: {error.strerror}; check the host name and the network")
    if isinstance(error, OSError):
        name = errno.errorcode.get(error.errno, "") if error.errno else ""
        why = f"{_reason(error, where)}{f' [{name}]' if name else ''}"
        return ConnectionRefused(f"no connection to {where}: {why}; {_remedy(error, where, local_address, peer)}")
    if isinstance(error, RuntimeError) and str(error).startswith("cannot schedule new futures"):
        # The error of an executor that was shut down; it is final.
        failure = NameResolutionFailed(
            f"{where} can't be looked up: Python's interpreter is shutting down (its main thread has ended), and no "
            "names are looked up any more; let the main thread wait for the others (join() them), or use an IP address"
        )
        failure.retryable = False
        return failure
    if isinstance(error, RuntimeError) and is_thread_refusal(error):
        return thread_refusal(error)
    return ConnectFailed(f"no connection to {where}: {type(error).__name__}")


def _reason(error: OSError, where: str) -> str:
    """Return the system's text; the event loop names the address in its place, which is kept for a host name."""
    text = error.strerror or str(error) or type(error).__name__
    call = _CONNECT_CALL.fullmatch(text)
    if call is None or not error.errno:
        return text
    reason = os.strerror(error.errno)
    return reason if call["host"] in where else f"{reason} ({call['host']})"


def _remedy(error: OSError, where: str, local_address: str | None, peer: str) -> str:
    if local_address is not None and (error.errno in (errno.EADDRNOTAVAIL, None)):
        return f"is local_address={local_address} an address of this machine, and of the same family (IPv4, IPv6)?"
    if where.startswith("unix:"):
        if isinstance(error, PermissionError):
            return "may this user write to that socket, and enter its directory?"
        return f"is the {peer} up, and the path right?"
    return f"is the {peer} up, and the port right?"
