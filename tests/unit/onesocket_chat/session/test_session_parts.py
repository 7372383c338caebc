"""Sender, loader and reader against an API that does what the test says, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from onesocket.client._status import Change
from onesocket.errors import InvalidURL, OnesocketError, OutboxFull
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.lifecycle._states import State
from onesocket.notices import CallableSink, Notices
from onesocket.testing._virtual_time import run_virtual
from onesocket_chat.model._history import ChannelHistory
from onesocket_chat.model._models import Message, from_json
from onesocket_chat.model._outbox import Draft, DraftState
from onesocket_chat.model._reducer import aim_history, mark_stale, reduce, renew_history
from onesocket_chat.session._background_tasks import BackgroundTasks
from onesocket_chat.session._connection_monitor import ConnectionMonitor
from onesocket_chat.session._history_loader import HistoryLoader
from onesocket_chat.session._message_sender import MessageSender
from onesocket_chat.session._read_marker import ReadMarker
from onesocket_chat.session._request_errors import RequestErrors
from onesocket_chat.session._server_address import ServerAddress
from onesocket_chat.session._session_context import SessionContext
from onesocket_chat.session._state_store import StateStore
from onesocket_discord.rest import BadAnswer, Forbidden, RequestLost, Rest, RestError, RestTimeout, ServerTrouble
from tests.unit.onesocket_chat.payloads import GENERAL, RANDOM, initial_state, message_body

Json = dict[str, Any]


class FakeRest:
    """Stands for `Rest`: keeps the calls, and answers them by the functions that the test gives."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, str]] = []
        self.asked: list[tuple[int, int | None]] = []
        self.replied: list[int | None] = []
        self.places: list[dict[str, int]] = []
        self.acknowledged: list[int] = []
        self.on_send: Callable[[int, str], Awaitable[Json]] = self._store
        self.on_messages: Callable[[int], Awaitable[list[Json]]] = self._empty
        self.looked: list[tuple[int, int]] = []
        self.on_history: Callable[[int], Awaitable[list[Json]]] = self._empty
        self._next = 2000

    async def send_message(self, channel: int, content: str, *, reply_to: int | None, nonce: str, resend: bool) -> Json:
        self.replied.append(reply_to)
        assert not resend  # what may be stored is looked for first
        self.sent.append((channel, content, nonce))
        return {**await self.on_send(channel, content), "nonce": nonce}

    async def messages(self, channel: int, *, limit: int, before: int | None = None, **place: int | None) -> list[Json]:
        del limit
        self.asked.append((channel, before))
        self.places.append({name: one for name, one in place.items() if one is not None})
        return await self.on_messages(channel)

    async def history(self, channel: int, *, after: int) -> AsyncIterator[Json]:
        self.looked.append((channel, after))
        for one in await self.on_history(channel):
            yield one

    async def ack(self, channel: int, message: int) -> None:
        del channel
        self.acknowledged.append(message)

    async def _store(self, channel: int, content: str) -> Json:
        await asyncio.sleep(0.01)
        self._next += 1
        return message_body(self._next, 1, channel, content=content)

    async def _empty(self, channel: int) -> list[Json]:
        del channel
        await asyncio.sleep(0.01)
        return []


class SessionParts:
    """The parts of a session without a network."""

    def __init__(self) -> None:
        self.api = FakeRest()
        self.store = StateStore()
        self.store.state = initial_state()
        self.monitor = ConnectionMonitor()
        self.shown: dict[str, str] = {}
        notices = Notices(CallableSink(lambda notice: self.shown.update({notice.id: notice.text}), self.shown.pop))
        self.background = BackgroundTasks()
        self.shared = SessionContext(
            self.store, cast("Rest", self.api), self.monitor, self.background, RequestErrors(notices)
        )
        self.sender = MessageSender(self.shared, OutboxLimits(messages=3, age=60.0))
        self.loader = HistoryLoader(self.shared)
        self.store.listen(self.loader.check)

    def set_state(self, state: State) -> None:
        self.monitor.changed(Change(0.0, State.CONNECTING, state, 1, "test", None))

    def say(self, content: str, channel: int = GENERAL, *, after: int = 0) -> str:
        nonce = f"n-{content}"
        self.sender.accept(Draft(nonce, channel, content, asyncio.get_running_loop().time(), after=after))
        return nonce

    def happens(self, event: str, data: Json) -> None:
        self.store.change(lambda world: reduce(world, event, data, 0.0))

    @property
    def contents(self) -> list[str]:
        return [one.content for one in self.store.state.history(GENERAL).messages]


def with_session_parts(scenario: Callable[[SessionParts], Awaitable[None]]) -> None:
    """Play it in virtual time."""

    async def play() -> None:
        bench = SessionParts()
        await scenario(bench)
        await bench.background.aclose()

    run_virtual(play)


def test_messages_wait_for_the_connection_and_go_in_order() -> None:
    async def scenario(bench: SessionParts) -> None:
        for text in ("one", "two", "three"):
            bench.say(text)
        await asyncio.sleep(30)
        assert bench.api.sent == []
        with pytest.raises(OutboxFull, match="3 messages"):
            bench.say("four")
        bench.set_state(State.CONNECTED)
        await asyncio.sleep(1)
        assert [content for _, content, _ in bench.api.sent] == ["one", "two", "three"]
        assert bench.contents == ["one", "two", "three"]
        assert len(bench.store.state.outbox) == 0

    with_session_parts(scenario)


def test_a_lost_request_is_repeated_with_the_same_nonce() -> None:
    async def scenario(bench: SessionParts) -> None:
        store, tries = bench.api.on_send, []

        async def loses(channel: int, content: str) -> Json:
            tries.append(content)
            if len(tries) < 3:
                raise RequestLost("the connection broke", retryable=False)
            return await store(channel, content)

        bench.api.on_send = loses
        bench.set_state(State.CONNECTED)
        nonce = bench.say("one")
        await asyncio.sleep(0.2)
        draft = bench.store.state.outbox.find(nonce)
        assert draft is not None
        assert draft.fate is DraftState.WAITING
        await asyncio.sleep(10)
        assert [one for _, _, one in bench.api.sent] == [nonce] * 3
        assert bench.contents == ["one"]

    with_session_parts(scenario)


@pytest.mark.parametrize(
    "error",
    [
        RequestLost("the connection broke", retryable=False),
        RestTimeout("no answer", sent=True, retryable=False),
        ServerTrouble("502", status=502),
    ],
)
@pytest.mark.parametrize("is_stored", [True, False])
def test_a_message_whose_answer_was_lost_is_looked_for_before_it_is_sent_again(
    error: OnesocketError, is_stored: bool
) -> None:
    async def scenario(bench: SessionParts) -> None:
        store = bench.api.on_send

        async def loses(_: int, content: str) -> Json:
            bench.api.on_send = store
            copied = message_body(2500, 2, content=content, nonce="n-one")  # somebody else's
            mine = message_body(2501, 1, content=content, nonce="n-one")
            found = [copied, mine] if is_stored else [copied]

            async def history(_: int) -> list[Json]:
                return found

            bench.api.on_history = history
            raise error

        bench.api.on_send = loses
        bench.set_state(State.CONNECTED)
        bench.say("one", after=1000)
        await asyncio.sleep(5)
        bench.say("two")
        await asyncio.sleep(5)
        assert bench.api.looked == [(GENERAL, 1000)]
        assert [content for _, content, _ in bench.api.sent] == (["one", "two"] if is_stored else ["one", "one", "two"])
        assert len(bench.store.state.outbox) == 0

    with_session_parts(scenario)


def test_what_was_sent_and_waited_too_long_is_looked_for_when_the_connection_is_back() -> None:
    async def scenario(bench: SessionParts) -> None:
        async def loses(_: int, __: str) -> Json:
            bench.set_state(State.BACKING_OFF)
            raise RequestLost("the connection broke", retryable=False)

        async def history(_: int) -> list[Json]:
            return [message_body(2500, 1, content="one", nonce="n-one")]

        bench.api.on_send = loses
        bench.set_state(State.CONNECTED)
        bench.say("one")
        await asyncio.sleep(0)
        bench.say("two")
        await asyncio.sleep(100)
        drafts = bench.store.state.outbox.drafts
        assert [draft.reason for draft in drafts] == [
            "it waited 60 s for the server, which may have it",
            "it waited 60 s for the server",
        ]
        bench.api.on_history = history
        bench.set_state(State.CONNECTED)
        bench.sender.settle()
        await asyncio.sleep(1)
        assert [draft.content for draft in bench.store.state.outbox.drafts] == ["two"]
        assert [content for _, content, _ in bench.api.sent] == ["one"]

    with_session_parts(scenario)


def test_what_was_refused_is_not_looked_for_and_what_was_not_understood_is() -> None:
    async def scenario(bench: SessionParts) -> None:
        store = bench.api.on_send
        errors = {"refused": Forbidden("no", status=403), "odd": BadAnswer("no JSON", status=200)}

        async def refuses(channel: int, content: str) -> Json:
            if content in errors:
                raise errors.pop(content)
            return await store(channel, content)

        bench.api.on_send = refuses
        bench.set_state(State.CONNECTED)
        for text in ("refused", "odd"):
            nonce = bench.say(text)
            await asyncio.sleep(1)
            bench.sender.retry(nonce)
            await asyncio.sleep(1)
            assert len(bench.api.looked) == (text == "odd")
        assert bench.contents == ["refused", "odd"]

    with_session_parts(scenario)


def test_a_page_that_shows_a_draft_to_be_stored_ends_it() -> None:
    world = initial_state()
    world = replace(world, outbox=world.outbox.add(Draft("n", GENERAL, "mine", 0.0)))
    for author, left in ((2, 1), (1, 0)):
        page = [from_json(message_body(2500, author, nonce="n"), Message)]
        assert len(renew_history(world, GENERAL, page, 0).outbox) == left


def test_a_refusal_fails_one_message_and_not_those_behind_it() -> None:
    async def scenario(bench: SessionParts) -> None:
        store = bench.api.on_send

        async def refuses(channel: int, content: str) -> Json:
            if content == "bad":
                raise Forbidden("no", status=403)
            return await store(channel, content)

        bench.api.on_send = refuses
        bench.set_state(State.CONNECTED)
        nonce = bench.say("bad")
        bench.say("good")
        await asyncio.sleep(1)
        assert bench.contents == ["good"]
        assert bench.shown == {}  # withdrawn by the success after it; the draft itself says why
        draft = bench.store.state.outbox.find(nonce)
        assert draft is not None
        assert (draft.fate, draft.reason) == (DraftState.FAILED, "you may not do this here")
        bench.api.on_send = store
        bench.sender.retry(nonce)
        await asyncio.sleep(1)
        assert bench.contents == ["good", "bad"]

    with_session_parts(scenario)


def test_what_waits_too_long_fails_and_is_not_sent_later() -> None:
    async def scenario(bench: SessionParts) -> None:
        nonce = bench.say("late")
        await asyncio.sleep(61)
        draft = bench.store.state.outbox.find(nonce)
        assert draft is not None
        assert draft.fate is DraftState.FAILED
        bench.set_state(State.CONNECTED)
        await asyncio.sleep(60)
        assert bench.api.sent == []
        assert bench.sender.discard(nonce)
        assert not bench.sender.discard(nonce)

    with_session_parts(scenario)


def test_a_message_on_its_way_can_not_be_discarded_and_a_waiting_one_is_not_sent() -> None:
    async def scenario(bench: SessionParts) -> None:
        gone = bench.say("gone")
        kept = bench.say("kept")
        assert bench.sender.discard(gone)
        bench.set_state(State.CONNECTED)
        await asyncio.sleep(0.005)
        assert not bench.sender.discard(kept)
        await asyncio.sleep(1)
        assert [content for _, content, _ in bench.api.sent] == ["kept"]

    with_session_parts(scenario)


def test_a_slow_channel_does_not_hold_up_the_others() -> None:
    async def scenario(bench: SessionParts) -> None:
        store = bench.api.on_send

        async def slow_here(channel: int, content: str) -> Json:
            await asyncio.sleep(10 if channel == GENERAL else 0)
            return await store(channel, content)

        bench.api.on_send = slow_here
        bench.set_state(State.CONNECTED)
        bench.say("slow")
        bench.say("quick", RANDOM)
        await asyncio.sleep(1)
        assert [one.content for one in bench.store.state.history(RANDOM).messages] == ["quick"]
        assert bench.contents == []

    with_session_parts(scenario)


def test_a_history_is_loaded_when_opened_and_again_after_a_gap_but_only_while_shown() -> None:
    async def scenario(bench: SessionParts) -> None:
        bench.loader.open(GENERAL)
        await asyncio.sleep(1)
        assert bench.api.asked == []  # not without a connection
        bench.set_state(State.CONNECTED)
        bench.loader.again()
        await asyncio.sleep(1)
        assert bench.api.asked == [(GENERAL, None)]
        bench.store.change(mark_stale)
        await asyncio.sleep(1)
        assert len(bench.api.asked) == 2
        bench.loader.close(GENERAL)
        bench.store.change(mark_stale)
        await asyncio.sleep(1)
        assert len(bench.api.asked) == 2

    with_session_parts(scenario)


def test_a_page_that_something_happened_to_on_its_way_is_asked_for_again() -> None:
    async def scenario(bench: SessionParts) -> None:
        texts = iter(["old", "edited"])

        async def answers(channel: int) -> list[Json]:
            page = [message_body(1000, channel=channel, content=next(texts))]
            await asyncio.sleep(0.1)
            return page

        bench.api.on_messages = answers
        bench.set_state(State.CONNECTED)
        bench.loader.open(GENERAL)
        await asyncio.sleep(0.05)
        bench.happens("MESSAGE_UPDATE", message_body(1000, content="edited"))
        await asyncio.sleep(1)
        assert bench.contents == ["edited"]
        assert len(bench.api.asked) == 2

    with_session_parts(scenario)


def test_a_gap_while_a_page_is_on_its_way_makes_it_worthless() -> None:
    async def scenario(bench: SessionParts) -> None:
        pages = iter([[message_body(1)], [message_body(2), message_body(1)]])

        async def answers(channel: int) -> list[Json]:
            del channel
            page = next(pages)
            await asyncio.sleep(0.1)
            return page

        bench.api.on_messages = answers
        bench.set_state(State.CONNECTED)
        bench.loader.open(GENERAL)
        await asyncio.sleep(0.05)
        bench.store.change(mark_stale)
        await asyncio.sleep(1)
        assert bench.contents == ["message 1", "message 2"]

    with_session_parts(scenario)


def test_a_history_that_is_refused_is_not_asked_for_all_the_time() -> None:
    async def scenario(bench: SessionParts) -> None:
        async def refuses(channel: int) -> list[Json]:
            raise Forbidden(f"no access to {channel}", status=403)

        bench.api.on_messages = refuses
        bench.set_state(State.CONNECTED)
        bench.loader.open(GENERAL)
        for number in range(5):
            await asyncio.sleep(1)
            bench.happens("MESSAGE_CREATE", message_body(1001 + number))
        assert len(bench.api.asked) == 1
        assert "request-history" in bench.shown
        bench.loader.again()
        await asyncio.sleep(1)
        assert len(bench.api.asked) == 2

    with_session_parts(scenario)


def test_a_page_that_can_not_be_read_is_a_request_error() -> None:
    async def scenario(bench: SessionParts) -> None:
        async def nonsense(channel: int) -> list[Json]:
            return [{"id": channel}]

        bench.api.on_messages = nonsense
        bench.set_state(State.CONNECTED)
        bench.loader.open(GENERAL)
        await asyncio.sleep(1)
        assert "can't be read" in bench.shown["request-history"]

    with_session_parts(scenario)


def test_reading_is_told_once_and_never_for_what_is_read() -> None:
    async def scenario(bench: SessionParts) -> None:
        reader = ReadMarker(bench.shared)
        bench.set_state(State.CONNECTED)
        reader.seen(GENERAL)
        await asyncio.sleep(1)
        assert bench.api.acknowledged == []
        bench.happens("MESSAGE_CREATE", message_body(1001))
        reader.seen(GENERAL)
        reader.seen(GENERAL)
        await asyncio.sleep(1)
        assert bench.api.acknowledged == [1001]
        assert not bench.store.state.is_unread(GENERAL)

    with_session_parts(scenario)


def test_in_a_busy_channel_reading_is_told_now_and_then_and_at_last_of_everything() -> None:
    async def scenario(bench: SessionParts) -> None:
        reader = ReadMarker(bench.shared)
        bench.set_state(State.CONNECTED)
        for number in range(1001, 1101):
            bench.happens("MESSAGE_CREATE", message_body(number))
            reader.seen(GENERAL)
            await asyncio.sleep(0.02)
        await asyncio.sleep(2)
        assert bench.api.acknowledged[0] == 1001
        assert bench.api.acknowledged[-1] == 1100
        assert len(bench.api.acknowledged) <= 6
        assert not bench.store.state.is_unread(GENERAL)

    with_session_parts(scenario)


def test_request_errors_of_the_connection_go_with_it_and_others_stay() -> None:
    async def scenario(bench: SessionParts) -> None:
        errors = bench.shared.request_errors
        errors.failed("edit", Forbidden("no", status=403))
        errors.failed("delete", RequestLost("gone", retryable=True))
        errors.connection_restored()
        assert bench.shown == {"request-edit": "you may not do this here"}
        errors.dismiss()
        assert bench.shown == {}

    with_session_parts(scenario)


def test_background_tasks_of_one_name_run_one_at_a_time_and_end_with_their_owner() -> None:
    async def scenario(bench: SessionParts) -> None:
        begun: list[int] = []

        async def task(number: int) -> None:
            begun.append(number)
            await asyncio.sleep(100)

        background = BackgroundTasks()
        background.start("a", task(1))
        background.start("a", task(2))
        await asyncio.sleep(1)
        await background.aclose()
        background.start("a", task(3))
        assert begun == [1]
        assert len(bench.store.state.outbox) == 0

    with_session_parts(scenario)


@pytest.mark.parametrize(
    ("typed", "api_url"),
    [
        ("127.0.0.1:8720", "http://127.0.0.1:8720/api/v10"),
        (" http://localhost:1/ ", "http://localhost:1/api/v10"),
        ("https://chat.example/api/v10/", "https://chat.example/api/v10"),
        ("[::1]:8720", "http://[::1]:8720/api/v10"),
    ],
)
def test_addresses(typed: str, api_url: str) -> None:
    assert ServerAddress.parse(typed).api_url == api_url


@pytest.mark.parametrize(
    "typed",
    ["", "ftp://x", "http://", "host:port", "a b", "[::1", "x:0", "http://ada:secret@host:1", "ada:secret@host:x"],
)
def test_what_is_no_address(typed: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        ServerAddress.parse(typed)
    assert "secret" not in str(caught.value)


def test_a_history_is_loaded_around_a_message_and_from_there_to_the_newest() -> None:
    async def scenario(bench: SessionParts) -> None:
        firsts = [940, 75, 125, None, 40, 951]
        pages = [[] if first is None else list(range(first, first + 50)) for first in firsts]

        async def page(channel: int) -> list[Json]:
            await asyncio.sleep(0.01)
            return [message_body(number, 2, channel) for number in pages.pop(0)]

        def history() -> ChannelHistory:
            return bench.store.state.history(GENERAL)

        bench.api.on_messages = page
        bench.set_state(State.CONNECTED)
        bench.loader.open(GENERAL)
        await asyncio.sleep(0.1)
        bench.loader.aim(GENERAL, 950)  # it is there
        bench.loader.newer(GENERAL)  # there are none
        await asyncio.sleep(0.1)
        assert bench.api.places == [{}]
        bench.loader.aim(GENERAL, 100)
        await asyncio.sleep(0.1)
        assert (history().oldest, history().newest, history().anchor) == (75, 124, 100)
        bench.loader.newer(GENERAL)
        await asyncio.sleep(0.1)
        assert (history().oldest, history().newest, history().anchor) == (75, 174, 124)
        bench.loader.newer(GENERAL)
        await asyncio.sleep(0.1)
        assert history().anchor is None
        bench.loader.aim(GENERAL, None)  # it is there
        assert bench.api.places == [{}, {"around": 100}, {"after": 124}, {"after": 174}]
        bench.store.change(lambda state: aim_history(state, GENERAL, 60))
        await asyncio.sleep(0.005)
        bench.loader.aim(GENERAL, None)  # before the page has come
        await asyncio.sleep(0.1)
        assert (history().oldest, history().newest, history().anchor) == (951, 1000, None)

    with_session_parts(scenario)


@pytest.mark.parametrize(
    ("code", "problem"), [(50035, "message_reference: Unknown (REPLIES_UNKNOWN_MESSAGE)"), (10008, "")]
)
def test_a_reply_to_a_deleted_message_is_sent_by_itself_and_once(code: int, problem: str) -> None:
    async def scenario(bench: SessionParts) -> None:
        store = bench.api.on_send

        async def refuse(channel: int, content: str) -> Json:
            if bench.api.replied[-1] is not None:
                raise RestError("refused", status=400, code=code, problems=(problem,))
            return await store(channel, content)

        bench.api.on_send = refuse
        bench.set_state(State.CONNECTED)
        bench.sender.accept(Draft("n", GENERAL, "yes", 0.0, reply_to=7))
        await asyncio.sleep(0.1)  # without a pause in between
        assert bench.api.replied == [7, None]
        assert {nonce for _, _, nonce in bench.api.sent} == {"n"}
        assert bench.contents == ["yes"]
        assert not bench.store.state.outbox.drafts
        assert not bench.shown

    with_session_parts(scenario)
