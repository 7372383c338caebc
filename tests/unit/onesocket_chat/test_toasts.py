"""Notices as Textual's toasts."""

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets._toast import Toast

from onesocket.notices import NoticeLevel, Notices
from onesocket_chat import ChatApp, _notice_expiry
from onesocket_chat._toast_sink import ToastSink
from tests.unit.onesocket_chat.driver import running_app
from tests.unit.onesocket_chat.offline import offline_chat


async def texts(pilot: Pilot[None]) -> list[str]:
    await pilot.pause()
    await pilot.pause()
    return [str(toast.render()) for toast in pilot.app.screen.query(Toast)]


async def drawn(pilot: Pilot[None]) -> None:
    for _ in range(4):
        await pilot.pause(0)


async def test_two_texts_at_once_are_one_toast() -> None:
    app = App[None]()
    notices = Notices(ToastSink(app))
    async with app.run_test(notifications=True) as pilot:
        for number in range(5):
            notices.post("lost", NoticeLevel.WARNING, "Lost", f"trying in {number} s")
        assert await texts(pilot) == ["Lost: trying in 4 s"]
        notices.post("busy", NoticeLevel.ERROR, "Busy", "no place")
        notices.withdraw("busy", "lost")
        assert await texts(pilot) == []


def screen(app: App[None]) -> str:
    """Text that stands on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_they_come_change_and_go_by_their_ids() -> None:
    app = App[None]()
    toasts = ToastSink(app)
    notices = Notices(toasts)
    async with app.run_test(notifications=True) as pilot:
        notices.post("lost", NoticeLevel.WARNING, "Lost", "trying in 2 s")
        notices.post("busy", NoticeLevel.ERROR, "Busy", "no place")
        assert await texts(pilot) == ["Lost: trying in 2 s", "Busy: no place"]
        notices.post("lost", NoticeLevel.WARNING, "Lost", "trying in 1 s")
        assert sorted(await texts(pilot)) == ["Busy: no place", "Lost: trying in 1 s"]
        notices.withdraw("lost")
        assert await texts(pilot) == ["Busy: no place"]
        assert toasts.shown == {"busy": "no place"}
        notices.clear()
        assert await texts(pilot) == []


async def test_what_a_server_said_is_no_markup() -> None:
    app = App[None]()
    notices = Notices(ToastSink(app))
    async with app.run_test(notifications=True) as pilot:
        notices.post("x", NoticeLevel.ERROR, "[red]T[/]", "[bold]b[/] [@click=app.quit]q[/] \x1b[2J")
        assert await texts(pilot) == ["[red]T[/]: [bold]b[/] [@click=app.quit]q[/]  [2J"]


async def test_after_many_replacements_they_are_still_on_the_screen() -> None:
    app = ChatApp("127.0.0.1:1")  # whose style sheet has them at the top
    notices = app.notices
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for number in range(60):
            notices.post("lost", NoticeLevel.WARNING, "Lost", f"trying in {number} s")
            if number % 3 == 0:
                notices.post("busy", NoticeLevel.WARNING, "Busy", f"no place {number}")
                await drawn(pilot)
                notices.withdraw("busy")
            await drawn(pilot)
        notices.post("refused", NoticeLevel.ERROR, "Not Sent", "the last error")
        await texts(pilot)
        shown = screen(app)
        assert "trying in 59 s" in shown
        assert "the last error" in shown
        assert "trying in 58 s" not in shown


async def test_the_newest_is_seen_even_if_there_are_more_than_fit() -> None:
    app = ChatApp("127.0.0.1:1")
    async with app.run_test(size=(40, 12), notifications=True) as pilot:
        for number in range(8):
            app.notices.post(f"n{number}", NoticeLevel.ERROR, "Refused", f"error {number}: " + "long " * 200)
        app.notices.post("last", NoticeLevel.ERROR, "Not Sent", "the last error")
        for _ in range(5):
            await texts(pilot)
        assert "the last error" in screen(app)


async def test_screens_below_hold_no_places_of_old_ones() -> None:
    app = ChatApp("127.0.0.1:1")  # whose style sheet has them at the top
    notices = app.notices
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        for number in range(20):
            notices.post("lost", NoticeLevel.WARNING, "Lost", f"below {number}")
            await app.push_screen(Screen[None]())
            notices.post("lost", NoticeLevel.WARNING, "Lost", f"above {number}")
            await drawn(pilot)
            await app.pop_screen()
            await drawn(pilot)
        assert "above 19" in screen(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 20), (40, 12)])
async def test_in_a_small_terminal_a_notice_takes_two_lines_at_most(size: tuple[int, int]) -> None:
    async with offline_chat(size) as driver:
        before = driver.lines()[:-2]  # without the status and the keys
        notices = driver.app.notices
        await driver.do(lambda: notices.post("request-direct", NoticeLevel.ERROR, "Not Sent", "they take no messages"))
        await driver.do(lambda: notices.post("connection-lost", NoticeLevel.WARNING, "Lost", "long words " * 40))
        await driver.until(lambda: driver.is_drawn("Lost: long") and driver.is_drawn("…"))
        covered = [(old, new) for old, new in zip(before, driver.lines()[:-2], strict=True) if old != new]
        assert len(covered) <= 4, driver.screenshot()
        if size[0] >= 80:
            assert driver.is_drawn("Not Sent: they take no messages")
            assert all(old[: size[0] - 42] == new[: size[0] - 42] for old, new in covered), driver.screenshot()


async def test_what_happened_once_goes_after_a_time_and_what_lasts_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_notice_expiry, "_FAILURE_SECONDS", 0.05)
    monkeypatch.setattr(_notice_expiry, "_INFO_SECONDS", 0.1)
    async with running_app(ChatApp("127.0.0.1:1"), (80, 24)) as driver:
        notices = driver.app.notices
        await driver.do(lambda: notices.post("connection-lost", NoticeLevel.WARNING, "Lost", "trying"))
        await driver.do(lambda: notices.post("request-direct", NoticeLevel.ERROR, "Not Sent", "refused"))
        await driver.do(lambda: notices.post("invite-made", NoticeLevel.INFO, "Invite", "a code"))
        await driver.until(lambda: [one.id for one in notices.active] == ["connection-lost"])
        await driver.until(lambda: list(driver.toasts) == ["connection-lost"])


async def test_a_notice_that_changes_has_its_whole_time_again() -> None:
    app = ChatApp("127.0.0.1:1")
    async with running_app(app, (80, 24)) as driver:
        expiry = next(one for one in app.notices._sinks if isinstance(one, _notice_expiry.NoticeExpiry))
        await driver.do(lambda: app.notices.post("request-send", NoticeLevel.ERROR, "Not Sent", "one"))
        await driver.until(lambda: "request-send" in expiry._timers)
        first = expiry._timers["request-send"]
        await driver.do(lambda: app.notices.post("request-send", NoticeLevel.ERROR, "Not Sent", "two"))
        await driver.until(lambda: expiry._timers["request-send"] is not first)
        await driver.do(app.notices.clear)
        await driver.until(lambda: not expiry._timers)
