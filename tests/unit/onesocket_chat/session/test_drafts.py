"""Drafts of a session, in virtual time: kept within a moment, and there for the next session of the account."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from onesocket.lifecycle._states import State
from onesocket.notices import CallableSink, Notices
from onesocket.testing._virtual_time import run_virtual
from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._composition import Composition
from onesocket_chat.model._outbox import Draft, DraftState
from onesocket_chat.session._draft_files import DraftFiles
from onesocket_chat.session._drafts import NOT_KEPT_NOTICE, Drafts
from onesocket_discord.rest import Unauthorized
from tests.unit.onesocket_chat.payloads import GENERAL, RANDOM, initial_state
from tests.unit.onesocket_chat.session.test_session_parts import Json, SessionParts

HERE = "http://127.0.0.1:8720/api/v10"


class DraftsFixture(SessionParts):
    """One session after the other, of one account."""

    def __init__(self, draft_files: DraftFiles) -> None:
        super().__init__()
        self.notices: dict[str, str] = {}
        notices = Notices(CallableSink(lambda notice: self.notices.update({notice.id: notice.text}), self.notices.pop))
        self.store.state = ChatState()
        self.drafts = Drafts(self.shared, self.sender, notices, draft_files, HERE)
        self.store.listen(self.drafts.check)
        self.store.change(lambda _: initial_state())

    async def aclose(self) -> None:
        await self.background.aclose()
        self.drafts.close()


def draft_file(place: Path) -> tuple[bytes, int]:
    """The file, and which one it is."""
    (file,) = place.rglob("*.json")
    return file.read_bytes(), file.stat().st_ino


def test_typing_is_on_disk_within_a_moment_and_not_with_every_key(tmp_path: Path) -> None:
    async def play() -> None:
        drafts = DraftsFixture(DraftFiles(tmp_path))
        for number in range(20):
            drafts.drafts.put(GENERAL, Composition("x" * number))
            await asyncio.sleep(0.05)
        data, number = draft_file(tmp_path)
        assert b"xxxxxxxx" in data
        await asyncio.sleep(1)
        data, later = draft_file(tmp_path)
        assert b"x" * 19 in data
        assert later != number  # replaced as a whole
        await drafts.aclose()

    run_virtual(play)


def test_the_next_session_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    async def play(draft_files: Callable[[], DraftFiles]) -> None:
        first = DraftsFixture(draft_files())
        first.drafts.put(GENERAL, Composition("half a"))
        first.drafts.put(RANDOM, Composition("gone"))
        first.drafts.put(RANDOM, Composition())
        first.say("waits")
        await first.aclose()
        second = DraftsFixture(draft_files())
        assert second.drafts.of(GENERAL) == Composition("half a")
        assert second.drafts.of(RANDOM).is_empty
        assert [draft.content for draft in second.store.state.outbox.drafts] == ["waits"]
        second.set_state(State.CONNECTED)
        await asyncio.sleep(1)
        assert [(content, nonce) for _, content, nonce in second.api.sent] == [("waits", "n-waits")]
        assert second.api.looked == [(GENERAL, 0)]  # what ended may have sent it, and not come to say so
        await second.aclose()
        third = DraftsFixture(draft_files())
        assert len(third.store.state.outbox) == 0
        await third.aclose()

    draft_file: list[DraftFiles] = []

    def other_process() -> DraftFiles:
        for draft_files in draft_file:
            draft_files.close()
        draft_file.append(DraftFiles(tmp_path))
        return draft_file[-1]

    run_virtual(lambda: play(other_process))
    same = DraftFiles(None)
    run_virtual(lambda: play(lambda: same))


def test_what_is_handed_over_at_the_very_end_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        drafts = DraftsFixture(DraftFiles(tmp_path))
        drafts.drafts.put(GENERAL, Composition("typed and quit"))
        await drafts.aclose()
        drafts.drafts.put(GENERAL, Composition("typed and quit!"))
        assert b"typed and quit!" in draft_file(tmp_path)[0]

    run_virtual(play)


def test_what_waited_too_long_and_what_failed_is_there_and_not_sent(tmp_path: Path) -> None:
    async def play() -> None:
        first = DraftsFixture(DraftFiles(None))
        draft_files = DraftFiles(tmp_path)
        drafts = DraftsFixture(draft_files)
        old = Draft("old", GENERAL, "late", asyncio.get_running_loop().time() - 3600)
        bad = replace(old, nonce="bad", fate=DraftState.FAILED, reason="refused")
        drafts.store.change(lambda world: replace(world, outbox=world.outbox.add(old).add(bad)))
        await drafts.aclose()
        next_one = DraftsFixture(draft_files)
        next_one.set_state(State.CONNECTED)
        await asyncio.sleep(1)
        assert next_one.api.sent == []
        assert [draft.fate for draft in next_one.store.state.outbox.drafts] == [DraftState.FAILED, DraftState.FAILED]
        await next_one.aclose()
        await first.aclose()

    run_virtual(play)


def test_a_void_token_fails_no_message() -> None:
    async def play() -> None:
        draft_files = DraftFiles(None)
        drafts = DraftsFixture(draft_files)
        store = drafts.api.on_send

        async def refuses(_: int, __: str) -> Json:
            raise Unauthorized("401", status=401)

        drafts.api.on_send = refuses
        drafts.set_state(State.CONNECTED)
        drafts.say("one")
        drafts.say("two")
        await asyncio.sleep(60)
        assert [content for _, content, _ in drafts.api.sent] == ["one"]  # asked once, and not again and again
        assert [draft.fate for draft in drafts.store.state.outbox.drafts] == [DraftState.WAITING] * 2
        assert drafts.shown == {}
        await drafts.aclose()
        after = DraftsFixture(draft_files)
        after.api.on_send = store
        after.set_state(State.CONNECTED)
        await asyncio.sleep(1)
        assert after.contents == ["one", "two"]
        await after.aclose()

    run_virtual(play)


def test_a_disk_that_can_not_be_written_is_told_and_harms_nothing(tmp_path: Path) -> None:
    place = tmp_path / "drafts"
    place.write_text("in the way")

    async def play() -> None:
        drafts = DraftsFixture(DraftFiles(place))
        drafts.drafts.put(GENERAL, Composition("typed"))
        await asyncio.sleep(1)
        assert str(place) in drafts.notices[NOT_KEPT_NOTICE]
        assert drafts.drafts.of(GENERAL) == Composition("typed")
        place.unlink()
        drafts.drafts.put(GENERAL, Composition("typed more"))
        await asyncio.sleep(1)
        assert drafts.notices == {}
        await drafts.aclose()

    run_virtual(play)


@pytest.mark.parametrize("draft_files", [DraftFiles(None)])
def test_nothing_is_kept_before_it_is_known_for_whom(draft_files: DraftFiles) -> None:
    async def play() -> None:
        drafts = DraftsFixture(draft_files)
        drafts.store.state = ChatState()
        other = Drafts(drafts.shared, drafts.sender, Notices(), draft_files, HERE)
        other.put(GENERAL, Composition("typed"))
        await asyncio.sleep(1)
        other.close()
        assert other.of(GENERAL) == Composition("typed")
        await drafts.aclose()

    run_virtual(play)
