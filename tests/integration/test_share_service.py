"""``onesocket share --service`` and ``--protocol module:object``: login and subscriptions live in the hub."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from onesocket import join
from onesocket.services import alpaca
from onesocket.testing import FaultyConnection
from onesocket.testing.services import AlpacaSession, AlpacaVenue
from tests.support.commands import DEADLINE, end_by_signal, read_introduction, run_command, start_command

AAPL = {"T": "t", "S": "AAPL", "p": 187.5, "s": 100, "a field of tomorrow": 1}
MSFT = {"T": "b", "S": "MSFT", "o": 1, "h": 4, "l": 0.5, "c": 3, "v": 9}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "runtime"
    place.mkdir(mode=0o700)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ONESOCKET_", "APCA_"))}
    return {
        **kept,
        "ONESOCKET_RUNTIME_DIR": str(place),
        "APCA_API_KEY_ID": "key",
        "APCA_API_SECRET_KEY": "secret",
    }


@pytest.fixture
async def venue() -> AsyncIterator[AlpacaVenue]:
    async with AlpacaVenue(refused=["OOPS"]) as one:
        yield one


class ServiceHub:
    """The running command."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.remarks = ""

    async def remark(self, wanted: str) -> None:
        """Wait until a line of stderr holds this."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while wanted not in self.remarks:
                line = (await self.process.stderr.readline()).decode()
                assert line, self.remarks
                self.remarks += line


@asynccontextmanager
async def sharing(env: dict[str, str], *options: str) -> AsyncIterator[ServiceHub]:
    process = await start_command("share", "--listen", "127.0.0.1:0", *options, env=env)
    try:
        lines = await read_introduction(process, "ready")
        assert lines, (await process.communicate())[1]
        yield ServiceHub(process, lines[-1].split()[1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ask(client: ClientConnection, op: str, *words: Any) -> None:
    await client.send(json.dumps({"op": op, "args": words}))


async def received(client: ClientConnection) -> Any:
    async with asyncio.timeout(DEADLINE):
        return json.loads(await client.recv())


async def until_subscribed(venue: AlpacaVenue, *keys: str) -> None:
    await venue.wait_until(lambda _: venue.keys == set(keys), DEADLINE)


async def test_clients_name_keys_and_get_their_messages_whole_over_one_login(
    venue: AlpacaVenue, environment: dict[str, str]
) -> None:
    async with (
        sharing(environment, "--service", "alpaca", venue.url) as hub,
        connect(hub.url) as one,
        connect(hub.url) as other,
    ):
        await ask(one, "subscribe", "AAPL", "OOPS")
        assert await received(one) == {"op": "refused", "args": ["trades.OOPS"], "reason": "invalid syntax (400)"}
        await ask(other, "subscribe", "trades.AAPL", "bars.MSFT")
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        venue.push(AAPL, MSFT)
        # Each gets the messages of its keys, as the service sent them, and none that concerns the hub alone.
        assert await received(one) == AAPL
        assert [await received(other), await received(other)] == [AAPL, MSFT]
        await ask(one, "unsubscribe", "AAPL")
        await ask(other, "unsubscribe", "bars.MSFT")
        await until_subscribed(venue, "trades.AAPL")
        await ask(other, "unsubscribe", "AAPL")
        await until_subscribed(venue)
        await ask(one, "subscribe", "bars.*", "bars.MSFT")
        await ask(other, "subscribe", "bars.AAPL")
        await until_subscribed(venue, "bars.*", "bars.MSFT", "bars.AAPL")
        venue.push(MSFT, MSFT | {"S": "AAPL"}, MSFT | {"S": "TSLA"})
        assert [(await received(one))["S"] for _ in range(3)] == ["MSFT", "AAPL", "TSLA"]
        assert (await received(other))["S"] == "AAPL"
        with pytest.raises(ConnectionClosed, match=r"'bars\.' has no symbol"):  # noqa: PT012 - both steps
            await ask(one, "subscribe", "bars.")
            await received(one)
        hub.process.send_signal(signal.SIGUSR1)
        await hub.remark("no rotation: the service of this hub declares none")
        status, _ = await end_by_signal(hub.process, signal.SIGINT)
        assert status == 0
        assert venue.counts.handshakes == venue.counts.most_open == 1


class SilentSession(AlpacaSession):
    """Keeps the answers to subscriptions back on the second connection."""

    def send(self, message: Any) -> None:
        if self.number != 2 or message[0]["T"] != "subscription":
            super().send(message)


class SilentVenue(AlpacaVenue):
    def new_session(self, connection: FaultyConnection) -> AlpacaSession:
        return SilentSession(self, connection)


async def test_it_is_back_after_a_loss_when_it_is_logged_in_and_subscribed(environment: dict[str, str]) -> None:
    async with (
        SilentVenue() as venue,
        sharing(environment, "--service", "alpaca", venue.url) as hub,
        connect(hub.url) as one,
    ):
        await ask(one, "subscribe", "AAPL", "bars.MSFT")
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        venue.kill_connections()
        await venue.wait_until(lambda counts: counts.handshakes == 2, DEADLINE)
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        venue.push(AAPL)  # it is logged in, but not yet known to be subscribed
        assert await received(one) == AAPL
        venue.kill_connections()
        await hub.remark("the upstream is back")
        assert venue.counts.handshakes == 3
        assert venue.keys == {"trades.AAPL", "bars.MSFT"}
        assert hub.remarks.count("the upstream was lost") == 2


async def test_programs_join_the_same_connection_with_the_services_protocol(
    venue: AlpacaVenue, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", environment["ONESOCKET_RUNTIME_DIR"])
    # Functions of a protocol can't be compared between processes: a name says that both mean the same.
    client = join(venue.url, token="key:secret", protocol=alpaca.protocol(), key="mine", scope="host")
    async with (
        sharing(environment, "--service", "alpaca", "--scope", "host", "--key", "mine", venue.url) as hub,
        connect(hub.url) as one,
        client as program,
    ):
        trades = program.subscribe(keys=["trades.AAPL"], gaps=False)
        await ask(one, "subscribe", "AAPL", "bars.MSFT")
        await until_subscribed(venue, "trades.AAPL", "bars.MSFT")
        venue.push(AAPL, MSFT)
        async with asyncio.timeout(DEADLINE):
            assert getattr(await anext(trades), "price", None) == 187.5
        assert [await received(one), await received(one)] == [AAPL, MSFT]
        assert venue.counts.handshakes == 1


MODULE = """
from onesocket import Json, Login, Subscriptions

def protocol():
    return Json(
        many=True,
        login=Login(
            request=lambda token: {"action": "auth", "key": "key", "secret": token},
            ready=lambda message: message.get("msg") == "authenticated",
        ),
        subscriptions=Subscriptions(
            subscribe=lambda keys: {"action": "subscribe", "trades": [key[1] for key in keys]},
            unsubscribe=lambda keys: {"action": "unsubscribe", "trades": [key[1] for key in keys]},
            key=lambda message: (message["T"], message["S"]) if "S" in message else None,
        ),
    )

number = 1
"""


async def test_a_protocol_of_ones_own_is_loaded_and_its_keys_may_be_lists(
    venue: AlpacaVenue, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feeds_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    env = environment | {"ONESOCKET_TOKEN": "secret"}
    async with sharing(env, "--protocol", "feeds_of_mine:protocol", venue.url) as hub, connect(hub.url) as one:
        await ask(one, "subscribe", ["t", "AAPL"])
        await until_subscribed(venue, "trades.AAPL")
        venue.push(AAPL)
        assert (await received(one))["T"] == "subscription"  # without `ack` it is a message like others
        assert await received(one) == AAPL


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--service", "nasdaq"], "'nasdaq' is none of the services"),
        (["--service", "alpaca", "--protocol", "json"], "--service can't be combined with --protocol"),
        (["--service", "alpaca", "--merge", "json"], "--merge can't be combined with --service"),
        (["--service", "alpaca", "--request-id", "id"], "--request-id can't be combined with --service"),
        (["--service", "alpaca", "--pace", "5"], "--pace can't be combined with --service"),
        (["--protocol", "feeds_of_mine:nothing", "ws://127.0.0.1:1/"], "feeds_of_mine:nothing can't be loaded"),
        (["--protocol", "feeds_of_mine:number", "ws://127.0.0.1:1/"], "feeds_of_mine:number can't be loaded"),
        (["--protocol", "xml", "ws://127.0.0.1:1/"], "--protocol is raw or json or module:object, not 'xml'"),
        (["--protocol", "feeds_of_mine:protocol"], "the URL of the upstream is missing"),
    ],
)
async def test_misuse_ends_it_with_status_2(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: str
) -> None:
    (tmp_path / "feeds_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    status, _, errors = await run_command("share", *options, env=environment)
    assert (status, told in errors, "Traceback" in errors) == (2, True, False), errors


async def test_a_service_without_its_token_names_the_variables(environment: dict[str, str]) -> None:
    env = {name: value for name, value in environment.items() if not name.startswith("APCA_")}
    status, _, errors = await run_command("share", "--service", "alpaca", env=env)
    assert status == 2
    assert "ONESOCKET_TOKEN, or APCA_API_KEY_ID and APCA_API_SECRET_KEY" in errors
