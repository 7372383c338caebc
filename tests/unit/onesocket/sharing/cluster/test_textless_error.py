"""Exceptions for the log, by type and place: the system's words stand beside a number of the system alone."""

import errno
import os
import socket
import ssl

import pytest

from onesocket.sharing.cluster._textless_error import textless


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ECONNRESET])
def test_an_error_of_the_system_is_shown_with_its_words(number: int) -> None:
    fault = OSError(number, "hunter2")
    assert str(textless(fault)) == f"{type(fault).__name__}: {os.strerror(number)}"


@pytest.mark.parametrize(
    "fault",
    [
        ssl.SSLError(1, "hunter2"),
        ssl.SSLEOFError(8, "hunter2"),
        socket.gaierror(-2, "hunter2"),
        OSError(2**70, "hunter2"),
    ],
)
def test_a_number_of_tls_or_of_the_resolver_is_not_taken_for_one_of_the_system(fault: OSError) -> None:
    """SSL_ERROR_SSL would read as EPERM, for example."""
    assert str(textless(fault)) == type(fault).__name__
