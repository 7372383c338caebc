"""``onesocket chat`` where it does not come to a screen."""

from onesocket_chat._cli import chat
from onesocket_chat.session import DEFAULT_SERVER
from onesocket_discord.cli import _serve as serve


def test_it_looks_where_the_server_listens() -> None:
    assert (chat.__kwdefaults__ or {})["server"] == DEFAULT_SERVER == f"http://127.0.0.1:{serve._PORT}"
