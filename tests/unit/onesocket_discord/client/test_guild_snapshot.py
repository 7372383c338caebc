"""The dispatches with which late readers of a bot's events begin."""

import json
import logging
from typing import Any

import pytest

from onesocket.errors import InvalidOption
from onesocket_discord import DiscordClient, Dispatch, Intents
from onesocket_discord.client._guild_snapshot import GuildSnapshot
from onesocket_discord.protocol._payload import pack_dispatch, unpack_dispatch


def dispatch(event: str, **body: Any) -> Dispatch:
    return Dispatch(event, 5, json.dumps(body).encode())


def known() -> GuildSnapshot:
    snapshot = GuildSnapshot(lambda: int(Intents.GUILDS))
    snapshot.update(dispatch("READY", user={"id": "1"}, session_id="s", guilds=[{"id": "7"}, {"id": "8"}]))
    snapshot.update(
        dispatch("GUILD_CREATE", id="7", name="g", channels=[{"id": "70"}], presences=[{"user": {"id": "2"}}])
    )
    return snapshot


def test_late_readers_begin_with_ready_and_the_guilds_as_they_are_by_now() -> None:
    snapshot = known()
    snapshot.update(dispatch("CHANNEL_CREATE", guild_id="7", id="71", name="new"))
    snapshot.update(dispatch("MESSAGE_CREATE", guild_id="7", content="not kept"))
    ready, guild = [unpack_dispatch(pack_dispatch(each)) for each in snapshot.messages()]
    assert (ready.event, ready.sequence, guild.event, guild.sequence) == ("READY", None, "GUILD_CREATE", None)
    assert ready.plain["user"] == {"id": "1"}
    assert [each["id"] for each in ready.plain["guilds"]] == ["7", "8"]
    assert [channel.id for channel in guild.data.channels] == ["70", "71"]
    assert guild.data.presences == ()  # without the intent


def test_there_is_nothing_before_ready_and_after_a_lost_session() -> None:
    assert GuildSnapshot(lambda: 0).messages() == []
    snapshot = known()
    snapshot.reset()
    assert snapshot.messages() == []


@pytest.mark.parametrize("body", [b"{}", b"[]", b"{"])
def test_an_event_that_is_not_as_documented_is_logged_and_not_kept(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = known()
    with caplog.at_level(logging.WARNING, "onesocket"):
        snapshot.update(Dispatch("GUILD_CREATE", 6, body))
    assert "GUILD_CREATE could not be read" in caplog.text
    assert len(snapshot.messages()) == 2


def test_it_is_an_option_of_the_client() -> None:
    assert DiscordClient("token", Intents.GUILDS).internals.fan_out.keeper is None
    assert DiscordClient("token", Intents.GUILDS, snapshot=True).internals.fan_out.keeper is not None
    with pytest.raises(InvalidOption, match="snapshot"):
        DiscordClient("token", Intents.GUILDS, snapshot=1)  # type: ignore[arg-type]
