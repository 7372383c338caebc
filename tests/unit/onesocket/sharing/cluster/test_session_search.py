"""The session of the leader before, found in what the feed holds, on virtual time."""

from collections.abc import Awaitable, Callable

import pytest

from onesocket.client import ConnectionStats
from onesocket.sharing.cluster._coordinator import ClusterKey, Lease, Position
from onesocket.sharing.cluster._feed_payload import MIN_PAYLOAD, FeedWriter
from onesocket.sharing.cluster._heard_session import HeardSession
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.cluster._session_search import find_session
from onesocket.sharing.host._ipc_frames import PART_BYTES, SessionBatch
from onesocket.testing import run_virtual

KEY = ClusterKey.of("0" * 64)
TTL = 9.0


class SessionTeller:
    """Member "a", which leads."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._own = engine.open(KEY, "a")
        self._engine = engine
        self.feed = FeedWriter(2**24)
        self._epoch = self._published = 0

    async def lead(self) -> None:
        got = await self._own.acquire(TTL, self._epoch)
        assert isinstance(got, Lease)
        self._epoch, self._published = got.epoch, 0

    async def publish(self, payloads: int | None = None) -> None:
        """Publish what waits, or only so many payloads of it."""
        while payloads != 0 and (payload := self.feed.take(MIN_PAYLOAD)) is not None:
            self._published += 1
            await self._own.publish(Position(self._epoch, self._published), payload)
            payloads = None if payloads is None else payloads - 1

    async def publish_statuses(self, count: int) -> None:
        """Publish so many records without messages."""
        for _ in range(count):
            self.feed.add_stats(ConnectionStats())
            await self.publish()

    async def publish_as_it_is(self, *payloads: bytes) -> None:
        """Publish what no leader does."""
        for payload in payloads:
            self._published += 1
            await self._own.publish(Position(self._epoch, self._published), payload)

    async def found(self) -> HeardSession:
        """Return the session that the next leader finds."""
        self._engine.model(KEY).expire()
        other = self._engine.open(KEY, "b")
        got = await other.acquire(TTL, self._epoch)
        assert isinstance(got, Lease)
        return await find_session(other, got.epoch)


def run_leader(main: Callable[[SessionTeller], Awaitable[None]], **options: int) -> None:
    async def run() -> None:
        leader = SessionTeller(MemoryEngine(**options))
        await leader.lead()
        await main(leader)

    run_virtual(run)


LONG = "x" * PART_BYTES


def test_the_newest_state_is_found() -> None:
    async def main(leader: SessionTeller) -> None:
        leader.feed.add_batch(["a"], b"1")
        leader.feed.add_session(b"2")
        leader.feed.add_session(None, goes_on=True)
        leader.feed.add_for("c", [SessionBatch([], b"of another place")])
        await leader.publish()
        session = await leader.found()
        assert (session.state, session.since) == (b"2", [])

    run_leader(main)


def test_a_leader_that_fell_between_the_portions_of_a_batch_has_told_the_first_ones() -> None:
    async def main(leader: SessionTeller) -> None:
        leader.feed.add_batch(["a"], b"1")
        await leader.publish()
        leader.feed.add_batch(["b" + LONG, "c" + LONG], b"2")
        await leader.publish(1)  # the first message
        session = await leader.found()
        assert (session.state, session.since) == (b"1", ["b" + LONG])

    run_leader(main)


def test_a_state_before_many_records_is_found_as_well() -> None:
    async def main(leader: SessionTeller) -> None:
        leader.feed.add_batch([LONG], b"1")
        await leader.publish()
        await leader.publish_statuses(40)
        assert (await leader.found()).state == b"1"

    run_leader(main)


def test_a_state_of_an_epoch_before_the_last_one_is_found() -> None:
    async def main(leader: SessionTeller) -> None:
        leader.feed.add_batch(["a"], b"1")
        await leader.publish()
        await leader.lead()
        await leader.publish_statuses(2)
        assert (await leader.found()).state == b"1"

    run_leader(main)


def test_the_rest_of_a_message_whose_beginning_is_not_held_any_more_tells_nothing() -> None:
    async def main(leader: SessionTeller) -> None:
        leader.feed.add_batch([LONG + LONG], b"1")
        await leader.publish()
        await leader.publish_statuses(1)
        assert (await leader.found()).state is None

    run_leader(main, records=3)  # the last part, the status, and the next epoch's beginning


@pytest.mark.parametrize("payloads", [[], [b"", b"x" * 100]])
def test_nothing_is_found_where_nothing_was_told(payloads: list[bytes]) -> None:
    async def main(leader: SessionTeller) -> None:
        await leader.publish_as_it_is(*payloads)
        assert (await leader.found()).state is None

    run_leader(main)
