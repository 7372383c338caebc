"""Errors for what a NATS server refuses."""

import pytest

from onesocket.errors import EngineUnusable
from onesocket.sharing.cluster._nats_errors import NO_RESPONDERS, NatsRefused

WHERE = "nats://host:4222"


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        ("onesocket.d1.lease", "onesocket-d1"),
        ("onesocket.d1.answers.host-1", "onesocket-d1"),
        ("onesocket.d1.mailbox.7", "onesocket-d1-mailbox"),
        ("onesocket.slots.name", "onesocket-slots"),
        ("$JS.API.STREAM.PURGE.onesocket-d1-mailbox", "onesocket-d1-mailbox"),
    ],
)
def test_a_stream_that_an_operator_has_sealed_is_named_with_the_remedy(subject: str, stream: str) -> None:
    error = NatsRefused(subject, 400, 10109, "invalid operation on sealed stream").error(WHERE)
    assert type(error) is EngineUnusable
    assert f"the stream {stream} was sealed, for good: delete it (nats stream rm {stream})" in str(error)


def test_a_leaf_node_without_jetstream_is_told_of_its_hub() -> None:
    error = NatsRefused("$JS.API.STREAM.INFO.x", 503, NO_RESPONDERS, "nobody answers there").error(WHERE)
    assert type(error) is EngineUnusable
    assert "a leaf node may not have it: give the URL of its hub" in str(error)
