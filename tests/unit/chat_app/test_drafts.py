"""Drafts of a session, in virtual time: kept within a moment, and there for the next session of the account."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from onesocket.chat.app.model.composition import Composition
from onesocket.chat.app.model.outbox import Draft, Fate
from onesocket.chat.app.model.world import World
from onesocket.chat.app.session.drafts import NOT_KEPT, Drafts
from onesocket.chat.app.session.shelf import Shelves
from onesocket.discord.rest import Unauthorized
from onesocket.lifecycle.states import State
from onesocket.notices import CallableSink, Notices
from onesocket.testing.virtual_time import run_virtual
from tests.unit.chat_app.bodies import GENERAL, RANDOM, begun
from tests.unit.chat_app.test_session_parts import Bench, Json

HERE = "http://127.0.0.1:8720/api/v10"


class Desk(Bench):
    """One session after the other, of one account."""

    def __init__(self, shelves: Shelves) -> None:
        super().__init__()
        self.notices: dict[str, str] = {}
        board = Notices(CallableSink(lambda notice: self.notices.update({notice.id: notice.text}), self.notices.pop))
        self.store.world = World()
        self.drafts = Drafts(self.shared, self.sender, board, shelves, HERE)
        self.store.listen(self.drafts.check)
        self.store.change(lambda _: begun())

    async def aclose(self) -> None:
        await self.chores.aclose()
        self.drafts.close()


def kept(place: Path) -> tuple[bytes, int]:
    """The file, and which one it is."""
    (file,) = place.rglob("*.json")
    return file.read_bytes(), file.stat().st_ino


def test_typing_is_on_disk_within_a_moment_and_not_with_every_key(tmp_path: Path) -> None:
    async def play() -> None:
        desk = Desk(Shelves(tmp_path))
        for number in range(20):
            desk.drafts.put(GENERAL, Composition("x" * number))
            await asyncio.sleep(0.05)
        data, number = kept(tmp_path)
        assert b"xxxxxxxx" in data
        await asyncio.sleep(1)
        data, later = kept(tmp_path)
        assert b"x" * 19 in data
        assert later != number  # replaced as a whole
        await desk.aclose()

    run_virtual(play)


def test_the_next_session_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    async def play(shelves: Callable[[], Shelves]) -> None:
        first = Desk(shelves())
        first.drafts.put(GENERAL, Composition("half a"))
        first.drafts.put(RANDOM, Composition("gone"))
        first.drafts.put(RANDOM, Composition())
        first.say("waits")
        await first.aclose()
        second = Desk(shelves())
        assert second.drafts.of(GENERAL) == Composition("half a")
        assert second.drafts.of(RANDOM).is_empty
        assert [draft.content for draft in second.store.world.outbox.drafts] == ["waits"]
        second.set_line(State.CONNECTED)
        await asyncio.sleep(1)
        assert [(content, nonce) for _, content, nonce in second.api.sent] == [("waits", "n-waits")]
        assert second.api.looked == [(GENERAL, 0)]  # what ended may have sent it, and not come to say so
        await second.aclose()
        third = Desk(shelves())
        assert len(third.store.world.outbox) == 0
        await third.aclose()

    kept: list[Shelves] = []

    def other_process() -> Shelves:
        for shelves in kept:
            shelves.close()
        kept.append(Shelves(tmp_path))
        return kept[-1]

    run_virtual(lambda: play(other_process))
    same = Shelves(None)
    run_virtual(lambda: play(lambda: same))


def test_what_is_handed_over_at_the_very_end_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        desk = Desk(Shelves(tmp_path))
        desk.drafts.put(GENERAL, Composition("typed and quit"))
        await desk.aclose()
        desk.drafts.put(GENERAL, Composition("typed and quit!"))
        assert b"typed and quit!" in kept(tmp_path)[0]

    run_virtual(play)


def test_what_waited_too_long_and_what_failed_is_there_and_not_sent(tmp_path: Path) -> None:
    async def play() -> None:
        first = Desk(Shelves(None))
        shelves = Shelves(tmp_path)
        desk = Desk(shelves)
        old = Draft("old", GENERAL, "late", asyncio.get_running_loop().time() - 3600)
        bad = replace(old, nonce="bad", fate=Fate.FAILED, reason="refused")
        desk.store.change(lambda world: replace(world, outbox=world.outbox.add(old).add(bad)))
        await desk.aclose()
        next_one = Desk(shelves)
        next_one.set_line(State.CONNECTED)
        await asyncio.sleep(1)
        assert next_one.api.sent == []
        assert [draft.fate for draft in next_one.store.world.outbox.drafts] == [Fate.FAILED, Fate.FAILED]
        await next_one.aclose()
        await first.aclose()

    run_virtual(play)


def test_a_void_token_fails_no_message() -> None:
    async def play() -> None:
        shelves = Shelves(None)
        desk = Desk(shelves)
        store = desk.api.on_send

        async def refuses(_: int, __: str) -> Json:
            raise Unauthorized("401", status=401)

        desk.api.on_send = refuses
        desk.set_line(State.CONNECTED)
        desk.say("one")
        desk.say("two")
        await asyncio.sleep(60)
        assert [content for _, content, _ in desk.api.sent] == ["one"]  # asked once, and not again and again
        assert [draft.fate for draft in desk.store.world.outbox.drafts] == [Fate.WAITING] * 2
        assert desk.shown == {}
        await desk.aclose()
        after = Desk(shelves)
        after.api.on_send = store
        after.set_line(State.CONNECTED)
        await asyncio.sleep(1)
        assert after.contents == ["one", "two"]
        await after.aclose()

    run_virtual(play)


def test_a_disk_that_can_not_be_written_is_told_and_harms_nothing(tmp_path: Path) -> None:
    place = tmp_path / "drafts"
    place.write_text("in the way")

    async def play() -> None:
        desk = Desk(Shelves(place))
        desk.drafts.put(GENERAL, Composition("typed"))
        await asyncio.sleep(1)
        assert str(place) in desk.notices[NOT_KEPT]
        assert desk.drafts.of(GENERAL) == Composition("typed")
        place.unlink()
        desk.drafts.put(GENERAL, Composition("typed more"))
        await asyncio.sleep(1)
        assert desk.notices == {}
        await desk.aclose()

    run_virtual(play)


@pytest.mark.parametrize("shelves", [Shelves(None)])
def test_nothing_is_kept_before_it_is_known_for_whom(shelves: Shelves) -> None:
    async def play() -> None:
        desk = Desk(shelves)
        desk.store.world = World()
        other = Drafts(desk.shared, desk.sender, Notices(), shelves, HERE)
        other.put(GENERAL, Composition("typed"))
        await asyncio.sleep(1)
        other.close()
        assert other.of(GENERAL) == Composition("typed")
        await desk.aclose()

    run_virtual(play)
