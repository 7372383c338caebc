"""One reader of all venues: on an event loop, or in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpx

from onesocket import Gap, OnesocketError, blocking, join
from onesocket.errors import RequestRefused, SubscriptionRefused
from onesocket.services import binance, kraken, slack
from onesocket.sharing import HostOptions

from .accounts import (
    KEYS,
    Account,
    book_key,
    number_of,
    numbered_key,
    question,
    refused_key,
    stream_request,
)
from .checks import EnvelopeCheck, NumberCheck, Report, book_state
from .schedule import ALPACA, BINANCE, GRAPHQL, HOME_ASSISTANT, KRAKEN, SLACK

SUBSCRIBING: Final = (ALPACA, BINANCE, KRAKEN)
STREAMING: Final = (HOME_ASSISTANT, GRAPHQL)
_PAUSE_AFTER_END: Final = 0.2
_REQUEST_TIMEOUT: Final = 10.0
_CHURN_SECONDS: Final = 2.0
_REFUSED_SHARE: Final = 0.2


class AccountView:
    """State of one reader at one account: the checks of its numbered keys, and the order book."""

    def __init__(self, reader: int, account: Account, seed: int, report: Report) -> None:
        self.account = account
        self.gaps = 0
        self.ended = 0
        """Streams that the venue ended."""
        name = account.service
        self.report: Report = lambda text: report(f"reader {reader}, {name}: {text}")
        indices = () if name == SLACK else (reader % KEYS, (reader + 1) % KEYS)
        keys = [numbered_key(name, index) for index in indices]
        self.numbered = {key: NumberCheck(key, seed, self.report) for key in keys}
        self.envelopes = EnvelopeCheck("envelopes", self.report) if name == SLACK else None
        self.books: kraken.Books | binance.Books | None = None
        if name == BINANCE:
            self.books = binance.Books()
        elif name == KRAKEN:
            self.books = kraken.Books(depth=10)

    @property
    def keys(self) -> list[str]:
        """All keys of `subscribe()`."""
        book = book_key(self.account.service)
        return [*self.numbered, *([book] if book else [])]

    def take(self, message: Any, only: str | None = None) -> list[Any]:
        """Take a message of a stream, of all keys or of one; returns messages that have to be sent."""
        now = time.monotonic()
        if isinstance(message, Gap):
            self._gap(only, now)
        if self.books is not None:
            book = self.books.take(message)
            if book is not None:
                return self.books.requests(book) if isinstance(self.books, kraken.Books) else []
        found = number_of(message)
        if found is not None:
            check = self.numbered.get(found[0])
            if check is None or only not in {None, found[0]}:
                self.report(f"a message of {found[0]}, which was not asked for")
            else:
                check.take(found[1], now)
        elif self.envelopes is not None and isinstance(message, slack.SlackEnvelope):
            self.envelopes.take(message.payload["n"], message.retry_attempt)
        return []

    def stream_ended(self, key: str | None) -> None:
        """Note that the venue has ended a stream: what comes until the next one is missing."""
        self.ended += 1
        for each in self._checks(key):
            each.gap()

    def _gap(self, only: str | None, now: float) -> None:
        self.gaps += 1
        for check in self._checks(only):
            check.gap()
        if self.envelopes is not None:
            self.envelopes.gap(now)

    def _checks(self, only: str | None) -> Iterable[NumberCheck]:
        return self.numbered.values() if only is None else (self.numbered[only],)

    def due_snapshot(self) -> str | None:
        """The address of a snapshot over HTTP that is due."""
        if isinstance(self.books, binance.Books):
            for book in self.books.values():
                if book.snapshot_due():
                    return f"{self.account.api}?symbol={book.key}&limit=5000"
        return None

    def add_snapshot(self, url: str, body: bytes) -> None:
        """Take the answer."""
        if isinstance(self.books, binance.Books):
            self.books.add_snapshot(httpx.URL(url).params["symbol"], body)

    def state(self) -> dict[str, Any]:
        """Return the present state, for the comparison with the venue."""
        now = time.monotonic()
        for check in self.numbered.values():
            check.expire(now)
        return {
            "last": {key: check.last for key, check in self.numbered.items()},
            "books": {str(book.key): book_state(book) for book in (self.books or {}).values()},
            "received": sum(check.received for check in self.numbered.values())
            + (self.envelopes.received if self.envelopes else 0),
            "holes": sum(check.holes for check in self.numbered.values()),
            "gaps": self.gaps,
            "ended": self.ended,
            "envelopes": self.envelopes.last if self.envelopes else 0,
        }


class FeedReader:
    """Base of both kinds of readers."""

    def __init__(self, number: int, given: dict[str, Any], report: Report) -> None:
        self.number = number
        self.outcomes: Counter[str] = Counter()
        """How requests ended."""
        self._host = HostOptions(directory=given["directory"], heartbeat=0.5, stopped_after=10.0)
        self._report = report
        accounts = [Account(*fields) for fields in given["accounts"]]
        self.views = {account.service: AccountView(number, account, given["seed"], report) for account in accounts}
        self._random = random.Random(f"{given['seed']} {number}")

    def state(self) -> dict[str, Any]:
        """Return the present state, by services."""
        return {service: view.state() for service, view in self.views.items()}

    def complain(self, what: str, error: BaseException) -> None:
        """Report an error that should not have come."""
        self._report(f"reader {self.number}, {what}: {type(error).__name__}: {error}")


class LoopReader(FeedReader):
    """A reader on an event loop, which asks questions and changes its subscriptions besides."""

    def __init__(self, number: int, given: dict[str, Any], report: Report) -> None:
        super().__init__(number, given, report)
        self.clients: dict[str, Any] = {}
        self.busy = asyncio.Event()
        self.ready = asyncio.Event()
        self.changing = 0
        """Subscriptions and requests of the moment."""

    async def run(self, *, changes: bool) -> None:
        """Read until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            for service, view in self.views.items():
                joining = join(view.account.url, scope="host", host_options=self._host, **view.account.join_options())
                self.clients[service] = await stack.enter_async_context(joining)
            async with httpx.AsyncClient(trust_env=False, timeout=2.0) as http, asyncio.TaskGroup() as group:
                for service, view in self.views.items():
                    client = self.clients[service]
                    if service in STREAMING:
                        for key in view.numbered:
                            group.create_task(self._read_answers(client, view, key))
                    else:
                        group.create_task(self._read(client, view, http))
                    if changes:
                        group.create_task(self._ask(client, service))
                    if changes and service != SLACK:
                        group.create_task(self._change(client, service))
                self.ready.set()

    async def _read(self, client: Any, view: AccountView, http: httpx.AsyncClient) -> None:
        keys = view.keys
        stream = client.subscribe(keys=keys) if keys else client.subscribe("events_api")
        while True:
            try:
                async for message in stream:
                    for request in view.take(message):
                        client.send_nowait(request)
                    due = view.due_snapshot()
                    if due is not None:
                        await self._fetch(view, http, due)
            except OnesocketError as error:
                self.complain(view.account.service, error)
                await asyncio.sleep(_PAUSE_AFTER_END)
            else:
                self.complain(view.account.service, EOFError("the stream ended"))
                return

    async def _fetch(self, view: AccountView, http: httpx.AsyncClient, url: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            answer = await http.get(url)
            if answer.is_success:
                view.add_snapshot(url, answer.content)

    async def _read_answers(self, client: Any, view: AccountView, key: str) -> None:
        while True:
            try:
                request = stream_request(view.account.service, key)
                async with client.request_stream(request, resend=True) as stream:
                    async for message in stream:
                        view.take(message, key)
            except RequestRefused as error:
                if view.account.service != GRAPHQL:
                    self.complain(f"{view.account.service} {key}", error)
            except OnesocketError as error:
                self.complain(f"{view.account.service} {key}", error)
            view.stream_ended(key)
            await asyncio.sleep(_PAUSE_AFTER_END)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(self._random.uniform(0.5, 1.5) * seconds)
        await self.busy.wait()

    async def _ask(self, client: Any, service: str) -> None:
        number = 0
        while True:
            await self._pause(6.0 if service == BINANCE else 0.8)
            number += 1
            asked = question(service, self.number * 1_000_000 + number)
            if asked is None:
                return
            request, is_right = asked
            self.changing += 1
            try:
                async with asyncio.timeout(_REQUEST_TIMEOUT + 15.0):
                    answer = await client.request(request, timeout=_REQUEST_TIMEOUT, resend=self._random.random() < 0.3)
            except OnesocketError as error:
                self.outcomes[f"{service}: {type(error).__name__}"] += 1
            except TimeoutError as error:
                self.complain(f"{service}: request without an end", error)
            else:
                self.outcomes[f"{service}: answered"] += 1
                if not is_right(answer):
                    self._report(f"reader {self.number}, {service}: {request} was answered with {answer}")
            self.changing -= 1

    async def _change(self, client: Any, service: str) -> None:
        while True:
            await self._pause(_CHURN_SECONDS)
            self.changing += 1
            is_refused = service in SUBSCRIBING and self._random.random() < _REFUSED_SHARE
            key = refused_key(service) if is_refused else numbered_key(service, self._random.randrange(KEYS))
            try:
                async with asyncio.timeout(self._random.uniform(0.0, 1.5)):
                    await self._read_a_while(client, service, key, is_refused=is_refused)
            except TimeoutError:
                pass
            except SubscriptionRefused as error:
                if not is_refused or error.keys != (key,):
                    self.complain(f"{service} {key}", error)
            except OnesocketError as error:
                if service != GRAPHQL or not isinstance(error, RequestRefused):
                    self.complain(f"{service} {key}", error)
            self.changing -= 1

    async def _read_a_while(self, client: Any, service: str, key: str, *, is_refused: bool) -> None:
        if service in STREAMING:
            stream = client.request_stream(stream_request(service, key), resend=True)
        else:
            stream = client.subscribe(keys=[key], gaps=False)
        try:
            async for message in stream:
                found = number_of(message)
                if found is not None and (is_refused or found[0] != key):
                    self._report(f"reader {self.number}, {service}: {found} in a stream of {key}")
        finally:
            stream.close()


class ThreadReader(FeedReader):
    """A reader without an event loop: a thread for each stream."""

    def __init__(self, number: int, given: dict[str, Any], report: Report) -> None:
        super().__init__(number, given, report)
        self._stop = threading.Event()
        self._stack = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Join, and start the threads."""
        for view in self.views.values():
            account = view.account
            # These clients never read their own stream, which would keep 16 384 messages.
            options: dict[str, Any] = account.join_options() | {"limit": 16, "overflow": "drop_oldest"}
            client = self._stack.enter_context(
                blocking.join(account.url, scope="host", host_options=self._host, **options)
            )
            if account.service in STREAMING:
                for key in view.numbered:
                    self._begin(self._read_answers, client, view, key)
            else:
                self._begin(self._read, client, view)

    def _begin(self, function: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Leave."""
        self._stop.set()
        self._stack.close()
        for thread in self._threads:
            thread.join(10.0)

    def _read(self, client: Any, view: AccountView) -> None:
        keys = view.keys
        stream = client.subscribe(keys=keys) if keys else client.subscribe("events_api")
        with httpx.Client(trust_env=False, timeout=2.0) as http:
            while not self._stop.is_set():
                try:
                    for message in stream:
                        for request in view.take(message):
                            client.send_nowait(request)
                        due = view.due_snapshot()
                        if due is not None:
                            self._fetch(view, http, due)
                except OnesocketError as error:
                    if not self._stop.is_set():
                        self.complain(view.account.service, error)
                        time.sleep(_PAUSE_AFTER_END)
                else:
                    if not self._stop.is_set():
                        self.complain(view.account.service, EOFError("the stream ended"))
                    return

    def _fetch(self, view: AccountView, http: httpx.Client, url: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            answer = http.get(url)
            if answer.is_success:
                view.add_snapshot(url, answer.content)

    def _read_answers(self, client: Any, view: AccountView, key: str) -> None:
        while not self._stop.is_set():
            try:
                with client.request_stream(stream_request(view.account.service, key), resend=True) as stream:
                    for message in stream:
                        view.take(message, key)
            except RequestRefused as error:
                if view.account.service != GRAPHQL and not self._stop.is_set():
                    self.complain(f"{view.account.service} {key}", error)
            except OnesocketError as error:
                if not self._stop.is_set():
                    self.complain(f"{view.account.service} {key}", error)
            if not self._stop.is_set():
                view.stream_ended(key)
                time.sleep(_PAUSE_AFTER_END)
