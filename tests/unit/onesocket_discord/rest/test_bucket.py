"""A bucket whose answers are late or never come; time is an argument."""

from onesocket_discord.rest._bucket import Ticket
from onesocket_discord.rest._rate_limit_info import Quota, RateLimitInfo
from onesocket_discord.rest._rate_limits import RateLimits
from onesocket_discord.rest._route import make_route

READ = make_route("GET", "/channels/{channel_id}/messages", {"channel_id": 1})
SEND = make_route("POST", "/channels/{channel_id}/messages", {"channel_id": 1})


def quota(limit: int, remaining: int, reset_after: float = 10) -> RateLimitInfo:
    return RateLimitInfo("b", Quota(limit, remaining, reset_after))


def sent(limits: RateLimits, now: float) -> Ticket:
    ticket = limits.enter(READ, now)
    assert limits.grant(now) == [ticket]
    return ticket


def test_what_is_unanswered_at_the_end_of_a_window_counts_into_the_next() -> None:
    limits = RateLimits()
    limits.settle(sent(limits, 0), quota(2, 1), 0)
    sent(limits, 1)
    waiting = [limits.enter(READ, 20) for _ in range(2)]
    assert limits.grant(20) == waiting[:1]


def test_what_was_lost_weighs_for_a_whole_window() -> None:
    limits = RateLimits()
    limits.settle(sent(limits, 0), quota(2, 1), 0)
    limits.settle(sent(limits, 20), None, 21)
    limits.settle(sent(limits, 21), None, 22)
    waiting = limits.enter(READ, 22)
    assert limits.grant(22) == []
    assert limits.wake_at(22) == 32
    assert limits.grant(32) == [waiting]


def test_a_scout_weighs_on_the_bucket_that_it_turns_out_to_share() -> None:
    limits = RateLimits()
    reading, sending = limits.enter(READ, 0), limits.enter(SEND, 0)
    assert limits.grant(0) == [reading, sending]
    limits.settle(reading, quota(3, 2), 1)
    sent(limits, 1)
    limits.settle(sending, quota(3, 1), 2)
    limits.enter(READ, 2)
    assert limits.grant(2) == []


def test_idle_buckets_are_forgotten() -> None:
    limits = RateLimits(per_second=10_000)
    for channel in range(5_000):
        ticket = limits.enter(make_route("GET", "/channels/{channel_id}", {"channel_id": channel}), channel)
        limits.grant(channel)
        limits.settle(ticket, quota(5, 4, 1), channel)
    assert int(repr(limits).partition("buckets=")[2].rstrip(">")) <= 1_000
