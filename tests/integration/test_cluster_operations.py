"""Messages, requests and subscriptions of hosts that follow: what arrives, and what their senders are told."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from onesocket import Json, OnesocketError, Requests
from onesocket.client import GapReason
from onesocket.errors import DeliveryUnknown, OutboxFull, RequestLost, SubscriptionRefused
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.protocols import Subscriptions
from onesocket.testing import FaultyConnection, FaultyServer
from tests.support.cluster_hosts import Cluster, short_lease
from tests.support.ledger_venue import key_of, read_answer, subscribe, unsubscribe

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")


async def received(server: FaultyServer, count: int) -> None:
    """Wait until the server has so many messages."""
    await server.wait_until(lambda _: len(server.received) >= count)


class Answers:
    """A stream's reader."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.ended = asyncio.Event()

    def take(self, answer: Any) -> None:
        self.items.append(answer)

    def fail(self, error: OnesocketError) -> None:
        self.items.append(type(error))
        self.ended.set()

    def end(self) -> None:
        self.ended.set()


class KeySubscriberStub:
    """A subscriber of keys."""

    def __init__(self) -> None:
        self.refusals: list[SubscriptionRefused] = []
        self.is_refused = asyncio.Event()

    def refused(self, error: SubscriptionRefused) -> None:
        self.refusals.append(error)
        self.is_refused.set()


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_messages_of_all_hosts_arrive_once_and_in_the_order_of_each(cluster: Cluster) -> None:
    hosts = await cluster.connected(3)
    sent = [f"{at} {number}" for at in range(3) for number in range(50)]
    await asyncio.gather(*(hosts[int(text[0])].upstream.send(text) for text in sent))
    await received(cluster.server, 150)
    got = [str(message) for message in cluster.server.received]
    assert Counter(got) == Counter(sent)
    for at in range(3):
        assert [text for text in got if text.startswith(str(at))] == sent[50 * at : 50 * at + 50]


async def test_messages_before_the_leader_is_known_wait_for_it(cluster: Cluster) -> None:
    (leader,) = await cluster.connected(1)
    other = cluster.host()
    sending = asyncio.create_task(other.upstream.send("early"))
    await other.upstream.connect()
    await sending
    await received(cluster.server, 1)
    assert cluster.server.received == ["early"]
    assert not other.upstream.is_owner
    assert leader.upstream.is_owner


async def test_nothing_is_lost_or_sent_twice_when_the_leader_leaves_in_order(cluster: Cluster) -> None:
    leader, *others = await cluster.connected(3)
    sent = [f"{at} {number}" for number in range(300) for at in range(2)]

    async def send(at: int) -> None:
        for text in sent:
            if int(text[0]) == at:
                await others[at].upstream.send(text)

    sending = [asyncio.create_task(send(at)) for at in range(2)]
    await cluster.server.wait_until(lambda _: len(cluster.server.received) >= 50)
    await leader.upstream.aclose()
    await asyncio.gather(*sending)
    await received(cluster.server, len(sent))
    assert Counter(cluster.server.received) == Counter(sent)
    for at in range(2):
        assert [text for text in cluster.server.received if str(text)[0] == str(at)] == [
            text for text in sent if text[0] == str(at)
        ]
    assert cluster.server.counts.upgraded == 2


@short_lease
async def test_a_leader_that_ends_without_an_answer_leaves_the_delivery_unknown(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    cluster.mute(leader)
    once = asyncio.create_task(other.upstream.send("once"))
    again = asyncio.create_task(other.upstream.send("again", resend=True))
    with pytest.raises(DeliveryUnknown, match="the host that held the connection ended"):
        await once
    await again
    await received(cluster.server, 3)
    assert Counter(cluster.server.received) == {"once": 1, "again": 2}


@short_lease
async def test_a_message_that_no_leader_took_is_sent_by_the_next_one(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    cluster.partition(leader)
    cluster.engine.model(other.owner_key).expire()
    await other.upstream.send("sent once")
    await received(cluster.server, 1)
    assert cluster.server.received == ["sent once"]


async def test_a_cancelled_sender_learns_whether_its_message_may_have_arrived(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    await other.upstream.send("first")
    cluster.partition(other)
    waiting = asyncio.create_task(other.upstream.send("withdrawn"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises((DeliveryUnknown, asyncio.CancelledError)):
        await waiting
    cluster.heal_all()
    await leader.upstream.send("last")
    await other.connected(1)


async def test_a_process_without_an_outbox_is_refused_while_there_is_no_connection(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2, outbox=None)
    await leader.upstream.disconnect()
    await leader.upstream.aclose()
    cluster.server.faults = lambda _: None
    with pytest.raises(OnesocketError):
        await other.upstream.send("no")
    assert cluster.server.received == []


@short_lease
async def test_the_limits_of_an_outbox_hold_on_a_host_that_follows(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2, outbox=OutboxLimits(3, 60.0))
    for host in (leader, other):
        cluster.partition(host)
    await other.until(lambda host: host.upstream.status.is_connecting)
    waiting = [asyncio.create_task(other.upstream.send(str(number))) for number in range(5)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert {type(task.exception()) for task in done} == {OutboxFull}
    cluster.heal_all()
    await asyncio.gather(*waiting, return_exceptions=True)
    await received(cluster.server, 3)
    assert cluster.server.received == ["0", "1", "2"]


async def test_long_messages_go_both_ways(cluster: Cluster) -> None:
    _, other = await cluster.connected(2)
    long = "x" * 3_000_000
    await other.upstream.send(long)
    await other.got(long)  # the server echoes
    assert cluster.server.received == [long]


# --- requests ---------------------------------------------------------------------------------------------------------


def requesting() -> Json[Any]:
    return Json(requests=Requests())


async def test_hosts_ask_with_ids_that_the_leader_makes(cluster: Cluster) -> None:
    hosts = await cluster.connected(3, requesting)
    answers = await asyncio.gather(
        *(host.upstream.request({"q": number, "id": "mine"}, timeout=5) for host in hosts for number in range(5))
    )
    assert answers == [{"q": number, "id": "mine"} for _ in hosts for number in range(5)]
    assert sorted(json.loads(data)["id"] for data in cluster.server.received) == list(range(1, 16))


@short_lease
async def test_a_request_whose_leader_is_gone_is_lost_unless_it_may_be_repeated(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2, requesting)
    cluster.mute(leader)
    lost = asyncio.create_task(other.upstream.request({"q": 1}, timeout=9))
    kept = asyncio.create_task(other.upstream.request({"q": 2}, timeout=9, resend=True))
    with pytest.raises(RequestLost, match="the host that held the connection is gone"):
        await lost
    assert (await kept)["q"] == 2
    assert Counter(json.loads(data)["q"] for data in cluster.server.received) == {1: 1, 2: 2}


async def test_a_stream_of_answers_reaches_the_host_that_asked(cluster: Cluster) -> None:
    def answer(connection: FaultyConnection, message: Any) -> None:
        asked = json.loads(message)
        for part in range(3):
            connection.send_nowait(json.dumps({"id": asked["id"], "part": part, "last": part == 2}))

    cluster.server.on_message = answer
    cluster.server.echo = False
    _, other = await cluster.connected(2, lambda: Json(requests=Requests(last=lambda answer: answer["last"])))
    answers = Answers()
    other.upstream.open_answers({"q": 1}, answers)
    await answers.ended.wait()
    assert [answer["part"] for answer in answers.items] == [0, 1, 2]


# --- subscriptions ----------------------------------------------------------------------------------------------------


def venue(connection: FaultyConnection, message: str | bytes) -> str | None:
    """Refuse x, and accept all others."""
    del connection
    asked = json.loads(message)
    if asked["op"] != "subscribe":
        return None
    refused = [key for key in asked["args"] if key == "x"]
    return json.dumps({"answer": "no" if refused else "ok", "keys": refused or asked["args"]})


def subscribing() -> Json[Any]:
    return Json(
        subscriptions=Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, key=key_of, ack=read_answer, batch=1)
    )


@pytest.fixture
async def venue_cluster(cluster: Cluster) -> Cluster:
    cluster.server.on_message = venue
    cluster.server.echo = False
    return cluster


async def wanted(server: FaultyServer, keys: set[str]) -> None:
    """Wait until the server has exactly these subscriptions."""
    await server.wait_until(lambda _: bool(server.connections) and server.connections[0].subscriptions.keys == keys)


async def test_the_server_has_what_the_processes_of_all_hosts_want(venue_cluster: Cluster) -> None:
    cluster, server = venue_cluster, venue_cluster.server
    leader, *others = await cluster.connected(3, subscribing)
    readers = [KeySubscriberStub() for _ in range(3)]
    leader.upstream.add_keys(readers[0], ["a"])
    others[0].upstream.add_keys(readers[1], ["a", "b"])
    others[1].upstream.add_keys(readers[2], ["c"])
    await wanted(server, {"a", "b", "c"})
    others[0].upstream.remove_keys(readers[1], ["b"])
    leader.upstream.remove_keys(readers[0])
    await wanted(server, {"a", "c"})
    await leader.upstream.aclose()
    await wanted(server, {"a", "c"})
    assert server.counts.upgraded == 2
    await others[1].upstream.aclose()
    await wanted(server, {"a"})


async def test_a_refusal_reaches_the_readers_of_a_host_that_follows(venue_cluster: Cluster) -> None:
    _, other = await venue_cluster.connected(2, subscribing)
    reader = KeySubscriberStub()
    other.upstream.add_keys(reader, ["a", "x"])
    await asyncio.wait_for(reader.is_refused.wait(), 5)
    assert [error.keys for error in reader.refusals] == [("x",)]
    await wanted(venue_cluster.server, {"a", "x"})  # as it keeps account, without its answers


async def test_the_subscriptions_of_a_host_that_is_gone_end(venue_cluster: Cluster) -> None:
    cluster, server = venue_cluster, venue_cluster.server
    leader, other, third = await cluster.connected(3, subscribing)
    other.upstream.add_keys(KeySubscriberStub(), ["b"])
    leader.upstream.add_keys(KeySubscriberStub(), ["a"])
    await wanted(server, {"a", "b"})
    cluster.partition(other)
    for member in leader.owner.leader.members._members.values():
        member.heard_at -= 3600
    leader.owner.leader.on_renewed()
    await wanted(server, {"a"})
    cluster.heal_all()
    other.upstream.add_keys(KeySubscriberStub(), ["c"])  # it hears by the answer that it was dropped
    third.upstream.add_keys(KeySubscriberStub(), ["d"])
    await wanted(server, {"a", "b", "c", "d"})
    await server.broadcast('"after it"')
    for host in cluster.hosts:
        await host.got("after it")
    # Of b, messages may be missing that no host received.
    marker, last = (item for item in other.received if not isinstance(item, dict))
    assert (marker.reason, last) == (GapReason.OVERFLOW, "after it")
    assert [host.gap_reasons for host in cluster.hosts] == [set(), {GapReason.OVERFLOW}, set()]
