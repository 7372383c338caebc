"""The gateway's rules, one by one, with the clock in hand."""

from urllib.parse import parse_qs, urlsplit

import pytest

from onesocket.errors import ClosedByPeer, LoginRefused, PingTimeout, ServerBusy
from onesocket.lifecycle._verdict import Verdict, verdict_of
from onesocket.protocols._protocol import Extend
from onesocket_discord.protocol import (
    DisallowedIntents,
    GatewayRefusal,
    Identification,
    IdentifyBudgetExhausted,
    Intents,
    InvalidIntents,
    InvalidShard,
    InvalidVersion,
    Presence,
    ReconnectAsked,
    SessionInvalid,
    ShardingRequired,
    WrongToken,
)
from onesocket_discord.protocol._identify_scheduler import ImmediateIdentify
from tests.unit.onesocket_discord.protocol.gateway_driver import INTERVAL, RESUME_URL, TOKEN, URL, GatewayDriver


def dialled(drive: GatewayDriver) -> tuple[str, dict[str, list[str]]]:
    assert drive.request is not None
    parts = urlsplit(drive.request.url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [None, "zlib-stream", "zstd-stream"])
def test_the_query_is_the_same_at_both_addresses(compress: str | None) -> None:
    drive = GatewayDriver(compress=compress)
    wanted = {"v": ["10"], "encoding": ["json"]} | ({"compress": [compress]} if compress else {})
    assert dialled(drive.open()) == (URL, wanted)
    drive.hello().ready()
    assert dialled(drive.lose().open()) == (RESUME_URL, wanted)


def test_the_known_address_wins_and_the_token_is_in_no_header() -> None:
    drive = GatewayDriver()
    drive.protocol.url = "wss://known.test/"
    drive.open()
    assert dialled(drive)[0] == "wss://known.test/"
    assert drive.request is not None
    assert drive.request.headers == ()
    assert TOKEN not in drive.request.url


@pytest.mark.parametrize("resume", ["ws://plain.test/", "https://no.websocket/", "nonsense", "", None])
def test_a_resume_address_that_is_none_or_would_bare_the_token_is_not_used(resume: str | None) -> None:
    drive = GatewayDriver().open().hello().ready(resume_gateway_url=resume)
    assert dialled(drive.lose().open())[0] == URL
    assert drive.hello().only["op"] == 6


def test_where_nobody_says_hello_the_other_address_is_tried_and_the_session_kept() -> None:
    drive = GatewayDriver().up()
    places = [dialled(drive.lose().open())[0] for _ in range(4)]
    assert places == [RESUME_URL, URL, RESUME_URL, URL]
    assert drive.protocol.url_failed is False
    assert drive.lose().protocol.url_failed is True
    assert drive.open().hello().only["d"]["session_id"] == "the-session"


# --- hello and heartbeats ---------------------------------------------------------------------------------------------


def test_nothing_is_said_before_hello() -> None:
    assert GatewayDriver().open().actions == []


def test_the_first_heartbeat_comes_after_a_random_part_of_the_interval_then_one_each() -> None:
    drive = GatewayDriver().up()
    began = drive.now
    times: list[float] = []
    for _ in range(3):
        times.append(drive.ring().now - began)
        assert drive.only == {"op": 1, "d": 1}
        drive.say(11)
    assert times == [INTERVAL / 2, INTERVAL * 1.5, INTERVAL * 2.5]


def test_a_heartbeat_names_the_last_sequence_number_even_if_that_is_0_and_null_before() -> None:
    drive = GatewayDriver().open().hello()
    assert drive.say(1).only == {"op": 1, "d": None}
    drive.ready(s=0)
    assert drive.say(1).only == {"op": 1, "d": 0}
    drive.event("X", 1).event("Y", None)
    assert drive.say(1).only == {"op": 1, "d": 1}


def test_asked_for_a_heartbeat_one_is_sent_at_once_and_doesnt_count_as_the_scheduled_one() -> None:
    drive = GatewayDriver().up()
    drive.now += 19.9
    due = drive.wake_at
    assert drive.say(1).only["op"] == 1
    assert drive.wake_at == due
    assert drive.ring().only["op"] == 1  # without an answer to the first: that proves nothing in 0.1 s


def test_whoever_asks_for_heartbeats_without_end_doesnt_get_us_closed() -> None:
    drive = GatewayDriver().up()
    assert sum(len(drive.say(1).sent) for _ in range(500)) < 120


def test_no_answer_between_two_heartbeats_is_a_dead_connection_with_a_code_that_keeps_the_session() -> None:
    drive = GatewayDriver().up()
    assert drive.ring().all(Extend) == []
    drive.event("X", 2)  # a message is no ACK
    drive.ring()
    assert isinstance(drive.error, PingTimeout)
    assert drive.fail.dead
    assert drive.fail.code not in (1000, 1001)
    assert dialled(drive.lose().open())[0] == RESUME_URL


def test_an_answer_keeps_it_alive_and_is_measured() -> None:
    drive = GatewayDriver().up().ring()
    drive.now += 0.25
    drive.say(11)
    assert drive.protocol.latency == 0.25
    assert drive.ring().only["op"] == 1


def test_silence_proves_nothing_while_a_reader_holds_the_connection_back() -> None:
    drive = GatewayDriver().up().ring()
    drive.protocol.unread()
    assert drive.ring().only["op"] == 1
    assert isinstance(drive.ring().error, PingTimeout)  # but now it was listened to for a whole interval


def test_silence_proves_nothing_while_the_event_loop_was_held_up() -> None:
    drive = GatewayDriver().up().ring()
    assert drive.wake_at is not None
    drive.wake_at += 30  # the answer may wait to be read behind much else
    assert drive.ring().only["op"] == 1
    assert isinstance(drive.ring().error, PingTimeout)


def test_a_second_hello_doesnt_identify_twice() -> None:
    assert GatewayDriver().open().hello().hello().actions == []


@pytest.mark.parametrize("milliseconds", [0, -5, 1e300, 0.001])
def test_an_absurd_interval_is_bounded(milliseconds: float) -> None:
    drive = GatewayDriver().open().say(10, {"heartbeat_interval": milliseconds})
    assert drive.wake_at is not None
    assert 0.009 < drive.wake_at - drive.now <= 1800


# --- identify ---------------------------------------------------------------------------------------------------------


def test_identify_says_all_that_was_given() -> None:
    presence = Presence("dnd", [{"name": "chess", "type": 0}])
    identification = Identification(
        intents=Intents.GUILDS | Intents.GUILD_MESSAGES, shard=(2, 4), presence=presence, large_threshold=250
    )
    body = GatewayDriver(identification=identification).open().hello().only
    assert body["op"] == 2
    assert body["d"].pop("properties").keys() == {"os", "browser", "device"}
    assert body["d"] == {
        "token": TOKEN,
        "intents": 513,
        "shard": [2, 4],
        "large_threshold": 250,
        "presence": {
            "status": "dnd",
            "activities": [{"name": "chess", "type": 0}],
            "afk": False,
            "since": None,
        },
    }


def test_intents_are_said_even_if_there_are_none() -> None:
    assert GatewayDriver(intents=Intents(0)).open().hello().only["d"]["intents"] == 0


class DeferredIdentifySlot:
    """A turn that comes later."""

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self.later: list[float] = []
        """Seconds for which the next turns are put off."""
        self.calls: list[str] = []

    def reserve(self, now: float) -> float:
        self.calls.append("reserved")
        return now + self.wait

    def turn(self, now: float) -> float:
        return now + (self.later.pop(0) if self.later else 0)

    def sent(self, now: float) -> None:
        self.calls.append("sent")

    def release(self) -> None:
        self.calls.append("given back")


def test_who_has_to_wait_for_a_turn_beats_meanwhile_and_gets_more_time() -> None:
    queue = DeferredIdentifySlot(INTERVAL)
    drive = GatewayDriver(scheduler=queue).open().hello()
    assert drive.sent == []
    assert drive.all(Extend) == [Extend(INTERVAL)]
    began = drive.now
    assert drive.ring().only == {"op": 1, "d": None}
    drive.say(11)
    assert drive.ring().only["op"] == 2
    assert drive.now == began + INTERVAL
    assert queue.calls == ["reserved", "sent"]
    drive.lose()
    assert queue.calls == ["reserved", "sent"]


def test_a_turn_that_is_put_off_gets_more_time() -> None:
    queue = DeferredIdentifySlot(1.0)
    queue.later = [2.0, 4.0]
    drive = GatewayDriver(scheduler=queue).open().hello()
    began = drive.now
    for seconds in (1.0, 2.0, 4.0):
        assert drive.all(Extend) == [Extend(seconds)]
        assert drive.sent == []
        drive.ring()
    assert drive.only["op"] == 2
    assert drive.now == began + 7.0


def test_a_turn_of_a_connection_that_is_lost_is_given_back() -> None:
    queue = DeferredIdentifySlot(9)
    GatewayDriver(scheduler=queue).open().hello().lose().open()
    assert queue.calls == ["reserved", "given back"]


def test_a_resume_needs_no_turn() -> None:
    queue = DeferredIdentifySlot(0)
    drive = GatewayDriver(scheduler=queue).up().lose()
    assert drive.open().hello().only["op"] == 6
    assert queue.calls == ["reserved", "sent"]


def test_no_identify_left_is_a_failure_that_names_its_date() -> None:
    class Spent(DeferredIdentifySlot):
        def reserve(self, now: float) -> float:
            raise IdentifyBudgetExhausted("none left", retry_after=3600)

    drive = GatewayDriver(scheduler=Spent(0)).open().hello()
    assert drive.sent == []
    assert drive.error.retry_after == 3600
    assert isinstance(drive.error, ServerBusy)


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_ready_is_ready_and_the_event_follows() -> None:
    drive = GatewayDriver().up()
    assert drive.is_ready == [False]
    assert [dispatch.event for dispatch in drive.delivered] == ["READY"]
    assert drive.protocol.ready is drive.delivered[0]


def test_a_resume_replays_once_in_order_and_ends_with_resumed() -> None:
    drive = GatewayDriver().up().event("A", 2).event("B", 3)
    assert drive.lose().open().hello().only == {
        "op": 6,
        "d": {"token": TOKEN, "session_id": "the-session", "seq": 3},
    }
    assert drive.is_ready == []
    assert drive.event("B", 3).delivered == []  # replayed too far back
    assert [d.sequence for d in drive.event("C", 4).delivered] == [4]
    assert drive.is_ready == []
    assert drive.event("RESUMED", 5).is_ready == [True]
    assert [d.event for d in drive.delivered] == ["RESUMED"]
    assert drive.event("C", 4).delivered == []
    assert [d.sequence for d in drive.event("D", 6).delivered] == [6]
    assert drive.lose().open().hello().only["d"]["seq"] == 6


def test_a_number_out_of_order_is_no_duplicate() -> None:
    drive = GatewayDriver().up()
    seen = [d.sequence for s in (2, 5, 4, 5, 4, 3, 2, 6) for d in drive.event("X", s).delivered]
    assert seen == [2, 5, 4, 3, 6]


def test_a_dispatch_without_a_number_is_always_passed_on() -> None:
    drive = GatewayDriver().up()
    assert len(drive.event("X", None).delivered) == len(drive.event("X", None).delivered) == 1


def test_a_ready_instead_of_resumed_is_a_new_session_and_no_number_of_it_a_duplicate() -> None:
    drive = GatewayDriver().up().event("X", 50).lose().open().hello()
    drive.ready(s=1, session_id="another")
    assert drive.is_ready == [False]
    assert [d.sequence for d in drive.event("X", 2).delivered] == [2]
    assert drive.lose().open().hello().only["d"] == {"token": TOKEN, "session_id": "another", "seq": 2}


@pytest.mark.parametrize("before_hello", [True, False])
def test_op_7_reconnects_and_resumes_even_instead_of_hello(before_hello: bool) -> None:
    drive = GatewayDriver().up().lose().open()
    if not before_hello:
        drive.hello().event("RESUMED", 2)
    drive.say(7)
    assert isinstance(drive.error, ReconnectAsked)
    assert drive.error.retryable
    assert drive.fail.code not in (1000, 1001)
    assert drive.lose().open().hello().only["op"] == 6


def test_after_a_failure_only_events_count() -> None:
    drive = GatewayDriver().up().say(7)
    assert drive.hello().actions == []
    assert drive.say(1).actions == []
    assert drive.say(9, d=False).actions == []
    assert [d.sequence for d in drive.event("X", 2).delivered] == [2]
    assert list(drive.protocol.wake(drive.now + 1000)) == []
    assert drive.lose().open().hello().only["d"]["seq"] == 2


def test_op_9_true_resumes_on_a_new_connection_at_once() -> None:
    drive = GatewayDriver().up().say(9, d=True)
    assert isinstance(drive.error, SessionInvalid)
    assert drive.error.retry_after is None
    assert dialled(drive.lose().open())[0] == RESUME_URL
    assert drive.hello().only["op"] == 6


@pytest.mark.parametrize("d", [False, None, "true", 1, {}])
def test_op_9_false_waits_and_begins_a_new_session_at_the_first_address(d: object) -> None:
    drive = GatewayDriver().up().lose().open().hello().say(9, d=d)
    assert isinstance(drive.error, SessionInvalid)
    assert drive.error.retry_after == 3  # the middle of 1 to 5
    assert verdict_of(drive.error) is Verdict.RETRY
    assert dialled(drive.lose().open())[0] == URL
    identify = drive.hello().only
    assert identify["op"] == 2
    assert drive.say(1).only["d"] is None  # the numbers begin anew


def test_op_9_true_without_a_session_is_a_refusal() -> None:
    drive = GatewayDriver().open().hello().say(9, d=True)
    assert drive.error.retry_after == 3


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (4004, WrongToken, "token"),
        (4010, InvalidShard, "shard="),
        (4011, ShardingRequired, "several clients"),
        (4012, InvalidVersion, "update"),
        (4013, InvalidIntents, "intents="),
        (4014, DisallowedIntents, "developer portal"),
    ],
)
def test_fatal_codes_are_typed_and_say_what_to_do(code: int, kind: type[GatewayRefusal], words: str) -> None:
    drive = GatewayDriver().up()
    error = drive.protocol.closed(code, "Because")
    assert type(error) is kind
    assert isinstance(error, ClosedByPeer)
    assert (error.code, error.reason, error.retryable) == (code, "Because", False)
    assert words in str(error)
    assert str(code) in str(error)
    assert str(error.copy()) == str(error)
    assert drive.lose().open().hello().only["op"] == 2


def test_a_wrong_token_is_a_refused_login_too() -> None:
    assert isinstance(GatewayDriver().protocol.closed(4004, ""), LoginRefused)


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1011, 4000, 4001, 4002, 4003, 4005, 4008, 4900])
def test_these_codes_are_resumed(code: int) -> None:
    drive = GatewayDriver().up()
    assert drive.protocol.closed(code, "").retryable
    assert drive.lose().open().hello().only["op"] == 6


@pytest.mark.parametrize("code", [4007, 4009])
def test_these_codes_need_a_new_session(code: int) -> None:
    drive = GatewayDriver().up()
    assert drive.protocol.closed(code, "").retryable
    assert dialled(drive.lose().open())[0] == URL
    assert drive.hello().only["op"] == 2


@pytest.mark.parametrize(("code", "op"), [(1000, 2), (1001, 2), (4000, 6), (1002, 2), (1009, 2)])
def test_a_close_of_ours_keeps_the_session_only_if_it_is_meant_to(code: int, op: int) -> None:
    drive = GatewayDriver().up()
    drive.protocol.closing(code)
    assert drive.lose().open().hello().only["op"] == op


def test_no_secret_in_any_repr() -> None:
    drive = GatewayDriver().up()
    shown = f"{drive.protocol!r} {drive.protocol.session!r} {drive.protocol.ready!r} {drive.protocol.identification!r}"
    assert TOKEN not in shown
    assert "the-session" not in shown


def test_heartbeats_before_a_new_session_carry_none_of_the_last_ones_number() -> None:
    class Later(ImmediateIdentify):
        """A turn to identify that comes after the first heartbeat."""

        def reserve(self, now: float) -> float:
            return now + 2 * INTERVAL

    drive = GatewayDriver().up().event("MESSAGE_CREATE", 41)
    assert drive.ring().only == {"op": 1, "d": 41}
    drive.protocol.closed(4009, "Session timed out")
    drive.lose()
    drive.protocol._scheduler = Later()
    drive.open().hello()
    assert drive.ring().only == {"op": 1, "d": None}
