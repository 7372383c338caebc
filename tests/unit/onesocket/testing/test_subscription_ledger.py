"""The test server's own view of subscriptions."""

import pytest

from onesocket.testing import SubscriptionLedger
from onesocket.testing._subscription_ledger import read_subscription


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ('{"op": "subscribe", "args": ["a", {"b": 1}]}', (("a", '{"b": 1}'), ())),
        (b'{"method": "UNSUBSCRIBE", "params": ["a"]}', ((), ("a",))),
        ('{"action": "subscribe", "channels": "a"}', (("a",), ())),
        ('{"subscribe": ["a"], "unsubscribe": ["b"]}', (("a",), ("b",))),
        ('{"op": "subscribe"}', ((), ())),
        ('{"op": "ping", "args": ["a"]}', None),
        ('{"op": 1}', None),
        ("[1]", None),
        ("subscribe", None),
        (b"\xff", None),
    ],
)
def test_the_usual_shapes_are_read(message: str | bytes, asked: object) -> None:
    assert read_subscription(message) == asked


def test_it_counts_what_is_there_and_what_is_odd() -> None:
    ledger = SubscriptionLedger.of(['{"subscribe": ["a", "b"]}', '{"subscribe": ["b"]}', '{"unsubscribe": ["a", "c"]}'])
    assert ledger.keys == {"b"}
    assert ledger.odd == {"b": 2, "c": -1}
    assert not ledger.note("order")
    assert "'b': 2" in repr(ledger)
    own = SubscriptionLedger(lambda message: ((str(message),), ()))
    assert own.note("x")
    assert own.keys == {"x"}
