"""Windows of rate limits: bounded memory, and no flood of made-up keys that forgets what was counted."""

import pytest

from onesocket_discord.server._login_guard import LoginGuard
from onesocket_discord.server._window_table import RateLimit, WindowTable
from onesocket_discord.server.rest import RateLimiter


def test_a_window_ends_after_its_time() -> None:
    table = WindowTable(10)
    first = table.open("ann", 0.0, 60.0)
    first.used = 3
    assert table.open("ann", 59.9, 60.0) is first
    assert table.find("ann", 59.9) is first
    assert table.find("ann", 60.0) is None
    assert table.open("ann", 60.0, 60.0).used == 0
    assert table.find("bob", 60.0) is None


def test_made_up_keys_push_no_window_out_and_take_no_memory() -> None:
    table = WindowTable(100)
    table.open("ann", 0.0, 60.0).used = 5
    for number in range(5_000):
        table.open(number, 1.0, 60.0).used += 1
    assert len(table) == 100
    assert len(table._shared) <= 1024
    known = table.find("ann", 59.0)
    assert known is not None
    assert known.used == 5
    # Those who come meanwhile share what is left.
    assert table.open("bob", 2.0, 60.0) is table.open("bob", 3.0, 60.0)
    assert table.open("bob", 2.0, 60.0).used > 1
    found = table.find("bob", 2.0)
    assert found is not None
    assert found.used > 1


def test_windows_that_have_ended_make_room() -> None:
    table = WindowTable(100)
    for number in range(100):
        table.open(number, 0.0, 1.0)
    assert table.open("ann", 1.0, 60.0) is table.find("ann", 2.0)
    assert len(table) == 1


def test_names_that_are_made_up_fill_no_table_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket_discord.server.rest._rate_limiter._MAX_ATTEMPT_WINDOWS", 100)
    monkeypatch.setattr("onesocket_discord.server.rest._rate_limiter._MAX_BUCKETS", 200)
    one, two = RateLimit(1, 60.0), RateLimit(2, 60.0)
    limiter = RateLimiter(sign_in=one, address=two, clock=lambda: 0.0)
    assert limiter.count_attempt("login", "192.0.2.1 ann", one).allowed
    assert limiter.count_attempt("login", "192.0.2.1", two).allowed
    for number in range(2_000):
        limiter.count_attempt("login", f"192.0.2.2 {number}", one)
        limiter.take("GET /channels/{channel_id}", number, one)
    assert repr(limiter) == "<RateLimiter 200 buckets, 101 attempts>"
    assert not limiter.count_attempt("login", "192.0.2.1 ann", one).allowed
    assert limiter.count_attempt("login", "192.0.2.1", two).remaining == 0
    assert limiter.count_attempt("login", "192.0.2.3", two).remaining == 1
    limiter.release("login", "192.0.2.1", two)
    assert limiter.count_attempt("login", "192.0.2.1", two).allowed


def test_the_guard_shows_no_token() -> None:
    assert repr(LoginGuard()) == "<LoginGuard 0 addresses>"
