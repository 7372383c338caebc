"""Rate limits on virtual time, against a server that counts exactly as documented."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from onesocket.errors import ClientClosed, ConnectFailed
from onesocket.testing._virtual_time import run_virtual
from onesocket_discord.rest._errors import (
    Forbidden,
    InvalidBudgetSpent,
    RateLimited,
    RequestLost,
    RestTimeout,
    ServerTrouble,
    TooManyWaiting,
)
from onesocket_discord.rest._http_transport import Request
from onesocket_discord.rest._invalid_budget import InvalidBudget
from onesocket_discord.rest._rate_limit_info import Response
from onesocket_discord.rest._rate_limits import RateLimits
from onesocket_discord.rest._requester import Requester
from onesocket_discord.rest._route import Route, make_route


def now() -> float:
    return asyncio.get_running_loop().time()


def send_to(channel: int) -> Route:
    return make_route("POST", "/channels/{channel_id}/messages", {"channel_id": channel})


def read_from(channel: int) -> Route:
    return make_route("GET", "/channels/{channel_id}/messages", {"channel_id": channel})


def requester(exchange: Callable[[Request], Awaitable[Response]], **options: Any) -> Requester:
    options = {"timeout": 600.0, "max_retries": 4, "jitter": lambda: 0.5, **options}
    return Requester(exchange, **options)


async def call(api: Requester, route: Route, *, idempotent: bool = True, timeout: float | None = None) -> Any:
    request = Request(route.method, route.path, str(route), idempotent=idempotent)
    return await api.call(request, route, timeout=timeout)


class RateLimitedApi:
    """Fixed windows that begin with their first call, a global limit, and latencies in both directions."""

    def __init__(self, limits: dict[str, tuple[int, float]], *, seed: int = 0, latency: float = 0.0) -> None:
        self.limits = limits
        self.latency = latency
        self.chance = random.Random(seed)
        self.windows: dict[tuple[str, str], tuple[float, int]] = {}
        self.served: list[tuple[float, str]] = []
        self.refused: list[tuple[float, str]] = []

    async def __call__(self, request: Request) -> Response:
        await asyncio.sleep(self.chance.uniform(0, self.latency))
        answer = self.answer(request)
        await asyncio.sleep(self.chance.uniform(0, self.latency))
        return answer

    def answer(self, request: Request) -> Response:
        bucket = request.method if request.method in self.limits else "any"
        limit, window = self.limits[bucket]
        key = (bucket, request.target.split("/")[2])
        end, count = self.windows.get(key, (0.0, 0))
        if now() >= end:
            end, count = now() + window, 0
        self.windows[key] = (end, count + 1)
        headers = {
            "x-ratelimit-bucket": f"hash-of-{bucket}",
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(max(0, limit - count - 1)),
            "x-ratelimit-reset-after": f"{end - now():.3f}",
        }
        if count >= limit:
            self.refused.append((now(), request.target))
            body = f'{{"message": "slow down", "retry_after": {end - now():.3f}, "global": false}}'
            return Response(429, headers, body.encode())
        self.served.append((now(), request.target))
        return Response(200, headers, b"{}")


@pytest.mark.parametrize("seed", range(20))
def test_once_learnt_no_limit_is_ever_overrun(seed: int) -> None:
    chance = random.Random(seed)
    latency = chance.choice([0.0, 0.1, 3.0])
    limits = {"GET": (chance.randint(1, 7), chance.choice([0.25, 5.0])), "POST": (chance.randint(1, 7), 5.0)}
    api = RateLimitedApi(limits, seed=seed, latency=latency)

    async def main() -> None:
        asked = requester(api)

        async def one(route: Route) -> None:
            await asyncio.sleep(chance.uniform(0, 20))
            await call(asked, route)

        routes = [make(channel) for make in (send_to, read_from) for channel in (1, 2, 3)]
        await asyncio.gather(*(one(route) for route in routes for _ in range(25)))
        asked.close()

    run_virtual(main)
    assert len(api.served) == 150
    assert api.refused == []
    # ... and not by being slow: as many windows as 25 calls need, each seen to end up to two latencies late, and POSTs
    # one at a time.
    slowest = max(-(-25 // size) * (window + 4 * latency) for size, window in limits.values())
    assert api.served[-1][0] <= 20 + slowest + 25 * 2 * latency


def test_callers_of_one_bucket_go_in_the_order_of_their_calls() -> None:
    api = RateLimitedApi({"POST": (5, 5.0)}, latency=0.4)
    order: list[int] = []

    async def main() -> None:
        asked = requester(api)

        async def one(number: int) -> None:
            await call(asked, send_to(1))
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
        asked.close()

    run_virtual(main)
    assert order == list(range(30))
    assert api.refused == []


def test_one_bucket_does_not_hold_up_another() -> None:
    api = RateLimitedApi({"POST": (1, 100.0)})

    async def main() -> None:
        asked = requester(api)
        first = [asyncio.create_task(call(asked, send_to(1))) for _ in range(3)]
        await asyncio.sleep(1)
        await call(asked, send_to(2))
        assert now() == 1
        await asyncio.gather(*first)
        assert now() == pytest.approx(200, abs=0.01)
        asked.close()

    run_virtual(main)


def test_two_routes_that_share_a_bucket_share_its_limit_once_both_are_known() -> None:
    api = RateLimitedApi({"any": (3, 10.0)})

    async def main() -> None:
        asked = requester(api)
        await call(asked, send_to(1))
        await call(asked, read_from(1))
        await asyncio.gather(*(call(asked, make(1)) for _ in range(10) for make in (send_to, read_from)))
        asked.close()

    run_virtual(main)
    assert api.refused == []
    assert len(api.served) == 22
    assert api.served[-1][0] == pytest.approx(70, abs=0.1)  # 22 calls, 3 in each window of 10 s


def test_two_unknown_routes_that_turn_out_to_share_a_bucket_are_merged() -> None:
    api = RateLimitedApi({"any": (4, 10.0)}, latency=0.5, seed=3)

    async def main() -> None:
        asked = requester(api)
        await asyncio.gather(*(call(asked, make(1)) for _ in range(10) for make in (send_to, read_from)))
        asked.close()

    run_virtual(main)
    assert api.refused == []
    assert len(api.served) == 20


def test_no_more_than_the_global_limit_in_any_second_whatever_the_latency() -> None:
    arrived: list[float] = []
    chance = random.Random(5)

    async def exchange(request: Request) -> Response:
        await asyncio.sleep(chance.uniform(0, 0.8))
        arrived.append(now())
        await asyncio.sleep(chance.uniform(0, 0.8))
        return Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        await asyncio.gather(*(call(asked, read_from(number)) for number in range(300)))
        asked.close()

    run_virtual(main)
    arrived.sort()
    assert len(arrived) == 300
    assert all(later - earlier >= 1 for earlier, later in zip(arrived, arrived[50:], strict=False))
    assert arrived[-1] < 300 / 50 * (1 + 1.6)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-ratelimit-global": "true", "retry-after": "7"}, b"{}"),
        ({"x-ratelimit-scope": "global", "retry-after": "7"}, b"{}"),
        ({}, b'{"global": true, "retry_after": 7.0}'),
        ({"retry-after": "7"}, b"<html>error code: 1015</html>"),
    ],
)
def test_a_global_429_closes_every_bucket(headers: dict[str, str], body: bytes) -> None:
    times: list[float] = []

    async def exchange(request: Request) -> Response:
        times.append(now())
        return Response(429, headers, body) if len(times) == 1 else Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        first = asyncio.create_task(call(asked, read_from(1)))
        await asyncio.sleep(1)
        await call(asked, read_from(2))
        assert now() == pytest.approx(7, abs=0.01)
        await first
        asked.close()

    run_virtual(main)
    assert times == pytest.approx([0, 7, 7], abs=0.01)


def test_a_bucket_429_closes_that_bucket_alone_and_keeps_the_order() -> None:
    seen: list[tuple[float, str]] = []

    async def exchange(request: Request) -> Response:
        seen.append((now(), request.target))
        if len(seen) == 1:
            return Response(429, {"x-ratelimit-scope": "shared", "retry-after": "3"}, b'{"retry_after": 2.5}')
        return Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        first = asyncio.create_task(call(asked, send_to(1)))
        await asyncio.sleep(1)
        second = asyncio.create_task(call(asked, send_to(1)))
        await call(asked, send_to(2))
        assert now() == 1
        await first
        assert now() == pytest.approx(2.5, abs=0.1)  # the body's exact time, not the header's whole seconds
        await second
        asked.close()

    run_virtual(main)


def test_an_unlimited_route_is_not_slowed_after_its_first_answer() -> None:
    flying = defaultdict[str, int](int)
    most = 0

    async def exchange(request: Request) -> Response:
        nonlocal most
        flying["now"] += 1
        most = max(most, flying["now"])
        await asyncio.sleep(1)
        flying["now"] -= 1
        return Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        await asyncio.gather(*(call(asked, read_from(1)) for _ in range(21)))
        assert now() == 2
        asked.close()

    run_virtual(main)
    assert most == 20


def test_a_429_that_lasts_longer_than_the_call_may_is_an_error_at_once() -> None:
    async def exchange(request: Request) -> Response:
        return Response(429, {}, b'{"retry_after": 50, "message": "slow down", "global": false}')

    async def main() -> None:
        asked = requester(exchange, timeout=20)
        with pytest.raises(RateLimited) as caught:
            await call(asked, send_to(1))
        assert now() == 0
        assert (caught.value.retryable, caught.value.retry_after) == (True, 50)
        with pytest.raises(RestTimeout) as early:
            await call(asked, send_to(1))
        assert now() == 0
        assert (early.value.sent, early.value.retryable) == (False, True)
        assert early.value.retry_after == pytest.approx(50, abs=0.01)
        asked.close()

    run_virtual(main)


def test_429s_without_end_are_given_up() -> None:
    count = 0

    async def exchange(request: Request) -> Response:
        nonlocal count
        count += 1
        return Response(429, {}, b'{"retry_after": 0}')

    async def main() -> None:
        asked = requester(exchange)
        with pytest.raises(RateLimited):
            await call(asked, send_to(1), idempotent=False)
        assert 0 < now() < 5
        asked.close()

    run_virtual(main)
    assert count == 5


@pytest.mark.parametrize("body", [b'{"code": 0, "message": "You are being blocked"}', b"<html>error code: 1015</html>"])
def test_a_429_without_a_time_ends_all_calls_for_a_minute(body: bytes) -> None:
    times: list[float] = []

    async def exchange(request: Request) -> Response:
        times.append(now())
        await asyncio.sleep(0.1)
        return Response(429, {}, body) if now() < 60 else Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange, timeout=6)
        errors = await asyncio.gather(*(call(asked, send_to(one)) for one in range(40)), return_exceptions=True)
        assert {type(error) for error in errors} == {RateLimited, RestTimeout}
        assert all(
            error.retryable and (error.retry_after or 0) > 50 for error in errors if isinstance(error, RateLimited)
        )
        assert now() == 6  # those that waited were given up at their own deadline
        assert len(times) == 5
        await call(asked, send_to(1), timeout=600)
        assert 60 <= now() < 61
        asked.close()

    run_virtual(main)
    assert len(times) == 6


@pytest.mark.parametrize(
    ("status", "scope", "counts"),
    [(401, "", True), (403, "", True), (429, "user", True), (429, "shared", False), (404, "", False), (500, "", False)],
)
def test_what_counts_as_invalid(status: int, scope: str, counts: bool) -> None:
    async def exchange(request: Request) -> Response:
        return Response(status, {"x-ratelimit-scope": scope}, b'{"retry_after": 0.1}')

    async def main() -> None:
        asked = requester(exchange, max_retries=0, budget=InvalidBudget(limit=1))
        for error in (Exception, InvalidBudgetSpent if counts else Exception):
            with pytest.raises(error) as caught:
                await call(asked, read_from(1))
        assert isinstance(caught.value, InvalidBudgetSpent) is counts
        asked.close()

    run_virtual(main)


def test_the_budget_of_invalid_calls_opens_again_after_ten_minutes() -> None:
    sent = 0

    async def exchange(request: Request) -> Response:
        nonlocal sent
        sent += 1
        return Response(403, {}, b'{"code": 50001, "message": "Missing Access"}')

    async def main() -> None:
        asked = requester(exchange)
        for _ in range(9_800):
            with pytest.raises(Forbidden):
                await call(asked, read_from(1))
        first_opens = 600.0
        assert now() < first_opens
        with pytest.raises(InvalidBudgetSpent) as caught:
            await call(asked, read_from(1))
        assert caught.value.retry_after == pytest.approx(first_opens - now())
        assert sent == 9_800
        await asyncio.sleep(caught.value.retry_after or 0)
        with pytest.raises(Forbidden):
            await call(asked, read_from(1))
        asked.close()

    run_virtual(main)


def test_waiting_is_bounded() -> None:
    api = RateLimitedApi({"GET": (1, 10.0)})

    async def main() -> None:
        asked = requester(api, limits=RateLimits(max_waiting=2))
        await call(asked, read_from(1))
        waiting = [asyncio.create_task(call(asked, read_from(1))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaiting):
            await call(asked, read_from(1))
        waiting.pop().cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(call(asked, read_from(1))))  # its place is free again
        await asyncio.gather(*waiting)
        asked.close()

    run_virtual(main)


def test_a_call_gives_up_at_its_deadline_while_it_waits() -> None:
    async def exchange(request: Request) -> Response:
        await asyncio.sleep(15)
        return Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        first = asyncio.create_task(call(asked, send_to(1)))
        await asyncio.sleep(0)
        with pytest.raises(RestTimeout) as caught:
            await call(asked, send_to(1), timeout=5)
        assert now() == 5
        assert (caught.value.sent, caught.value.retryable) == (False, True)
        await first
        asked.close()

    run_virtual(main)


def test_a_cancelled_scout_does_not_block_its_bucket() -> None:
    async def exchange(request: Request) -> Response:
        await asyncio.sleep(10)
        return Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        scout = asyncio.create_task(call(asked, read_from(1)))
        await asyncio.sleep(1)
        second = asyncio.create_task(call(asked, read_from(1)))
        await asyncio.sleep(1)
        scout.cancel()
        await second
        assert now() == 12
        asked.close()

    run_virtual(main)


def test_close_ends_those_who_wait() -> None:
    async def exchange(request: Request) -> Response:
        await asyncio.sleep(10)
        return Response(200, {}, b"{}")

    async def main() -> None:
        asked = requester(exchange)
        tasks = [asyncio.create_task(call(asked, send_to(1))) for _ in range(2)]
        await asyncio.sleep(1)
        asked.close()
        with pytest.raises(ClientClosed):
            await tasks[1]
        assert now() == 1
        await tasks[0]
        with pytest.raises(ClientClosed):
            await call(asked, send_to(1))

    run_virtual(main)


class ScriptedAnswers:
    """Answers, or raises, what it is given, one after the other."""

    def __init__(self, *steps: Response | Exception | float) -> None:
        self.steps = list(steps)
        self.times: list[float] = []

    async def __call__(self, request: Request) -> Response:
        self.times.append(now())
        step = self.steps.pop(0)
        if isinstance(step, float | int):
            await asyncio.sleep(step)
            pytest.fail("no call gave up waiting")
        if isinstance(step, Exception):
            raise step
        return step


OK = Response(200, {}, b'{"id": "1"}')
BROKEN = Response(502, {}, b"<html>bad gateway</html>")
LOST = RequestLost("it broke", retryable=True)


@pytest.mark.parametrize("trouble", [BROKEN, LOST, ConnectFailed("no route"), 1e9])
def test_what_does_no_harm_twice_is_retried(trouble: Any) -> None:
    script = ScriptedAnswers(trouble, trouble, OK)

    async def main() -> None:
        asked = requester(script)
        assert await call(asked, read_from(1)) == {"id": "1"}
        asked.close()

    run_virtual(main)
    waited = 40 if trouble == 1e9 else 0  # two attempts of 20 s
    assert script.times[-1] == pytest.approx(waited + 0.375 + 0.75)


@pytest.mark.parametrize(("trouble", "error"), [(BROKEN, ServerTrouble), (LOST, RequestLost), (1e9, RequestLost)])
def test_what_could_be_done_twice_is_not_retried(trouble: Any, error: type[Exception]) -> None:
    script = ScriptedAnswers(trouble, OK)

    async def main() -> None:
        asked = requester(script)
        with pytest.raises(error) as caught:
            await call(asked, send_to(1), idempotent=False)
        assert trouble is LOST or caught.value.retryable is False  # type: ignore[attr-defined]
        asked.close()

    run_virtual(main)
    assert len(script.times) == 1


def test_what_was_never_sent_is_retried_in_any_case() -> None:
    script = ScriptedAnswers(ConnectFailed("no route"), OK)

    async def main() -> None:
        asked = requester(script)
        await call(asked, send_to(1), idempotent=False)
        asked.close()

    run_virtual(main)
    assert len(script.times) == 2


def test_the_deadline_holds_while_an_answer_is_awaited() -> None:
    script = ScriptedAnswers(1e9)

    async def main() -> None:
        asked = requester(script)
        with pytest.raises(RestTimeout) as caught:
            await call(asked, send_to(1), idempotent=False, timeout=3)
        assert now() == 3
        assert (caught.value.sent, caught.value.retryable) == (True, False)
        asked.close()

    run_virtual(main)


def test_a_retry_after_of_a_5xx_is_kept() -> None:
    script = ScriptedAnswers(Response(503, {"retry-after": "9"}, b""), OK)

    async def main() -> None:
        asked = requester(script)
        await call(asked, read_from(1))
        asked.close()

    run_virtual(main)
    assert script.times == [0, 9]


def test_the_next_message_waits_while_the_one_before_is_retried() -> None:
    script = ScriptedAnswers(BROKEN, Response(200, {}, b'{"id": "1"}'), Response(200, {}, b'{"id": "2"}'))

    async def main() -> None:
        asked = requester(script)
        sent = await asyncio.gather(*(call(asked, send_to(1)) for _ in range(2)))
        assert sent == [{"id": "1"}, {"id": "2"}]
        asked.close()

    run_virtual(main)


def test_deleting_what_a_lost_attempt_has_deleted_is_success() -> None:
    gone = Response(404, {}, b'{"code": 10008, "message": "Unknown Message"}')
    route = make_route("DELETE", "/channels/{channel_id}", {"channel_id": 1})

    async def main() -> None:
        asked = requester(ScriptedAnswers(LOST, gone, gone))
        assert await call(asked, route) is None
        with pytest.raises(Exception, match="10008"):
            await call(asked, route)
        asked.close()

    run_virtual(main)


def test_a_lost_call_weighs_on_its_window() -> None:
    """Requests without an answer may have been counted."""
    api = RateLimitedApi({"GET": (2, 10.0)})
    lost = 1

    async def exchange(request: Request) -> Response:
        nonlocal lost
        answer = await api(request)
        if now() > 0 and lost:
            lost -= 1
            raise RequestLost("it broke", retryable=True)
        return answer

    async def main() -> None:
        asked = requester(exchange)
        await call(asked, read_from(1))
        await asyncio.sleep(11)
        await asyncio.gather(*(call(asked, read_from(1)) for _ in range(6)))
        asked.close()

    run_virtual(main)
    assert api.refused == []
