"""A member that follows, on virtual time, while the test is the leader."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from onesocket.errors import EngineFull, EngineUnavailable, OnesocketError, OptionConflict
from onesocket.sharing.cluster._coordinator import ClusterKey, Coordinator, Lease, LeaseInfo, Position
from onesocket.sharing.cluster._feed_payload import MIN_PAYLOAD, FeedWriter
from onesocket.sharing.cluster._following import Following, has_lost_subscriptions, needs_state, nonce_for
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.cluster._relay import Relay
from onesocket.sharing.host._ipc_frames import (
    Ask,
    FrameSplitter,
    GapNotice,
    Hello,
    MessageBatch,
    OutboxBounds,
    Rejection,
    Results,
    SendMessages,
    Shutdown,
    SnapshotAnswer,
    Subscribe,
    ToFollower,
    ToOwner,
    decode_follower_frame,
    encode_ipc_frame,
)
from onesocket.sharing.host._join_credentials import JoinCredentials
from onesocket.testing import run_virtual
from tests.unit.onesocket.sharing.cluster.test_relay import REQUEST, LocalProcess

KEY = ClusterKey.of("0" * 64)
TTL = 9.0
CREDENTIALS = JoinCredentials(b"secret", "1", {"option": "value"})


class Play:
    """The leader "a", and the member "b" that follows."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.engine = engine
        self.own = engine.open(KEY, "a")
        self.relay = Relay()
        self.process = LocalProcess()
        self.following = Following(engine.open(KEY, "b"), self.relay, CREDENTIALS, self, TTL)
        self.events: list[Any] = []
        self.now = asyncio.get_running_loop().time
        self.epoch = 0
        self.feed = FeedWriter(2**20)
        self._published = self._answered = 0
        self._splitter = FrameSplitter()
        self._done = Position(0, 0)

    # what it hears

    def on_frame(self, frame: ToFollower) -> None:
        self.events += frame.messages if isinstance(frame, MessageBatch) else [frame]

    def on_leader_gone(self, error: OnesocketError) -> None:
        self.events.append("gone")

    def on_missed(self) -> None:
        self.events.append("missed")

    def on_silence(self, error: OnesocketError) -> None:
        self.events.append("silence")

    def on_heard(self) -> None:
        self.events.append("heard")

    def on_rejected(self, error: OnesocketError) -> None:
        self.events.append(error)

    # the leader

    async def lead(self) -> None:
        got = await self.own.acquire(TTL, self.epoch)
        assert isinstance(got, Lease)
        self.epoch = got.epoch
        self.feed = FeedWriter(2**20)
        self._published = self._answered = 0
        self._splitter = FrameSplitter()
        self._done = got.position

    async def publish(self) -> None:
        while (payload := self.feed.take(MIN_PAYLOAD)) is not None:
            self._published += 1
            await self.own.publish(Position(self.epoch, self._published), payload)

    async def answer(self, *frames: ToFollower, skip: int = 0) -> None:
        self._answered += 1 + skip
        payload = b"".join(map(encode_ipc_frame, frames))
        await self.own.answer("b", Position(self.epoch, self._answered), payload)

    async def submissions(self) -> list[ToOwner]:
        found: list[ToOwner] = []
        for each in await self.own.take(self._done, 0):
            self._done = each.position
            found += map(decode_follower_frame, self._splitter.feed(each.payload))
        return found

    async def release(self) -> None:
        await self.own.release(Position(self.epoch, self._published + 1))

    async def fail(self) -> None:
        """Another member gets the lease, unless it is the same one."""
        self.engine.model(KEY).expire()

    # the member

    async def follow(self) -> asyncio.Task[None]:
        lease = await self.following_lease()
        assert isinstance(lease, LeaseInfo)
        task = asyncio.ensure_future(self.following.run(lease))
        await settle()
        return task

    async def following_lease(self) -> Lease | LeaseInfo:
        coordinator: Coordinator = self.following._coordinator
        return await coordinator.acquire(TTL, self.following.epoch)

    def send(self, *messages: str) -> None:
        first = len(self.process.results) + 1
        self.relay.perform(self.process, SendMessages(first, list(messages)), is_up=True)
        self.following.wake()


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(30):
        await asyncio.sleep(0)


async def stopped(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def play(main: Callable[[Play], Awaitable[None]], **options: int) -> None:
    async def run() -> None:
        made = Play(MemoryEngine(**options))
        await made.lead()
        await main(made)

    run_virtual(run)


def test_a_new_member_introduces_itself_and_begins_with_the_state_of_the_leader() -> None:
    async def main(play: Play) -> None:
        play.feed.add_batch(["before"])
        await play.publish()
        running = await play.follow()
        hello, bounds = await play.submissions()
        assert isinstance(hello, Hello)
        assert needs_state(hello.ownership_id)
        assert isinstance(bounds, OutboxBounds)
        CREDENTIALS.check_hello(hello, nonce_for("b", 1))
        play.feed.add_batch(["too early"])
        play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
        play.feed.add_batch(["after"])
        await play.publish()
        await settle()
        assert play.events == [SnapshotAnswer(0, ["state"]), "after"]
        await stopped(running)

    play(main)


def test_the_next_epoch_is_read_from_its_beginning() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        await play.release()
        await running
        assert play.events == ["gone"]
        await play.lead()
        play.feed.add_batch(["first"])
        await play.publish()
        running = await play.follow()
        (hello, _) = await play.submissions()
        assert isinstance(hello, Hello)
        assert not needs_state(hello.ownership_id)
        assert play.events == ["gone", "first"]
        await stopped(running)

    play(main)


def test_a_lease_that_is_not_renewed_ends_the_reading() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await asyncio.sleep(3)
        play.feed.add_batch(["sign of life"])
        await play.publish()
        await running
        assert play.now() == pytest.approx(3 + TTL)
        assert isinstance(await play.following_lease(), Lease)

    play(main)


def test_an_engine_that_is_full_for_a_while_is_read_again() -> None:
    async def main(play: Play) -> None:
        def refuse(member: str, operation: str) -> None:
            if (member, operation) == ("b", "follow") and play.now() < 2:
                raise EngineFull(operation)

        play.engine.before = refuse
        running = await play.follow()
        play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
        await play.publish()
        await asyncio.sleep(3)
        assert play.events == [SnapshotAnswer(0, ["state"])]
        await stopped(running)

    play(main)


def test_messages_are_submitted_once_whatever_replies_are_lost() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        lost = 0

        def lose(member: str, operation: str) -> None:
            nonlocal lost
            if operation == "submit" and lost < 3:
                lost += 1
                raise EngineUnavailable(member)

        play.engine.after = lose
        play.send("one", "two")
        await asyncio.sleep(2)
        assert lost == 3
        assert (await play.submissions())[2:] == [SendMessages(1, ["one", "two"])]
        await play.answer(Results([], [(1, 2)]))
        await settle()
        assert play.process.results == [(1, None, None), (2, None, None)]
        await stopped(running)

    play(main)


def test_what_cannot_be_encoded_fails_alone() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        play.send("one", "\udcff", "two")
        play.relay.perform(play.process, Ask(REQUEST, "\udcff", "x", is_encoded=True), is_up=True)
        play.following.wake()
        await settle()
        assert [(number, error and error.__name__) for number, _, error in play.process.results] == [
            (2, "IpcError"),
            (REQUEST, "IpcError"),
        ]
        assert (await play.submissions())[2:] == [SendMessages(1, ["one"]), SendMessages(3, ["two"])]
        await stopped(running)

    play(main)


def test_a_full_mailbox_is_waited_for() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        play.send("one")
        await asyncio.sleep(1)
        found: list[ToOwner] = []
        for _ in range(6):
            found += await play.submissions()
            await asyncio.sleep(1)
        assert [type(frame) for frame in found] == [Hello, OutboxBounds, SendMessages]
        await stopped(running)

    play(main, mails=1)


def test_a_result_that_was_published_before_an_orderly_end_counts() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        play.send("sent", "not sent")
        await settle()
        play.engine.before = hide_from_b
        await play.answer(Results([], [(1, 1)]))
        await play.release()
        play.engine.before = None
        play.engine.interrupt_waits()
        await asyncio.sleep(1)
        assert running.done()
        assert play.process.results == [(1, None, None)]
        await play.lead()
        running = await play.follow()
        assert (await play.submissions())[2:] == [SendMessages(3, ["not sent"])]
        await stopped(running)

    def hide_from_b(member: str, operation: str) -> None:
        if member == "b":
            raise EngineUnavailable(operation)

    play(main)


def test_a_leader_that_is_gone_without_an_end_leaves_fates_unknown() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        play.send("one")
        await settle()
        await play.fail()
        await play.lead()
        await settle()
        assert [error and error.__name__ for _, _, error in play.process.results] == ["DeliveryUnknown"]
        assert play.events == ["gone"]
        await stopped(running)

    play(main)


def test_what_the_engine_refused_goes_to_the_next_leader() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.fail()
        play.send("one")
        await settle()
        await play.lead()
        await settle()
        assert play.process.results == []
        assert (await play.submissions())[2:] == [SendMessages(2, ["one"])]
        await stopped(running)

    play(main)


def test_an_epoch_that_is_over_is_asked_for_once_and_not_with_each_message() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        await play.fail()
        commands = Counter[str]()
        play.engine.before = lambda member, operation: commands.update([f"{member} {operation}"])
        for number in range(1, 21):
            play.relay.perform(play.process, SendMessages(number, [str(number)]), is_up=True)
            play.following.wake()
            await settle()
        await asyncio.sleep(TTL / 2)
        assert commands["b submit"] == 1
        await play.lead()
        await settle()
        assert commands["b submit"] <= 3
        assert (await play.submissions())[2:] == [SendMessages(2, [str(number) for number in range(1, 21)])]
        await stopped(running)

    play(main)


def test_silence_of_the_engine_is_told_and_its_end() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        play.feed.add_for("b", [SnapshotAnswer(0, [])])
        await play.publish()
        await settle()
        renewing = asyncio.ensure_future(renew(play))
        play.engine.before = hide_from_b
        play.engine.interrupt_waits()
        await asyncio.sleep(TTL + 5)
        play.feed.add_batch(["meanwhile"])
        await play.publish()
        await asyncio.sleep(1)
        play.engine.before = None
        await asyncio.wait((running,), timeout=3)
        running = await play.follow()
        await asyncio.sleep(1)
        assert play.events[1:] == ["silence", "heard", "meanwhile"]
        await stopped(renewing)
        await stopped(running)

    def hide_from_b(member: str, operation: str) -> None:
        if member == "b" and operation == "follow":
            raise EngineUnavailable(operation)

    async def renew(play: Play) -> None:
        while True:
            await asyncio.sleep(3)
            await play.own.renew(play.epoch, TTL)

    play(main)


def test_missing_batches_are_marked_with_the_number_of_their_messages() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        play.feed.add_for("b", [SnapshotAnswer(0, [])])
        await play.publish()
        await settle()
        await stopped(running)
        for number in range(5):
            play.feed.add_batch([f"{number}a", f"{number}b"])
            await play.publish()
        running = await play.follow()
        gap, *rest = play.events[1:]
        assert isinstance(gap, GapNotice)
        assert (gap.gap.missed, rest) == (6, ["3a", "3b", "4a", "4b"])
        await stopped(running)

    play(main, records=2)


def test_a_member_that_missed_the_state_of_the_leader_asks_for_it_again() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        assert len(await play.submissions()) == 2
        await stopped(running)
        play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
        for number in range(5):
            play.feed.add_batch([str(number)])
            await play.publish()
        running = await play.follow()
        hello, _ = await play.submissions()
        assert isinstance(hello, Hello)
        assert needs_state(hello.ownership_id)
        play.feed.add_for("b", [SnapshotAnswer(0, ["later state"])])
        play.feed.add_batch(["after"])
        await play.publish()
        await settle()
        assert play.events == [SnapshotAnswer(0, ["later state"]), "after"]
        await stopped(running)

    play(main, records=2)


def test_a_member_whose_answers_are_lost_introduces_itself_anew() -> None:
    for frames, skip in (((Shutdown(),), 0), ((Results([], []),), 1)):

        async def main(play: Play, frames: Any = frames, skip: int = skip) -> None:
            running = await play.follow()
            play.send("one")
            await settle()
            assert len(await play.submissions()) == 3
            await play.answer(*frames, skip=skip)
            await settle()
            hello, _ = await play.submissions()
            assert isinstance(hello, Hello)
            assert not needs_state(hello.ownership_id)
            assert [error and error.__name__ for _, _, error in play.process.results] == ["DeliveryUnknown"]
            await stopped(running)

        play(main)


def test_a_member_that_introduces_itself_anew_says_whether_it_had_subscriptions() -> None:
    async def main(play: Play) -> None:
        async def introduced() -> bool:
            """Answer that the member is not known; returns what it says then."""
            await play.submissions()
            await play.answer(Shutdown())
            await settle()
            (hello,) = (each for each in await play.submissions() if isinstance(each, Hello))
            assert not needs_state(hello.ownership_id)
            return has_lost_subscriptions(hello.ownership_id)

        async def subscribe(add: list[str], remove: list[str]) -> None:
            play.relay.perform(play.process, Subscribe(add, remove), is_up=True)
            play.following.wake()
            await settle()

        running = await play.follow()
        assert not await introduced()  # it had none
        await subscribe(["a", "b"], [])
        assert await introduced()
        await subscribe([], ["a"])
        assert await introduced()
        await subscribe([], ["b"])
        assert not await introduced()  # its last one has ended
        await subscribe(["c"], [])
        await play.release()
        await running
        await play.lead()
        running = await play.follow()
        hello, *_ = await play.submissions()
        assert isinstance(hello, Hello)
        assert not has_lost_subscriptions(hello.ownership_id)  # that of a new leader begins with a marker as it is
        assert await introduced()
        await stopped(running)

    play(main)


def test_a_rejection_is_told_and_another_attempt_introduces_the_member_again() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        await play.answer(Rejection(OptionConflict("no", option="headers")))
        await settle()
        assert [type(each) for each in play.events] == [OptionConflict]
        await stopped(running)
        running = await play.follow()
        hello, _ = await play.submissions()
        assert isinstance(hello, Hello)
        await stopped(running)

    play(main)


def test_a_member_with_nothing_to_say_shows_that_it_lives() -> None:
    async def main(play: Play) -> None:
        running = await play.follow()
        await play.submissions()
        for _ in range(3):
            await asyncio.sleep(TTL * 0.7)
            await play.own.renew(1, TTL)
            play.feed.add_batch(["sign of life"])
            await play.publish()
        assert [type(frame) for frame in await play.submissions()] == [OutboxBounds, OutboxBounds]
        await stopped(running)

    play(main)


def test_the_next_leader_reads_what_the_one_before_has_published_and_not_what_it_publishes_itself() -> None:
    async def main(play: Play) -> None:
        task = await play.follow()
        play.feed.add_for("b", [SnapshotAnswer(0, [])])
        play.feed.add_batch(["read"])
        await play.publish()
        await settle()
        await stopped(task)
        for text in ("rest", "of", "it"):
            play.feed.add_batch([text])
            await play.publish()
        await play.answer(Results([(1, None, None)]))
        await play.fail()
        lease = await play.following_lease()
        assert isinstance(lease, Lease)
        own: Coordinator = play.following._coordinator
        play.feed.add_batch(["its own"])
        payload = play.feed.take(MIN_PAYLOAD)
        assert payload is not None
        await own.publish(Position(lease.epoch, 1), payload)
        before = play.now()
        await play.following.read_rest(lease.epoch)
        assert play.now() == before
        assert [event for event in play.events if isinstance(event, str)] == ["read", "rest", "of", "it"]

    play(main)


def test_a_new_member_that_leads_has_nothing_to_read() -> None:
    async def main(play: Play) -> None:
        await play.fail()
        lease = await play.following_lease()
        assert isinstance(lease, Lease)
        await play.following.read_rest(lease.epoch)
        assert play.events == []

    play(main)


@pytest.mark.parametrize("dropped", [1, 2, 3])
def test_an_end_of_an_epoch_that_nothing_counts_is_told_once(dropped: int) -> None:
    """The engine has dropped a record with messages, also the end, also the next epoch's beginning."""

    async def main(play: Play) -> None:
        running = await attached(play)
        await stopped(running)
        play.feed.add_batch(["missed"])
        await play.publish()
        await play.release()
        await play.lead()
        for _ in range(2 + dropped):  # the first two were read
            play.engine.model(KEY)._feed.popleft()
        play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
        await play.publish()
        running = await play.follow()
        assert play.events.count("missed") == 1
        await stopped(running)

    play(main)


def test_records_that_a_later_one_counts_are_told_by_their_number_alone() -> None:
    async def main(play: Play) -> None:
        running = await attached(play)
        await stopped(running)
        for message in ("missed", "read"):
            play.feed.add_batch([message])
            await play.publish()
        del play.engine.model(KEY)._feed[2]
        running = await play.follow()
        await play.release()
        await play.lead()
        play.feed.add_batch(["next"])
        await play.publish()
        running = await play.follow()
        (gap,) = [each.gap for each in play.events if isinstance(each, GapNotice)]
        assert gap.missed == 1
        assert "missed" not in play.events
        await stopped(running)

    play(main)


async def attached(play: Play) -> asyncio.Task[None]:
    """Follow, with the state of the leader, which is the second record."""
    running = await play.follow()
    play.feed.add_for("b", [SnapshotAnswer(0, ["state"])])
    await play.publish()
    await settle()
    return running
