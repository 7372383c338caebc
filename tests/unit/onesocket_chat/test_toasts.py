"""Notices as Textual's toasts."""

from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets._toast import Toast

from onesocket.notices import NoticeLevel, Notices
from onesocket_chat import ChatApp
from onesocket_chat._toast_sink import ToastSink


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
        assert await texts(pilot) == ["Lost\ntrying in 4 s"]
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
        assert await texts(pilot) == ["Lost\ntrying in 2 s", "Busy\nno place"]
        notices.post("lost", NoticeLevel.WARNING, "Lost", "trying in 1 s")
        assert sorted(await texts(pilot)) == ["Busy\nno place", "Lost\ntrying in 1 s"]
        notices.withdraw("lost")
        assert await texts(pilot) == ["Busy\nno place"]
        assert toasts.shown == {"busy": "no place"}
        notices.clear()
        assert await texts(pilot) == []


async def test_what_a_server_said_is_no_markup() -> None:
    app = App[None]()
    notices = Notices(ToastSink(app))
    async with app.run_test(notifications=True) as pilot:
        notices.post("x", NoticeLevel.ERROR, "[red]T[/]", "[bold]b[/] [@click=app.quit]q[/] \x1b[2J")
        assert await texts(pilot) == ["[red]T[/]\n[bold]b[/] [@click=app.quit]q[/]  [2J"]


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
