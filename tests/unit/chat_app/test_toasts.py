"""Notices as Textual's toasts."""

from textual.app import App
from textual.pilot import Pilot
from textual.widgets._toast import Toast

from onesocket.chat.app.toasts import Toasts
from onesocket.notices import NoticeLevel, Notices


async def texts(pilot: Pilot[None]) -> list[str]:
    await pilot.pause()
    await pilot.pause()
    return [str(toast.render()) for toast in pilot.app.screen.query(Toast)]


async def test_they_come_change_and_go_by_their_ids() -> None:
    app = App[None]()
    toasts = Toasts(app)
    board = Notices(toasts)
    async with app.run_test(notifications=True) as pilot:
        board.post("lost", NoticeLevel.WARNING, "Lost", "trying in 2 s")
        board.post("busy", NoticeLevel.ERROR, "Busy", "no place")
        assert await texts(pilot) == ["Lost\ntrying in 2 s", "Busy\nno place"]
        board.post("lost", NoticeLevel.WARNING, "Lost", "trying in 1 s")
        assert sorted(await texts(pilot)) == ["Busy\nno place", "Lost\ntrying in 1 s"]
        board.withdraw("lost")
        assert await texts(pilot) == ["Busy\nno place"]
        assert toasts.shown == {"busy": "no place"}
        board.clear()
        assert await texts(pilot) == []


async def test_what_a_server_said_is_no_markup() -> None:
    app = App[None]()
    board = Notices(Toasts(app))
    async with app.run_test(notifications=True) as pilot:
        board.post("x", NoticeLevel.ERROR, "[red]T[/]", "[bold]b[/] [@click=app.quit]q[/] \x1b[2J")
        assert await texts(pilot) == ["[red]T[/]\n[bold]b[/] [@click=app.quit]q[/]  [2J"]
