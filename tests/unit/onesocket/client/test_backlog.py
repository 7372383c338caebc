"""The buffer before the first reader keeps a batch as it keeps its messages one by one."""

import random

import pytest

from onesocket.client import GapReason
from onesocket.client._backlog import Backlog
from onesocket.client._gap import Gap


@pytest.mark.parametrize("seed", range(50))
def test_a_batch_is_kept_as_its_messages_are(seed: int) -> None:
    chance = random.Random(seed)
    ones, many = Backlog(5, 40), Backlog(5, 40)
    readers = [(ones.expect(), many.expect())]
    for _ in range(30):
        one, other = chance.choice(readers)
        match chance.randrange(8):
            case 0:
                readers.append((ones.expect(), many.expect()))
            case 1:
                part = chance.choice((None, "event"))
                is_first = one.serves(part, filtered=False)
                assert other.serves(part, filtered=False) == is_first
            case 2:
                gap = Gap(GapReason.RECONNECTED, chance.randrange(5))
                ones.put_gap(gap)
                many.put_gap(gap)
            case 3:
                ones.forget(one)
                many.forget(other)
            case _:
                batch = ["x" * chance.choice((1, 5, 9, 60)) for _ in range(chance.randrange(9))]
                for message in batch:
                    ones.put(message)
                many.put_many(batch)
        assert repr(many) == repr(ones)
        assert many.only_counts == ones.only_counts
        for one, other in readers:
            assert many.since(other, 9) == ones.since(one, 9)
