"""The gateway's parts that need no socket."""

import asyncio
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket.errors import InvalidOption, WaitTimeout
from onesocket.testing._virtual_time import run_virtual
from onesocket_discord._serving import EncodedDispatch
from onesocket_discord._serving._server_payloads import content_for
from onesocket_discord.protocol._compression import zlib_compressor, zstd_compressor
from onesocket_discord.protocol._zstd import zstd
from onesocket_discord.server._ports import Account, Directory, Event
from onesocket_discord.server.gateway import GatewayOptions
from onesocket_discord.server.gateway._fault_schedule import FaultSchedule, FaultTarget
from onesocket_discord.server.gateway._identify_limiter import IdentifyLimiter, IdentifyVerdict
from onesocket_discord.server.gateway._presence_tracker import PresenceTracker
from onesocket_discord.server.gateway._published_dispatch import PublishedDispatch
from onesocket_discord.server.gateway._session import GatewaySession
from onesocket_discord.server.gateway._session_registry import SessionRegistry
from onesocket_discord.server.gateway._stats import StatsCounter
from tests.unit.onesocket_discord.server.gateway.raw_client import FakeDirectory

BOT = Account(1, "robo", True)


def session(
    *, shard: tuple[int, int] = (0, 1), intents: int = 512, account: Account = BOT, **options: Any
) -> GatewaySession:
    made = GatewaySession(account, b"", intents, shard, GatewayOptions(**options))
    made.begin()
    return made


def written(target: GatewaySession) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    target.write = lambda frame: frames.append(json.loads(frame))
    return frames


# --- payloads -------------------------------------------------------------------------------------------------------


@given(data=st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.none()), seq=st.integers(0, 2**60))
def test_a_frame_is_the_body_with_its_number(data: dict[str, Any], seq: int) -> None:
    assert json.loads(EncodedDispatch("X", data).payload(seq)) == {"op": 0, "t": "X", "s": seq, "d": data}


def test_hiding_the_content_leaves_the_rest_and_invents_nothing() -> None:
    data = {"id": "1", "guild_id": "9", "content": "secret", "embeds": [1], "author": {"id": "2"}}
    dispatch = PublishedDispatch(Event("MESSAGE_CREATE", data, frozenset(), content_of=2))
    hidden = json.loads(dispatch.form_for(7).payload(1))["d"]
    assert hidden == {**data, "content": "", "embeds": []}
    assert data["content"] == "secret"
    assert dispatch.form_for(7) is dispatch.form_for(8)
    assert dispatch.form_for(2) is dispatch.shown
    assert content_for({"referenced_message": None, "author": {"id": "2"}}, "2")["referenced_message"] is None
    private = PublishedDispatch(Event("MESSAGE_CREATE", {**data, "guild_id": None}, frozenset(), 0, 2))
    assert private.form_for(7) is private.shown


def test_a_reply_and_what_it_replies_to_are_hidden_each_for_itself() -> None:
    original = {"id": "1", "content": "of 2", "author": {"id": "2"}, "mentions": [{"id": "5"}]}
    reply = {"guild_id": "9", "content": "of 3", "author": {"id": "3"}, "mentions": [{"id": "4"}]}
    event = Event("MESSAGE_CREATE", {**reply, "referenced_message": original}, frozenset(), content_of=3)
    dispatch = PublishedDispatch(event)

    def read(user_id: int) -> tuple[str, str]:
        body = json.loads(dispatch.form_for(user_id).payload(1))["d"]
        return body["content"], body["referenced_message"]["content"]

    assert [read(user_id) for user_id in (2, 3, 4, 5, 6)] == [
        ("", "of 2"),
        ("of 3", ""),
        ("of 3", ""),
        ("", "of 2"),
        ("", ""),
    ]


def test_what_a_bot_forwards_tells_it_nothing() -> None:
    snapshots = [{"message": {"content": "secret", "attachments": [1]}}]
    data = {"guild_id": "9", "content": "", "author": {"id": "2"}, "message_snapshots": snapshots}
    assert content_for(data, "2")["message_snapshots"] == [{"message": {"content": "", "attachments": []}}]
    assert snapshots[0]["message"]["content"] == "secret"


@pytest.mark.parametrize(("is_bot", "read"), [(True, ""), (False, "secret")])
def test_what_is_forwarded_into_a_direct_message_is_read_by_bots_if_a_person_did_it(is_bot: bool, read: str) -> None:
    snapshots = [{"message": {"content": "secret"}}]
    data = {"content": "look", "author": {"id": "2", "bot": is_bot}, "message_snapshots": snapshots}
    dispatch = PublishedDispatch(Event("MESSAGE_CREATE", data, frozenset(), content_of=2))
    body = json.loads(dispatch.form_for(2).payload(1))["d"]
    assert (body["content"], body["message_snapshots"][0]["message"]["content"]) == ("look", read)


@pytest.mark.parametrize(
    ("name", "data", "shard_key"),
    [
        ("MESSAGE_CREATE", {"guild_id": str(5 << 22)}, 5),
        ("GUILD_CREATE", {"id": str(5 << 22)}, 5),
        ("GUILD_DELETE", {"id": str(5 << 22)}, 5),
        ("USER_UPDATE", {"id": str(5 << 22)}, 0),
        ("MESSAGE_CREATE", {"id": str(5 << 22)}, 0),
    ],
)
def test_the_shard_is_decided_by_the_guild(name: str, data: dict[str, Any], shard_key: int) -> None:
    assert PublishedDispatch(Event(name, data, frozenset())).shard_key == shard_key


# --- compression ----------------------------------------------------------------------------------------------------


@given(payloads=st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=8))
def test_each_compressed_payload_can_be_read_as_soon_as_it_is_there(payloads: list[bytes]) -> None:
    pack, unpack = zlib_compressor(), zlib.decompressobj()
    for payload in payloads:
        packed = pack(payload)
        assert packed.endswith(b"\x00\x00\xff\xff")
        assert unpack.decompress(packed) == payload
    pack, unzstd = zstd_compressor(), zstd.ZstdDecompressor()
    assert [unzstd.decompress(pack(payload)) for payload in payloads] == payloads


# --- sessions -------------------------------------------------------------------------------------------------------


def test_ids_of_sessions_can_not_be_guessed_and_tell_nothing() -> None:
    ids = {session().id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 32 for one in ids)
    assert session().id not in repr(session())


@given(
    count=st.integers(0, 40),
    limit=st.integers(1, 20),
    seq=st.integers(0, 40),
)
def test_a_replay_is_everything_after_a_number_or_not_offered(count: int, limit: int, seq: int) -> None:
    one = session(replay_count=limit)
    for number in range(1, count + 1):
        one.push(EncodedDispatch("X", {"n": number}))
    assert one.covers(seq) == (count - min(count, limit) <= seq <= count)
    if one.covers(seq):
        frames = [json.loads(frame) for frame in one.missed(seq)]
        assert [(frame["s"], frame["d"]["n"]) for frame in frames] == [(n, n) for n in range(seq + 1, count + 1)]


@given(sizes=st.lists(st.integers(0, 400), max_size=60))
def test_a_replay_holds_no_more_bytes_than_it_may(sizes: list[int]) -> None:
    one = session(replay_bytes=1000, replay_count=1000)
    for size in sizes:
        one.push(EncodedDispatch("X", {"x": "x" * size}))
        assert sum(body.size for body in one.replay) <= 1000
        assert one.covers(one.seq)
    if sum(size + 40 for size in sizes) <= 1000:
        assert len(one.replay) == len(sizes)


def test_before_ready_events_wait_and_are_bounded() -> None:
    one = GatewaySession(BOT, b"", 512, (0, 1), GatewayOptions(replay_count=3))
    frames = written(one)
    for number in range(5):
        one.offer(PublishedDispatch(Event("X", {"n": number}, frozenset({1}))))
    assert not frames
    assert len(one.begin()) == 3
    one.offer(PublishedDispatch(Event("X", {}, frozenset({1}))))
    assert [frame["s"] for frame in frames] == [1]


# --- budgets, expiry, presence --------------------------------------------------------------------------------------


def test_identifies_are_counted_per_bucket_and_per_day() -> None:
    async def scenario() -> None:
        limiter = IdentifyLimiter(GatewayOptions(identify_limit=3, max_concurrency=2))
        assert [limiter.check(BOT, shard) for shard in (0, 1, 2, 3)] == [
            IdentifyVerdict.GRANTED,
            IdentifyVerdict.GRANTED,
            IdentifyVerdict.TOO_FAST,
            IdentifyVerdict.TOO_FAST,
        ]
        assert limiter.check(Account(2, "ann", False), 0) is IdentifyVerdict.GRANTED
        await virtual_sleep(5)
        assert limiter.check(BOT, 2) is IdentifyVerdict.GRANTED
        assert limiter.check(BOT, 3) is IdentifyVerdict.SPENT
        assert limiter.limit(BOT) == {"total": 3, "remaining": 0, "reset_after": 86_395_000, "max_concurrency": 2}
        await virtual_sleep(86_395)
        assert limiter.limit(BOT)["remaining"] == 3
        assert limiter.check(BOT, 0) is IdentifyVerdict.GRANTED

    run_virtual(scenario)


async def virtual_sleep(seconds: float) -> None:
    """Virtual seconds."""
    await asyncio.sleep(seconds)


def test_a_session_alone_is_absent_after_the_grace_and_over_after_its_time() -> None:
    async def scenario() -> None:
        changes: list[int] = []
        options = GatewayOptions(presence_grace=10, session_ttl=300)
        sessions = SessionRegistry(options, StatsCounter(), changes.append)
        one = session()
        assert sessions.add(one)
        sessions.attached(one)
        assert (one.present, changes) == (True, [1])
        sessions.detached(one)
        await virtual_sleep(9)
        assert one.present
        sessions.attached(one)  # it is attached again within the grace
        assert changes == [1]
        sessions.detached(one)
        await virtual_sleep(11)
        assert (one.present, changes) == (False, [1, 1])
        await virtual_sleep(288)
        assert sessions.get(one.id) is one
        await virtual_sleep(2)
        assert sessions.get(one.id) is None
        assert sessions.by_user == {}

    run_virtual(scenario)


def test_the_most_present_of_several_sessions_is_shown_and_only_changes_are_told() -> None:
    async def scenario() -> None:
        events: list[Event] = []
        mine: list[GatewaySession] = [session(), session()]
        directory: Directory = FakeDirectory()
        presences = PresenceTracker(lambda: directory, lambda _: tuple(mine), events.append)
        for one, status in zip(mine, ("idle", "invisible"), strict=True):
            one.present, one.presence = True, {"status": status, "activities": []}
        for _ in range(3):
            presences.changed(1)
        await virtual_sleep(1)
        presences.changed(1)
        await virtual_sleep(1)
        assert [event.data["status"] for event in events] == ["idle"]
        mine[1].presence = {"status": "online", "activities": []}
        presences.changed(1)
        await virtual_sleep(1)
        mine.clear()
        presences.changed(1)
        await virtual_sleep(1)
        assert [event.data["status"] for event in events] == ["idle", "online", "offline"]
        await presences.stop()

    run_virtual(scenario)


# --- counting, the plan, options ------------------------------------------------------------------------------------


def test_waiting_for_numbers_ends_when_they_are_there_or_at_the_deadline() -> None:
    async def scenario() -> None:
        counting = StatsCounter()
        with pytest.raises(WaitTimeout, match="not within 5 s"):
            await counting.wait_for(lambda stats: stats.open == 1, 5)
        counting.add("open")
        assert (await counting.wait_for(lambda stats: stats.open == 1, 0)).open == 1

    run_virtual(scenario)


def test_faults_happen_in_the_order_in_which_they_were_asked_for() -> None:
    plan = FaultSchedule()
    first = plan.add("slow_upgrade", FaultTarget(), 1, seconds=1)
    second = plan.add("slow_upgrade", FaultTarget(), None, seconds=2)
    for_one = plan.add("withhold_acks", FaultTarget(user="robo"), None)
    assert [plan.take("slow_upgrade") for _ in range(3)] == [first, second, second]
    assert plan.take("withhold_acks") is None  # no connection has identified
    second.lift()
    second.lift()
    assert plan.active == (for_one,)


@pytest.mark.parametrize(
    "options",
    [
        {"heartbeat_interval": 0},
        {"session_ttl": -1},
        {"rate_limit": 0},
        {"replay_count": 0},
        {"max_concurrency": 0},
        {"max_connections": 0},
        {"max_per_address": -1},
        {"max_http_per_address": 0},
        {"max_sessions_per_user": 0},
        {"write_buffer": 10},
        {"identify_interval": float("nan")},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        GatewayOptions(**options)
