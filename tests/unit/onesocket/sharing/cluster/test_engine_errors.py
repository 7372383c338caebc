"""Typed errors that all cluster engines have in common: those of TLS."""

import ssl

import pytest

from onesocket.errors import EngineLoginRefused, OnesocketError, TLSFailed
from onesocket.sharing.cluster._engine_errors import tls_error


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", EngineLoginRefused, "wants a certificate of its clients"),
        ("WRONG_VERSION_NUMBER", TLSFailed, "does that port speak TLS?"),
    ],
)
def test_a_missing_certificate_is_told_from_a_port_without_tls(
    reason: str, kind: type[OnesocketError], text: str
) -> None:
    cause = ssl.SSLError(1, f"[SSL: {reason}]")
    cause.reason = reason
    error = ConnectionError("the library's own")
    error.__cause__ = cause
    found = tls_error(error, "rediss://host:6379")
    assert type(found) is kind
    assert text in str(found)
