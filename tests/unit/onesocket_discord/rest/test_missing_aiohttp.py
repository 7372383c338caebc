"""Without aiohttp the package can be imported, and says what to install when it is used."""

import sys

import pytest

from onesocket.errors import MissingExtra
from onesocket_discord.rest import Accounts, Rest


async def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "onesocket_discord.rest._http_transport", raising=False)
    with pytest.raises(MissingExtra, match=r'pip install "onesocket\[discord\]"'):
        Rest("token")
    with pytest.raises(MissingExtra):
        await Accounts("http://127.0.0.1:1/").login("ann", "password")
