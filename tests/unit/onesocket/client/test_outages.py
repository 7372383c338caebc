"""Log records of a connection that are written without being asked for, and its status's last loss: on virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from onesocket import Client, Gap, Identity, Provider, ReconnectPolicy, State
from onesocket.errors import (
    ClosedByPeer,
    ConnectionRefused,
    ConnectionReset,
    HandshakeRejected,
    MessageExpired,
    OnesocketError,
)
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.testing._virtual_time import run_virtual
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.onesocket_discord.client.memory_gateway import MemoryGateway
from tests.unit.virtual_time import Main, make_client, settle

LogRecords = list[tuple[int, str]]


def run(main: Main, caplog: pytest.LogCaptureFixture) -> LogRecords:
    """Run `main` on virtual time, and return what was logged at INFO and above."""
    caplog.set_level(logging.INFO, "onesocket")
    run_virtual(main)
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "onesocket"]


def loss_of(client: Client) -> OnesocketError | None:
    """A call, so that type checkers don't take it for what it was before."""
    return client.status.last_loss


def refuse(error: OnesocketError) -> Any:
    return lambda peer: peer.refuse(error)


def accept_and_close(peer: MemoryPeer) -> None:
    peer.accept()
    peer.close(1011)


def test_a_loss_and_its_recovery_are_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        await client.connect()
        assert loss_of(client) is None
        server.peers[-1].close(1012, "restart")
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        loss = loss_of(client)
        assert isinstance(loss, ClosedByPeer)
        assert (loss.code, loss.reason) == (1012, "restart")
        assert client.status.last_error is None
        lost_at, back_at = client.status.last_lost_at, client.status.connected_at
        assert lost_at is not None
        assert back_at is not None
        assert lost_at <= back_at
        await client.aclose()
        assert loss_of(client) is loss

    assert run(main, caplog) == [
        (
            logging.WARNING,
            (
                "ws://memory.test/: connection lost: the server closed the connection with 1012 (service restart): "
                "restart; attempt 1 at once"
            ),
        ),
        (logging.INFO, "ws://memory.test/: connected again after 0.0 s (epoch 2, attempt 1)"),
    ]


def test_failed_attempts_are_logged_with_their_delay_and_not_over_and_over(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        await client.connect()
        server.on_dial = refuse(ConnectionRefused("nothing listens"))
        server.peers[-1].drop()
        await asyncio.sleep(3600)
        assert len(server.peers) > 1000
        server.on_dial = None
        await client.wait_for(State.CONNECTED)
        assert isinstance(loss_of(client), ConnectionReset)  # the loss, not the last attempt
        await client.aclose()

    (first, second, *others, last) = run(main, caplog)
    assert first[1].startswith("ws://memory.test/: connection lost: the connection was lost without a CLOSE frame")
    assert ": attempt 1 failed: nothing listens (0 s since the first loss); attempt 2 in 0." in second[1]
    assert {level for level, _ in (first, second, *others)} == {logging.WARNING}
    assert 8 <= len(others) <= 20
    assert last[0] == logging.INFO
    assert "connected again after 360" in last[1]


def test_a_server_that_accepts_and_closes_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        await client.connect()
        server.on_dial = accept_and_close
        server.peers[-1].drop()
        await asyncio.sleep(3600)
        assert len(server.peers) > 50
        server.on_dial = None
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        await asyncio.sleep(60)
        server.peers[-1].drop()  # it had proved itself: this is another outage
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        await client.aclose()

    said = run(main, caplog)
    warnings = [text for level, text in said if level == logging.WARNING]
    assert 8 <= len(warnings) <= 25
    assert ": connection lost again: the server closed the connection with 1011" in warnings[1]
    assert "; attempt 1 at once" in warnings[-1]
    assert len(said) <= 2 * len(warnings)
    assert said[-1][0] == logging.INFO


def test_the_first_loss_after_a_first_connect_that_was_retried_is_the_first(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer(refuse(ConnectionRefused("nothing listens")))
        client = make_client(server)
        client.connect_nowait(retry=True)
        await client.wait_for(State.BACKING_OFF)
        server.on_dial = None
        await client.wait_for(State.CONNECTED)
        for _ in range(2):
            await asyncio.sleep(2)
            server.peers[-1].drop()
            await client.wait_for(State.BACKING_OFF)
            await client.wait_for(State.CONNECTED)
        await asyncio.sleep(60)
        server.peers[-1].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.aclose()

    warnings = [
        text.removeprefix("ws://memory.test/: ") for level, text in run(main, caplog) if level == logging.WARNING
    ]
    lost = "connection lost: the connection was lost without a CLOSE frame"
    assert warnings[0] == "attempt 1 failed: nothing listens; attempt 2 at once"
    assert warnings[1].startswith(f"{lost} (2 s since the first failure); attempt 3 in 0.")
    assert warnings[-1] == f"{lost}; attempt 1 at once"


def test_every_new_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        await client.connect()
        reasons = iter([503, 502, 503, 502])
        server.on_dial = lambda peer: peer.refuse(
            HandshakeRejected(f"HTTP {(status := next(reasons))}", status=status, retryable=True)
        )
        server.peers[-1].drop()
        await asyncio.sleep(1.4)
        await client.aclose()

    said = [text.split(": ", 2)[2].split(" (", 1)[0] for _, text in run(main, caplog)]
    assert said[1:] == ["HTTP 503", "HTTP 502"]


def test_giving_up_is_an_error_and_a_failed_first_connect_is_only_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer(refuse(ConnectionRefused("nothing listens")))
        client = make_client(server, reconnect=ReconnectPolicy(max_attempts=2))
        with pytest.raises(ConnectionRefused):
            await client.connect()
        assert loss_of(client) is None
        server.on_dial = None
        await client.connect()
        server.on_dial = refuse(ConnectionRefused("nothing listens"))
        server.peers[-1].drop()
        await client.wait_for(State.FAILED)
        assert isinstance(loss_of(client), ConnectionReset)
        with pytest.raises(ConnectionRefused):
            await client.connect()
        server.on_dial = None
        await asyncio.sleep(10)
        await client.connect()
        await client.aclose()

    lost, given_up, back = run(main, caplog)
    assert lost[0] == logging.WARNING
    assert given_up[0] == logging.ERROR
    assert "connection lost for good, after an outage of 0.0 s: gave up after 2 failures in a row" in given_up[1]
    assert back == (logging.INFO, "ws://memory.test/: connected again after 10.0 s (epoch 5, attempt 1)")


@pytest.mark.parametrize("policy", [None, ReconnectPolicy(max_attempts=1)])
def test_a_loss_that_is_not_resumed_is_an_error_with_its_reason(
    policy: ReconnectPolicy | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server, reconnect=policy)
        await client.connect()
        server.peers[-1].drop()
        await client.wait_for(State.FAILED)
        assert isinstance(loss_of(client), ConnectionReset)
        await client.aclose()

    ((level, text),) = run(main, caplog)
    assert level == logging.ERROR
    assert "the connection was lost without a CLOSE frame" in text


def test_giving_up_for_a_refused_token_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def expire(peer: MemoryPeer) -> None:
        peer.accept()
        peer.close(4001, "session over: token expired")

    async def main() -> None:
        client = make_client(MemoryServer(expire), token=lambda: "fresh")
        await client.connect()
        await client.wait_for(State.FAILED)
        await client.aclose()

    assert "token expired (the token is refused); connect() starts a new attempt" in run(main, caplog)[-1][1]


def test_an_attempt_that_nobody_waits_for_is_logged_when_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = make_client(MemoryServer(refuse(ConnectionRefused("nothing listens"))))
        client.connect_nowait()
        await client.wait_for(State.FAILED)
        await client.aclose()

    assert run(main, caplog) == [(logging.ERROR, "ws://memory.test/: connecting failed: nothing listens")]


def test_a_provider_whose_user_signed_out_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        who = [Identity("ann", token="s3cret")]
        provider = Provider(lambda token: make_client(server, token=token), auth=lambda: who[-1] if who else None)
        await provider.connect_if_authenticated()
        client = provider.client
        assert client is not None
        who.clear()
        server.peers[-1].drop()
        await client.wait_for(State.FAILED, State.CLOSED)
        await provider.aclose()

    said = [(level, text) for level, text in run(main, caplog) if text.startswith("ws://")]
    assert [level for level, _ in said] == [logging.WARNING, logging.INFO]
    assert "no user is signed in any more" in said[1][1]


def test_our_own_closes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        await client.connect()
        await client.reconnect()
        await client.disconnect()
        await client.reconnect()
        server.peers[-1].answers_close = False
        await client.aclose()
        assert loss_of(client) is None

    assert run(main, caplog) == []


def test_a_disconnect_during_an_outage_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        await client.connect()
        server.on_dial = refuse(ConnectionRefused("nothing listens"))
        server.peers[-1].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.disconnect()
        server.on_dial = None
        await client.reconnect()
        await client.aclose()

    assert [level for level, _ in run(main, caplog)] == [logging.WARNING]


def test_the_url_is_redacted_and_a_reason_can_not_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        url = "ws://ann:s3cret@memory.test/?token=s3cret"
        client = Client(url, token="s3cret", transport=server.transport(), ping_interval=None)
        await client.connect()
        server.peers[-1].close(1011, "s3cret\nERROR all is lost \x1b[2J")
        await client.wait_for(State.BACKING_OFF)
        await client.aclose()

    ((_, text),) = run(main, caplog)
    assert "s3cret" not in text
    assert text.isprintable()
    assert "ERROR all is lost" in text


def get_the_token() -> str:
    raise LookupError("https://vault.test/?key=s3cret")


def test_a_token_source_that_fails_while_resuming_is_shown_with_its_frames(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        tokens = iter(["good"])
        client = make_client(server, token=lambda: next(tokens, None) or get_the_token())
        await client.connect()
        server.peers[-1].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTING)
        await asyncio.sleep(0.1)
        await client.aclose()

    lost, failed = run(main, caplog)
    assert lost[0] == logging.WARNING
    assert failed[0] == logging.ERROR
    assert "attempt 1 failed: the token source raised LookupError" in failed[1]
    assert "in get_the_token\n" in caplog.text
    assert "s3cret?" not in caplog.text
    assert "vault.test" not in caplog.text.replace('raise LookupError("https://vault.test/?key=s3cret")', "")


def breaks(_message: Any) -> None:
    raise LookupError("my own")


async def breaks_later(_message: Any) -> None:
    breaks(_message)


def watches(_change: Any) -> None:
    breaks(None)


def test_callbacks_that_fail_are_errors_with_their_frames(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server)
        client.on(breaks)
        client.on(breaks_later)
        client.on_change(watches)
        await client.connect()
        server.peers[-1].send("hello")
        await settle()
        await client.aclose()

    said = run(main, caplog)
    assert {level for level, _ in said} == {logging.ERROR}
    for name in ("breaks", "breaks_later", "watches"):
        assert f"in {name}\n" in caplog.text
    assert "LookupError: my own" in caplog.text


def test_a_discord_client_keeps_its_loss_too(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        gateway = MemoryGateway()
        client = gateway.client()
        await client.connect()
        gateway.say(7)
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        assert type(loss_of(client)).__name__ == "ReconnectAsked"
        await client.aclose()

    lost, back = run(main, caplog)
    assert "(op 7); attempt 1 at once" in lost[1]
    assert "connected again" in back[1]


# --- a client that nobody connects ------------------------------------------------------------------------------------


def test_a_send_on_a_client_that_was_never_connected_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = make_client(MemoryServer(), outbox=OutboxLimits(age=5))
        with pytest.raises(MessageExpired, match=r"not sent; connect\(\) was never called on this client"):
            await client.send("one")
        with pytest.raises(MessageExpired):
            await client.send("two")
        await client.aclose()

    assert run(main, caplog) == [
        (
            logging.WARNING,
            "ws://memory.test/: connect() was never called on this client: messages wait until connect() is called",
        )
    ]


def test_a_reader_of_a_client_that_was_never_connected_is_told_of_too(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = make_client(MemoryServer())
        reader = asyncio.create_task(anext(client.subscribe()))
        await asyncio.sleep(2)
        reader.cancel()
        await client.aclose()

    ((level, text),) = run(main, caplog)
    assert level == logging.WARNING
    assert "connect() was never called" in text


def test_a_send_on_a_client_that_failed_names_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = make_client(MemoryServer(refuse(ConnectionRefused("nothing listens"))), outbox=OutboxLimits(age=5))
        with pytest.raises(ConnectionRefused):
            await client.connect()
        with pytest.raises(MessageExpired, match=r"failed \(nothing listens\): messages wait until connect\(\) is"):
            await client.send("one")
        await client.aclose()

    ((level, text),) = run(main, caplog)
    assert level == logging.WARNING
    assert "nothing listens" in text


def test_components_that_start_together_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server = MemoryServer(latency=1.0)
        client = make_client(server)
        stream = client.subscribe()
        reader = asyncio.create_task(anext(stream))
        sender = asyncio.create_task(client.send("early"))
        await settle()
        await client.connect()
        await sender
        server.peers[-1].send("hello")
        assert not isinstance(await reader, Gap)
        await client.aclose()

    assert run(main, caplog) == []


def test_a_message_that_expires_while_the_connection_is_away_needs_no_remedy() -> None:
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server, outbox=OutboxLimits(age=5))
        await client.connect()
        server.on_dial = lambda peer: MemoryPeer.refuse(peer, ConnectionRefused("nothing listens"))
        server.peers[-1].drop()
        await settle()
        with pytest.raises(MessageExpired, match=r"was not sent$"):
            await client.send("one")
        await client.aclose()

    run_virtual(main)
