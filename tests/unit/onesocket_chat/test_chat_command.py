"""``onesocket chat`` where it does not come to a screen."""

import sys

import pytest
from typer.testing import CliRunner

from onesocket.cli._app import app
from onesocket_chat._cli import chat
from onesocket_chat.session import DEFAULT_SERVER
from onesocket_discord.cli import _serve as serve


def test_without_the_extra_the_text_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith(("onesocket_chat", "textual"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    for arguments in (["chat"], ["chat", "--web"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert 'pip install "onesocket[chat]"' in result.output
        assert "Traceback" not in result.output


def test_a_page_for_everybody_never_signs_anybody_in() -> None:
    result = CliRunner().invoke(app, ["chat", "--web", "--remember"])
    assert result.exit_code == 2
    assert "don't go together" in result.output


def test_it_looks_where_the_server_listens() -> None:
    assert (chat.__kwdefaults__ or {})["server"] == DEFAULT_SERVER == f"http://127.0.0.1:{serve._PORT}"
