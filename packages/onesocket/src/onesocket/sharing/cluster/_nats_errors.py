"""Typed errors for what a NATS server refuses, and for failures of nats-py. No text shows a secret."""

from __future__ import annotations

import re
from typing import Final

from ...errors import (
    CertificateInvalid,
    EngineCommandDenied,
    EngineFull,
    EngineLoginRefused,
    EngineUnavailable,
    EngineUnusable,
    OnesocketError,
)
from ._engine_errors import tls_error

# JetStream's error codes: https://github.com/nats-io/nats-server/blob/main/server/errors.json
NO_RESPONDERS: Final = 503
"""Not one of JetStream's, but the status of a request that no one listens to."""
NO_MESSAGE: Final = 10037
NO_STREAM: Final = 10059
NAME_IN_USE: Final = 10058
STREAM_FULL: Final = 10077
_SEALED: Final = 10109
_WRONG_SEQUENCE: Final = (10071, 10164)
_NO_ROOM: Final = (10002, 10023, 10028, 10047)
_OFF: Final = (10039, 10076, NO_RESPONDERS)
_LIMITS: Final = {
    10026: "max_consumers",
    10027: "max_streams",
    10113: "max_bytes_required",
}
_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_NAME_CA: Final = "that server speaks TLS: write tls://, with ?ca=FILE if its authority is none of the system's"
_LOGIN: Final = ("authorization violation", "authentication", "credential", "jwt")


class NatsRefused(Exception):
    """JetStream's refusal of a request; callers know the codes that they expect."""

    def __init__(self, subject: str, status: int, code: int, text: str) -> None:
        super().__init__(subject, status, code, text)
        self.subject = subject
        self.status = status
        self.code = code
        self.text = text

    @property
    def is_wrong_sequence(self) -> bool:
        """True if a condition on the last message of a subject did not hold: nothing was written."""
        return self.code in _WRONG_SEQUENCE

    def error(self, where: str) -> OnesocketError:
        """The error to raise where this refusal was not expected."""
        text, code = self.text, self.code
        if code in _OFF:
            return EngineUnusable(
                f"{where} does not serve JetStream to this account: start the server with jetstream enabled (-js), and "
                "enable it for the account; a server whose disk is full turns it off, and a leaf node may not have it: "
                "give the URL of its hub"
            )
        if code == _SEALED:
            name = _stream_of(self.subject)
            return EngineUnusable(
                f"{where}: the stream {name} was sealed, for good: delete it (nats stream rm {name}), and connect again"
            )
        if code in _NO_ROOM or (code == STREAM_FULL and "maximum" in text):
            return EngineFull(
                f"{where} refused a write, nothing is lost: {text}; raise max_bytes of the stream, of the account, or "
                "max_file_store of the server"
            )
        if code in _LIMITS:
            return EngineUnusable(f"{where} refused {self.subject}: {text}; change {_LIMITS[code]} of the account")
        if self.status >= 500:
            return EngineUnavailable(f"{where} can't serve now: {text}")
        return EngineUnusable(f"{where} refused {self.subject} with error {code}: {text}")


def _stream_of(subject: str) -> str:
    """The stream of a refused request: an operation names it, a message is on one of its subjects."""
    parts = subject.split(".")
    if subject.startswith("$JS.API."):
        return parts[4]  # $JS.API.STREAM.PURGE.NAME: all that a sealed stream refuses
    prefix, digest, *rest = parts
    return f"{prefix}-{digest}{'-mailbox' if rest[:1] == ['mailbox'] else ''}"


def denied_subject(text: str) -> tuple[str, str] | None:
    """The operation and the subject, in lower case, that the server's access rules deny in one of its errors."""
    found = _DENIED.search(text)
    return None if found is None else (found[1].lower(), found[2].lower())


def denied(where: str, operation: str, subject: str) -> EngineCommandDenied:
    """The error for a subject that this user may not use; `operation`: publish or subscription."""
    rule = "publish" if operation == "publish" else "subscribe"
    return EngineCommandDenied(f'{where}: this user may not {rule} to {subject}: allow it in "{rule}"', command=subject)


def connect_error(error: BaseException, where: str, *, secure: bool, was_silent: bool = False) -> OnesocketError:
    """The error to raise for a connection that nats-py could not make, or lost.

    `secure`: the URL's scheme is tls; `was_silent`: the server has waited, and said nothing.
    """
    if isinstance(error, OnesocketError):
        return error
    text = str(error).removeprefix("nats: ").strip("'")
    tls = tls_error(error, where)
    if tls is not None:
        return CertificateInvalid(f"{tls}; {_NAME_CA}") if isinstance(tls, CertificateInvalid) and not secure else tls
    if any(each in text.lower() for each in _LOGIN):
        return EngineLoginRefused(f"{where} refused the login ({text}): check user name, password or token in the URL")
    if "INFO" in text:
        return EngineUnusable(f"{where} does not speak NATS: check host and port")
    remedy = f"; {tls_first(secure=secure)}" if was_silent else ""
    return EngineUnavailable(f"{where} can't be reached, or does not answer: {text or type(error).__name__}{remedy}")


def tls_first(*, secure: bool) -> str:
    """Words for a server that has said nothing: it may wait for TLS, which NATS begins with as an option only."""
    url = "" if secure else ", and write tls://"
    return f'if that server waits for TLS (handshake_first), set it to "auto" there{url}'
