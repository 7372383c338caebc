"""The errors of the JavaScript client are those of Python: names, bases, `retryable`, and close codes."""

import json
from typing import Any

import pytest

from onesocket import errors
from onesocket.errors import OnesocketError
from onesocket.lifecycle._peer_errors import CLOSE_CODES, closed_by_peer
from onesocket.lifecycle._verdict import verdict_of
from tests.support.node_script import run_script

REASONS = (
    "",
    "connection limit exceeded",
    "too_many_requests",
    "TooManyRequests",
    "maximum session duration exceeded",
    "token expired",
    "Unauthorized",
    "already logged in",
    "bye\n\x1b[31m\u202e",
)
CLOSES = [
    (code, reason, fatal)
    for code in (*CLOSE_CODES, 3999, 4000, 4004, 2999)
    for reason in REASONS
    for fatal in (None, [code])
]
# A browser never meets these, or Python has them as a sub-class that a browser can't tell apart.
FLATTENED = {"ConnectionRefused": "ConnectFailed", "OnesocketError": "Error", "NoCurrentProvider": "UsageError"}


@pytest.fixture(scope="module")
def described() -> Any:
    """The description by the JavaScript package."""
    return json.loads(run_script("describe_lifecycle.mjs", stdin=json.dumps(CLOSES)))


def default_retryable(kind: type[OnesocketError]) -> bool:
    """The `retryable` of an error of this kind, where nothing else is said."""
    return bool(vars(kind.__new__(kind)).get("retryable", kind.retryable))


def test_every_error_has_the_name_base_and_retryable_of_python(described: Any) -> None:
    assert len(described["tree"]) > 30
    for name, base, retryable in described["tree"]:
        kind = getattr(errors, name)
        assert FLATTENED.get(name, kind.__bases__[0].__name__) == base, name
        assert default_retryable(kind) is retryable, name


def test_close_codes_become_the_errors_of_python(described: Any) -> None:
    for (code, reason, fatal), found in zip(CLOSES, described["closes"], strict=True):
        error = closed_by_peer(code, reason, fatal=fatal)
        assert found == {
            "name": type(error).__name__,
            "message": str(error),
            "retryable": error.retryable,
            "refusesToken": error.refuses_token,
            "verdict": verdict_of(error, renews_token=True),
        }
