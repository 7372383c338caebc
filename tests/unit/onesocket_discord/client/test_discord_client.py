"""The client on virtual time, against a gateway in memory."""

import asyncio
import json
from typing import Any

import pytest

from onesocket import Gap, ReconnectPolicy, State, Subscription
from onesocket.client import GapReason, OutboxLimits
from onesocket.errors import (
    DeliveryUnknown,
    InvalidOption,
    OnesocketError,
    OpenTimeout,
    OutboxFull,
    SilenceTimeout,
    TokenFailed,
    UsageError,
    WaitTimeout,
)
from onesocket_discord import (
    DiscordClient,
    Dispatch,
    IdentifyBudgetExhausted,
    Intents,
    PayloadTooBig,
    Presence,
    RequestLimited,
    WrongToken,
)
from onesocket_discord.protocol._limits import IDENTIFY_PERIOD, SEND_LIMIT
from tests.unit.onesocket_discord.client.memory_gateway import MemoryGateway
from tests.unit.virtual_time import on_virtual_time, settle

QUERY = {"op": 3, "d": {"status": "online"}}


async def dispatch(stream: Subscription[Any]) -> Dispatch:
    """The next message, which is no gap."""
    item = await anext(stream)
    assert isinstance(item, Dispatch)
    return item


@on_virtual_time
async def test_connected_means_ready_and_callers_share_one_identify() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    seen = client.subscribe("READY")
    await asyncio.gather(*(client.connect() for _ in range(100)))
    assert client.state is State.CONNECTED
    assert len(gateway.server.peers) == len(gateway.ops(2)) == 1
    ready = await anext(seen)
    assert isinstance(ready, Dispatch)
    assert client.ready is ready
    await asyncio.sleep(100)
    assert client.status.rtt is not None
    assert client.status.url == "ws://memory.test/"
    await client.aclose()
    assert gateway.peer.close_code == 1000


@on_virtual_time
async def test_a_session_whose_heartbeats_are_answered_but_that_brings_no_messages_is_resumed() -> None:
    gateway = MemoryGateway()
    client = gateway.client(silence_timeout=100, silence_of=lambda dispatch: dispatch.event == "MESSAGE_CREATE")
    await client.connect()
    for _ in range(3):
        await asyncio.sleep(90)
        gateway.event("MESSAGE_CREATE", {"id": "1", "channel_id": "1"})
    assert len(gateway.server.peers) == 1
    for _ in range(13):
        gateway.event("TYPING_START")
        await asyncio.sleep(10)
    assert isinstance(client.status.last_loss, SilenceTimeout)
    assert (len(gateway.ops(2)), len(gateway.ops(6))) == (1, 1)
    assert gateway.server.peers[0].close_code == 4000
    await client.aclose()


@on_virtual_time
async def test_op_7_is_resumed_without_a_gap_and_each_message_comes_once() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    stream = client.subscribe("MESSAGE_CREATE")
    await client.connect()
    gateway.event("MESSAGE_CREATE", {"id": "1", "channel_id": "1"})
    gateway.replay = [("MESSAGE_CREATE", {"id": str(number), "channel_id": "1"}) for number in (2, 3)]
    gateway.say(7)
    await settle(100)
    gateway.event("MESSAGE_CREATE", {"id": "4", "channel_id": "1"})
    assert [(await dispatch(stream)).data.id for _ in range(4)] == ["1", "2", "3", "4"]
    assert len(gateway.ops(2)) == 1
    assert gateway.ops(6)[0]["d"]["seq"] == 2
    assert [peer.close_code for peer in gateway.server.peers] == [4000, None]
    assert "resume.test" in gateway.peer.request.url
    assert gateway.server.most_open == 1
    await client.aclose()


@on_virtual_time
async def test_a_new_session_is_announced_by_a_gap_before_its_ready() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    stream = client.subscribe()
    assert getattr(await anext(stream), "event", None) == "READY"
    gateway.refuses_resume = True
    gateway.say(7)
    await asyncio.sleep(30)
    gap, ready = await anext(stream), await anext(stream)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.RECONNECTED
    assert isinstance(ready, Dispatch)
    assert ready.event == "READY"
    wait = gateway.times(2)[1] - gateway.times(6)[0]
    assert 1 <= wait <= 5 + 1 + IDENTIFY_PERIOD
    assert "memory.test" in gateway.peer.request.url
    await client.aclose()


@on_virtual_time
async def test_what_is_too_big_to_take_is_not_asked_for_again() -> None:
    gateway = MemoryGateway()
    client = gateway.client(max_size=2000)
    await client.connect()
    gateway.event("X", {"x": "x" * 3000})
    await asyncio.sleep(60)
    assert gateway.server.peers[0].close_code == 1009
    assert (len(gateway.ops(2)), len(gateway.ops(6))) == (2, 0)
    assert client.state is State.CONNECTED
    await client.aclose()


@on_virtual_time
async def test_a_zombie_is_left_and_resumed() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    gateway.acks = False
    async with asyncio.timeout(81):  # the first heartbeat comes at a random moment of the first 40 s
        while not gateway.ops(6):  # noqa: ASYNC110 - on virtual time
            await asyncio.sleep(0.5)
    gateway.acks = True
    await asyncio.sleep(5)
    assert len(gateway.ops(6)) == 1
    assert gateway.server.peers[0].close_code == 4000
    assert client.state is State.CONNECTED
    await client.aclose()


@on_virtual_time
async def test_an_ack_behind_a_message_that_comes_slowly_doesnt_make_it_a_zombie() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    gateway.acks = False
    for _ in range(50):  # several intervals
        await asyncio.sleep(7)
        gateway.peer.send_part()
    assert (len(gateway.server.peers), client.state) == (1, State.CONNECTED)
    gateway.event("X")
    await asyncio.sleep(160)  # whole messages, or none, are no answer
    assert gateway.server.peers[0].close_code == 4000
    gateway.acks = True
    await client.aclose()


@on_virtual_time
async def test_dispatches_without_an_ack_are_no_answer() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    gateway.acks = False
    for _ in range(12):
        await asyncio.sleep(7)
        gateway.event("X")
    assert gateway.server.peers[0].close_code == 4000
    gateway.acks = True
    await client.aclose()


@on_virtual_time
async def test_a_reader_that_holds_the_connection_back_doesnt_make_it_a_zombie() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    stream = client.subscribe("X", limit=1, overflow="wait")
    await client.connect()
    for _ in range(3):
        gateway.event("X")
    await asyncio.sleep(500)
    assert client.status.is_held
    assert len(gateway.server.peers) == 1
    assert [(await dispatch(stream)).event for _ in range(3)] == ["X"] * 3
    await asyncio.sleep(500)
    assert len(gateway.server.peers) == 1
    await client.aclose()


@on_virtual_time
async def test_a_fatal_code_ends_in_failed_and_says_what_to_do() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    gateway.peer.close(4004, "Authentication failed.")
    await client.wait_for(State.FAILED, timeout=10)
    assert isinstance(client.status.last_error, WrongToken)
    await asyncio.sleep(1000)
    assert len(gateway.server.peers) == 1
    await client.aclose()


@on_virtual_time
async def test_our_own_goodbye_ends_the_session() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    await client.reconnect()
    await client.disconnect()
    await client.reconnect()
    assert (len(gateway.ops(2)), len(gateway.ops(6))) == (3, 0)
    await client.aclose()


@on_virtual_time
async def test_a_disconnect_between_two_connections_ends_the_session_too() -> None:
    gateway = MemoryGateway()
    client = gateway.client(reconnect=ReconnectPolicy(busy_delay=50))
    await client.connect()
    gateway.peer.close(1013)
    await client.wait_for(State.BACKING_OFF, timeout=10)
    await client.disconnect()
    await client.reconnect()
    assert (len(gateway.ops(2)), len(gateway.ops(6))) == (2, 0)
    await client.aclose()


# --- identifies -------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_shards_wait_for_their_turn_and_that_is_no_timeout() -> None:
    gateway = MemoryGateway()
    clients = [gateway.client("shared-by-eight", shard=(number, 8), open_timeout=4) for number in range(8)]
    await asyncio.gather(*(client.connect() for client in clients))
    times = gateway.times(2)
    assert times == pytest.approx([number * IDENTIFY_PERIOD for number in range(8)])
    assert [payload["d"]["shard"] for payload in gateway.ops(2)] == [[number, 8] for number in range(8)]
    assert [client.serves(5 << 22) for client in clients] == [number == 5 for number in range(8)]
    await asyncio.gather(*(client.aclose() for client in clients))


@on_virtual_time
async def test_after_its_turn_the_deadline_counts() -> None:
    gateway = MemoryGateway()
    first, second = (gateway.client("shared-by-two", open_timeout=4) for _ in range(2))
    await first.connect()
    gateway.server.on_message = lambda peer, data: None
    with pytest.raises(OpenTimeout):
        await second.connect()
    assert asyncio.get_running_loop().time() == pytest.approx(4 + IDENTIFY_PERIOD)
    await first.aclose()
    await second.aclose()


@on_virtual_time
async def test_the_last_identifies_are_kept() -> None:
    gateway = MemoryGateway()
    client = gateway.client(identify_reserve=998)
    await client.connect()
    await client.reconnect()
    with pytest.raises(IdentifyBudgetExhausted):
        await client.reconnect()
    assert len(gateway.ops(2)) == 2
    assert len(gateway.server.peers) == 2  # not even a connection was opened
    await client.aclose()


# --- sending ----------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_sends_are_paced_in_order_and_none_is_lost() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    await asyncio.gather(*(client.send({"op": 3, "d": number}) for number in range(400)))
    await settle(200)
    assert [payload["d"] for payload in gateway.ops(3)] == list(range(400))
    times = [time for time, _ in gateway.heard]
    assert all(sum(start <= time < start + 60 for time in times) <= SEND_LIMIT for start in times)
    assert gateway.times(3)[-1] < 4 * 62
    assert len(gateway.server.peers) == 1
    await client.aclose()


@on_virtual_time
async def test_what_waits_for_its_turn_goes_over_the_next_connection() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    deliveries = [client.send_nowait({"op": 3, "d": number}) for number in range(150)]
    assert client.status.outbox == len([d for d in deliveries if not d.done]) > 30
    gateway.say(7)
    await settle(400)
    assert [payload["d"] for payload in gateway.ops(3)] == list(range(150))
    assert all(delivery.done and delivery.error is None for delivery in deliveries)
    await client.aclose()


@on_virtual_time
async def test_a_goodbye_doesnt_break_the_pace() -> None:
    gateway = MemoryGateway()
    troubles: list[BaseException] = []
    client = gateway.client(on_error=troubles.append)
    await client.connect()
    for number in range(150):
        client.send_nowait({"op": 3, "d": number})
    await client.disconnect()
    await settle()
    sent = len(gateway.ops(3))
    assert sent < SEND_LIMIT
    assert len(troubles) == 150 - sent
    await client.aclose()


@on_virtual_time
async def test_the_waiting_room_is_bounded() -> None:
    gateway = MemoryGateway()
    client = gateway.client(outbox=OutboxLimits(messages=5))
    await client.connect()
    with pytest.raises(OutboxFull):
        _ = [client.send_nowait(QUERY) for _ in range(150)]
    await asyncio.sleep(100)
    await client.aclose()


@on_virtual_time
async def test_what_is_too_big_is_never_sent() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    with pytest.raises(PayloadTooBig):
        await client.send({"op": 3, "d": "x" * 5000})
    assert gateway.ops(3) == []
    await client.aclose()


@on_virtual_time
async def test_the_presence_is_kept_for_the_next_login() -> None:
    gateway = MemoryGateway()
    client = gateway.client(presence=Presence("idle"))
    await client.connect()
    await client.update_presence(Presence("dnd"))
    await client.reconnect()
    said = [payload["d"].get("presence", payload["d"]).get("status") for payload in gateway.ops(2) + gateway.ops(3)]
    assert said == ["idle", "dnd", "dnd"]
    await client.aclose()


async def test_a_presence_that_is_too_big_is_refused_and_does_not_end_the_next_login() -> None:
    gateway = MemoryGateway()
    client = gateway.client(presence=Presence("idle"))
    await client.connect()
    with pytest.raises(PayloadTooBig):
        await client.update_presence(Presence("dnd", [{"name": "x" * 5000}]))
    await client.reconnect()
    assert [payload["d"]["presence"]["status"] for payload in gateway.ops(2)] == ["idle", "idle"]
    await client.aclose()


async def test_activities_that_can_be_read_once_are_shown_every_time() -> None:
    gateway = MemoryGateway()
    client = gateway.client(presence=Presence(activities=iter([{"name": "chess", "type": 0}])))
    await client.connect()
    await client.reconnect()
    assert [len(payload["d"]["presence"]["activities"]) for payload in gateway.ops(2)] == [1, 1]
    await client.aclose()


# --- members ----------------------------------------------------------------------------------------------------------


def chunk(nonce: str, index: int, count: int, *names: str) -> dict[str, Any]:
    members = [{"user": {"id": name, "username": name}} for name in names]
    return {"guild_id": "7", "nonce": nonce, "chunk_index": index, "chunk_count": count, "members": members}


@on_virtual_time
async def test_members_are_collected_from_their_chunks() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    asked = asyncio.create_task(client.request_members(7, query=""))
    await settle()
    nonce = gateway.ops(8)[0]["d"]["nonce"]
    gateway.event("GUILD_MEMBERS_CHUNK", chunk("another", 0, 1, "x"))
    gateway.event("GUILD_MEMBERS_CHUNK", chunk(nonce, 1, 3, "b"))
    gateway.event("GUILD_MEMBERS_CHUNK", chunk(nonce, 0, 3, "a"))
    gateway.say(7)  # the rest is replayed
    gateway.replay = [("GUILD_MEMBERS_CHUNK", chunk(nonce, 2, 3, "c", "d"))]
    members = (await asked).members
    assert [member.user.id for member in members if member.user is not None] == ["a", "b", "c", "d"]
    assert client.status.subscribers == 0
    await client.aclose()


@on_virtual_time
async def test_members_never_hang() -> None:
    gateway = MemoryGateway()
    client = gateway.client()
    await client.connect()
    with pytest.raises(WaitTimeout, match="guild 7"):
        await client.request_members(7, user_ids=[1], timeout=5)
    asked = asyncio.create_task(client.request_members(7, query="a"))
    await settle()
    nonce = gateway.ops(8)[1]["d"]["nonce"]
    gateway.event("RATE_LIMITED", {"opcode": 8, "retry_after": 12.5, "meta": {"nonce": nonce}})
    with pytest.raises(RequestLimited) as caught:
        await asked
    assert caught.value.retry_after == 12.5
    asked = asyncio.create_task(client.request_members(7, query="a"))
    await settle()
    gateway.refuses_resume = True
    gateway.say(7)
    with pytest.raises(DeliveryUnknown, match="ask again"):
        await asked
    await client.aclose()


# --- parameters -------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_bot_prefix_is_taken_off_and_the_token_shows_nowhere() -> None:
    gateway = MemoryGateway()
    client = gateway.client("Bot s3cret-prefixed")
    await client.connect()
    assert gateway.ops(2)[0]["d"]["token"] == "s3cret-prefixed"
    assert "s3cret" not in f"{client!r} {client.status!r} {client._options!r} {vars(client)['_gateway']!r}"
    await client.aclose()


@on_virtual_time
async def test_a_wrong_token_is_told_to_its_source_and_a_fresh_one_is_tried() -> None:
    gateway = MemoryGateway()
    told: list[tuple[str | None, str]] = []

    def source(previous: str | None, error: OnesocketError | None) -> str:
        told.append((previous, type(error).__name__))
        return "Bot fresh" if previous else "Bot old"

    client = gateway.client(source)
    await client.connect()
    gateway.peer.close(4004, "Authentication failed.")
    await client.wait_for(State.BACKING_OFF)
    await client.wait_for(State.CONNECTED)
    assert told == [(None, "NoneType"), ("old", "WrongToken")]
    assert [each["d"]["token"] for _, each in gateway.heard if each["op"] in (2, 6)] == ["old", "fresh"]
    await client.aclose()


@on_virtual_time
async def test_a_token_may_be_asked_for() -> None:
    gateway = MemoryGateway()

    async def source() -> str:
        return "asked-for"

    async with gateway.client(source):
        assert gateway.ops(2)[0]["d"]["token"] == "asked-for"
    broken: Any = lambda: None  # noqa: E731
    client = gateway.client(broken)
    with pytest.raises(TokenFailed):
        await client.connect()
    await client.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"intents": -1},
        {"intents": True},
        {"intents": "1"},
        {"shard": (2, 2)},
        {"shard": (False, True)},
        {"large_threshold": 10},
        {"compress": "gzip"},
        {"identify_reserve": -1},
        {"identify_reserve": True},
        {"open_timeout": 0},
        {"max_size": 0},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        MemoryGateway().client(**options)


def test_there_are_no_rotations() -> None:
    with pytest.raises(UsageError, match="a DiscordClient has no rotations"):
        asyncio.run(MemoryGateway().client().rotate())


def test_wrong_addresses_and_tokens_are_refused() -> None:
    for options in ({"api_url": "ftp://x/"}, {"gateway_url": "http://x/"}, {"proxy": "socks5://x:1"}):
        with pytest.raises(ValueError, match=r"URL|proxy"):
            DiscordClient("t", 0, **options)  # type: ignore[arg-type]
    for token in ("", "line\nbreak", None, 5):
        with pytest.raises(TokenFailed):
            DiscordClient(token, 0)  # type: ignore[arg-type]
    assert DiscordClient("t", Intents.GUILDS, api_url="http://127.0.0.1:1/api").status.url == "ws://127.0.0.1:1/"
    assert json.dumps(int(DiscordClient("t", 5).intents)) == "5"
