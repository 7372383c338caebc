"""Typed errors for the exceptions of the operating system and the TLS library while a connection is dialled.

Errors of the peer (close codes, HTTP statuses) are in `lifecycle._peer_errors`, which is sans-IO.
"""

from __future__ import annotations

import errno
import socket
import ssl

from ..errors import CertificateInvalid, ConnectFailed, ConnectionRefused, NameResolutionFailed, TLSFailed


def connect_failed(error: BaseException, where: str) -> ConnectFailed:
    """Return the typed error for an exception while dialling `where` (host:port)."""
    failure = _connect_failure(error, where)
    # The system's errors say all in their text; their traceback refers to the ended attempt: no cycle is left.
    failure.__cause__ = error.with_traceback(None) if isinstance(error, OSError) else error
    return failure


def tls_handshake_aborted(error: ConnectionError, where: str) -> TLSFailed:
    """Return the error of a connection that ended during the TLS handshake; retryable, as a restart does that, too."""
    failure = TLSFailed(
        f"{where} ended the connection during the TLS handshake; if that port speaks plain WebSocket, "
        "use ws:// instead of wss://"
    )
    failure.retryable = True
    failure.__cause__ = error
    return failure


def _connect_failure(error: BaseException, where: str) -> ConnectFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "verification failed"
        return CertificateInvalid(f"the certificate of {where} can't be trusted: {why}; pass ssl= to trust your own CA")
    if isinstance(error, ssl.SSLError):
        why = error.reason or "handshake failed"
        return TLSFailed(
            f"no TLS with {where}: {why}; if that port speaks plain WebSocket, use ws:// instead of wss://"
        )
    if isinstance(error, socket.gaierror):
        return NameResolutionFailed(f"{where} has no address: {error.strerror}; check the host name and the network")
    if isinstance(error, OSError):
        name = errno.errorcode.get(error.errno, "") if error.errno else ""
        why = error.strerror or str(error) or type(error).__name__
        return ConnectionRefused(
            f"no connection to {where}: {why}{f' [{name}]' if name else ''}; is the server up, and the port right?"
        )
    if isinstance(error, RuntimeError) and str(error).startswith("cannot schedule new futures"):
        # The error of an executor that was shut down; it is final.
        failure = NameResolutionFailed(
            f"{where} can't be looked up: Python's interpreter is shutting down (its main thread has ended), and no "
            "names are looked up any more; let the main thread wait for the others (join() them), or use an IP address"
        )
        failure.retryable = False
        return failure
    return ConnectFailed(f"no connection to {where}: {type(error).__name__}")
