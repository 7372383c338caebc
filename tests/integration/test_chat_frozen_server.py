"""A server that is stopped, as by SIGSTOP: its connections stay open, and nothing comes."""

import signal
from pathlib import Path

from onesocket_chat.session import SessionOptions
from tests.support.commands import end_by_signal, read_introduction, start_command
from tests.unit.onesocket_chat.driver import signed_in_driver

INTERVAL = 1.0


async def test_a_frozen_server_is_seen_within_the_ping_interval_and_its_return_too(tmp_path: Path) -> None:
    server = await start_command("serve", "--data", str(tmp_path / "chat.db"), "--port", "0")
    try:
        lines = await read_introduction(server, "gateway")
        address = next(word for line in lines for word in line.split() if word.startswith("http://"))
        options = SessionOptions(ping_interval=INTERVAL)
        async with signed_in_driver(address, "ada", options=options) as ada:
            await ada.until_shown("CONNECTED")
            server.send_signal(signal.SIGSTOP)
            await ada.until_shown("NO ANSWER for")
            silence = ada.session.pulse.silence
            assert silence is not None
            assert silence < INTERVAL + 5.0  # the screen is looked at now and then where the cores are busy
            await ada.say("typed while it was frozen")
            await ada.until_shown("being sent")
            server.send_signal(signal.SIGCONT)
            await ada.until_said("typed while it was frozen")
            await ada.until_shown("CONNECTED")
            assert ada.session.status is not None
            assert ada.session.status.epoch == 1  # it was the same connection all the time
    finally:
        server.send_signal(signal.SIGCONT)
        await end_by_signal(server, signal.SIGTERM)
