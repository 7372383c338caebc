"""``onesocket chat`` where it does not come to a screen."""

import io
import sys
from pathlib import Path

import pytest

from onesocket.errors import UsageError
from onesocket_chat import ChatApp, _cli
from onesocket_chat._cli import chat
from onesocket_chat._credentials import Credentials, save
from onesocket_chat.session import DEFAULT_SERVER
from onesocket_discord.cli import _serve as serve
from tests.unit.onesocket_chat.driver import running_app


class TerminalStream(io.StringIO):
    """A standard stream at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdin__", TerminalStream())
    monkeypatch.setattr(sys, "__stderr__", TerminalStream())
    monkeypatch.setenv("TERM", "xterm")


def test_it_looks_where_the_server_listens() -> None:
    assert (chat.__kwdefaults__ or {})["server"] is None
    assert _cli._DEFAULT_SERVER == DEFAULT_SERVER == f"http://127.0.0.1:{serve._PORT}"


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("stream", ["__stdin__", "__stderr__"])
@pytest.mark.parametrize("instead", [None, io.StringIO("hi")])
def test_without_a_terminal_it_says_so(
    monkeypatch: pytest.MonkeyPatch, stream: str, instead: io.StringIO | None
) -> None:
    _cli._require_terminal("http://chat.example")
    monkeypatch.setattr(sys, stream, instead)
    with pytest.raises(UsageError, match=r"needs a terminal, and its standard (input|error output) is none"):
        _cli._run(None, "", remember=False)


@pytest.mark.usefixtures("_terminal")
def test_a_dumb_terminal_is_told_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(UsageError, match=r"TERM=dumb can't show the chat; in a browser it is at http://chat\.example"):
        _cli._run("http://chat.example", "", remember=False)


@pytest.mark.parametrize(
    ("server", "is_used"), [(None, True), ("chat.example:1", True), ("http://chat.example:1/", True), ("else:1", False)]
)
async def test_a_token_is_used_at_its_own_server_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str | None, *, is_used: bool
) -> None:
    begun: list[str] = []

    async def begin(_: ChatApp, server: object, token: str) -> None:
        del server
        begun.append(token)

    monkeypatch.setattr(ChatApp, "_begin", begin)
    save(Credentials("http://chat.example:1/api/v10", "ada", "t.o.ken"), tmp_path / "chat.json")
    async with running_app(ChatApp(server, remember=tmp_path / "chat.json")) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        await driver.until(lambda: not driver.app.workers)
        assert begun == (["t.o.ken"] if is_used else [])
        assert driver.is_drawn(server or DEFAULT_SERVER)
