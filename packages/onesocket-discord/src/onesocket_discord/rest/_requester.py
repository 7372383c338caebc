"""Performs API calls: retries, deadlines, and the evaluation of each answer."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from onesocket.errors import ClientClosed, ConnectFailed, InvalidOption, OnesocketError

from ._bucket import Ticket
from ._errors import BadAnswer, RequestLost, RestTimeout, response_error
from ._http_transport import Request
from ._invalid_budget import InvalidBudget
from ._rate_limit_info import RateLimitInfo, Response, is_invalid, read_rate_limit_info, retry_after
from ._rate_limits import RateLimits
from ._request_scheduler import RequestScheduler
from ._route import Route

ATTEMPT_TIMEOUT = 20.0
"""Seconds for one answer; then an idempotent call is sent again."""
_BACKOFF = 0.5
_MAX_BACKOFF = 10.0


@dataclass(frozen=True, slots=True)
class _AttemptResult:
    """The result of one attempt."""

    error: OnesocketError | None
    answer: Response | None = None
    info: RateLimitInfo | None = None
    retry: bool = False
    wait: float = 0.0
    doubtful: bool = False
    """True if the call may have been done although the attempt failed."""


class Requester:
    """Performs calls within one set of rate limits; `exchange` performs a single attempt."""

    def __init__(
        self,
        exchange: Callable[[Request], Awaitable[Response]],
        *,
        timeout: float,
        max_retries: int,
        limits: RateLimits | None = None,
        budget: InvalidBudget | None = None,
        secrets: tuple[str, ...] = (),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < timeout < float("inf"):
            raise InvalidOption(f"timeout must be a number of seconds above 0, not {timeout!r}")
        if max_retries < 0:
            raise InvalidOption(f"max_retries must be 0 or more, not {max_retries!r}")
        self._exchange = exchange
        self._timeout = timeout
        self._max_retries = max_retries
        self._scheduler = RequestScheduler(limits if limits is not None else RateLimits())
        self._budget = budget if budget is not None else InvalidBudget()
        self._secrets = secrets
        self._jitter = jitter

    def close(self) -> None:
        """Refuse calls from now on; waiting callers get `ClientClosed`."""
        self._scheduler.close()

    async def call(self, request: Request, route: Route, *, timeout: float | None = None) -> Any:
        """Perform a call; returns the decoded body, or None without one. Raises `OnesocketError`s only."""
        self._scheduler.check_open()
        timeout = self._timeout if timeout is None else timeout
        if not 0 < timeout < float("inf"):
            raise InvalidOption(f"timeout must be a number of seconds above 0, not {timeout!r}")
        deadline = _now() + timeout
        self._budget.check(_now())
        ticket = self._scheduler.enter(route)
        try:
            return await self._attempts(request, ticket, deadline)
        except BaseException:
            self._scheduler.leave(ticket)
            raise

    async def _attempts(self, request: Request, ticket: Ticket, deadline: float) -> Any:
        last: _AttemptResult | None = None
        doubtful = False
        for attempt in range(self._max_retries + 1):
            await self._wait(request, ticket, deadline, last, doubtful=doubtful)
            self._budget.check(_now())
            last = await self._attempt(request, attempt, deadline)
            again = last.retry and attempt < self._max_retries
            self._scheduler.settle(ticket, last.info, again_at=_now() + last.wait if again else None)
            if last.answer is not None and last.error is None:
                return _decoded(last.answer, request)
            if doubtful and request.method == "DELETE" and last.answer is not None and last.answer.status == 404:
                return None  # an earlier attempt has deleted it
            doubtful = doubtful or last.doubtful
            if not again:
                break
        if last is None or last.error is None:
            raise TypeError("an attempt has either an answer or an error")
        raise last.error

    async def _wait(
        self, request: Request, ticket: Ticket, deadline: float, last: _AttemptResult | None, *, doubtful: bool
    ) -> None:
        opens_in = self._scheduler.opens_at(ticket) - _now()
        error = last.error if last is not None else None
        if _now() + opens_in > deadline:
            if error is not None:
                raise error
            raise RestTimeout(
                f"{request.what} was not sent: the rate limit opens in {opens_in:.1f} s, after the call's timeout",
                sent=False,
                retryable=True,
                retry_after=opens_in,
            )
        try:
            await self._scheduler.wait(ticket, deadline)
        except TimeoutError:
            raise RestTimeout(
                f"{request.what}: the call's timeout passed while it waited for its turn "
                f"{'after an attempt that failed' if last is not None else '(rate limits, or many calls before it)'}",
                sent=doubtful,
                retryable=request.idempotent or not doubtful,
            ) from error

    async def _attempt(self, request: Request, attempt: int, deadline: float) -> _AttemptResult:
        backoff = min(_MAX_BACKOFF, _BACKOFF * 2**attempt) * (0.5 + self._jitter() / 2)
        until = min(deadline, _now() + ATTEMPT_TIMEOUT)
        try:
            async with asyncio.timeout_at(until):
                answer = await self._exchange(request)
        except TimeoutError:
            return self._unanswered(request, backoff, last=until == deadline)
        except ConnectFailed as error:  # nothing was sent
            return _AttemptResult(error, retry=error.retryable, wait=backoff)
        except RequestLost as error:
            if self._scheduler.closed:
                return _AttemptResult(ClientClosed(f"aclose() was called while {request.what} was on its way"))
            return _AttemptResult(error, retry=request.idempotent, wait=backoff, doubtful=True)
        return self._judge(request, answer, backoff)

    def _unanswered(self, request: Request, backoff: float, *, last: bool) -> _AttemptResult:
        text = f"{request.what}: nothing was answered in time; it may or may not have been done"
        if last:
            return _AttemptResult(RestTimeout(text, sent=True, retryable=request.idempotent))
        lost = RequestLost(text, retryable=request.idempotent)
        return _AttemptResult(lost, retry=request.idempotent, wait=backoff, doubtful=True)

    def _judge(self, request: Request, answer: Response, backoff: float) -> _AttemptResult:
        info = read_rate_limit_info(answer)
        if is_invalid(answer):
            self._budget.note(_now())
        status = answer.status
        if 200 <= status < 300:
            return _AttemptResult(None, answer, info)
        body = self._hide(answer).json_or_text()
        if status == 429:
            wait = info.closed_for or 0.0
            error = response_error(request.what, status, body, retryable=True, retry_after=wait)
            # The limits close the queue; the minimum avoids an endless loop with 0.
            return _AttemptResult(error, answer, info, retry=True, wait=max(wait, backoff / 10))
        if status >= 500 and status != 501:
            after = retry_after(answer)
            error = response_error(request.what, status, body, retryable=request.idempotent, retry_after=after)
            return _AttemptResult(
                error, answer, info, retry=request.idempotent, wait=max(after or 0.0, backoff), doubtful=True
            )
        return _AttemptResult(response_error(request.what, status, body), answer, info)

    def _hide(self, answer: Response) -> Response:
        # An echo of the request by a server or proxy must not bring the token into a log.
        body = answer.body
        for secret in self._secrets:
            for form in _encoded_forms(secret):
                body = body.replace(form, b"***")
        return Response(answer.status, answer.headers, body)


def _encoded_forms(secret: str) -> set[bytes]:
    """The bytes of a secret in an answer: plain, and within a JSON string."""
    escaped = (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    return {form.encode(errors="surrogatepass") for form in (secret, *escaped)}


def _decoded(answer: Response, request: Request) -> Any:
    try:
        return answer.json()
    except ValueError:
        kind = answer.headers.get("content-type", "unstated")[:80]
        raise BadAnswer(
            f"{request.what}: HTTP {answer.status}, but the answer is no JSON ({kind}); does api_url lead to the API?",
            status=answer.status,
        ) from None


def _now() -> float:
    return asyncio.get_running_loop().time()
