"""The flight recorder: its bounds, what it leaves out, and when it writes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import signal
import stat
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onesocket import Client, Json, Login, Raw, ReconnectPolicy, State, Subscription, TokenQuery
from onesocket.errors import InvalidOption, InvalidText, OnesocketError, UsageError
from onesocket.recording import FlightRecorder, Header, Line, Recording
from onesocket.recording._lines import (
    AbortLine,
    CloseLine,
    DialLine,
    EndLine,
    MessageLine,
    OpenLine,
    PeerCloseLine,
    PingLine,
    ReceivedLine,
    SentLine,
    StateLine,
    ViolationLine,
)
from onesocket.recording._ring import Ring
from onesocket.recording._tap import TappedEvents
from onesocket.testing import FaultyServer, MemoryPeer, MemoryServer, run_virtual
from onesocket.wire._handshake import Data, DialRequest

TOKEN = "a/token+that is secret"
URL = "ws://user:pa55word@feed.example/v1?listenKey=0123456789abcdef0123&streams=btc"


def greet(*messages: Data, **answer: Any) -> Callable[[MemoryPeer], None]:
    return lambda peer: peer.accept(greeting=messages, **answer)


def record(
    recorder: FlightRecorder,
    work: Callable[[Client[Any], MemoryServer], Coroutine[Any, Any, object]],
    *,
    url: str = "ws://feed.example/",
    on_dial: Callable[[MemoryPeer], object] | None = None,
    on_message: Callable[[MemoryPeer, Data], object] | None = None,
    **options: Any,
) -> None:
    """Run `work` with a connected client that has this recorder, on virtual time."""

    async def program() -> None:
        server = MemoryServer(on_dial, on_message, latency=0.25)
        async with Client(url, transport=server.transport(), recorder=recorder, **options) as client:
            await work(client, server)

    run_virtual(program)


async def nothing(client: Client[Any], _: MemoryServer) -> None:
    await client.send("ping")


async def until_ended(stream: Subscription[Any]) -> None:
    """Read until the client fails."""
    with contextlib.suppress(OnesocketError):
        async for _ in stream:
            pass


def messages(recording: Recording) -> list[Any]:
    return [line.data for line in recording.lines if isinstance(line, MessageLine)]


def kinds(recording: Recording) -> list[str]:
    return [type(line).__name__.removesuffix("Line") for line in recording.lines]


def test_frames_and_transitions_are_recorded_with_their_times() -> None:
    recorder = FlightRecorder()
    record(recorder, nothing, on_dial=greet("hello"))
    recording = recorder.recording
    assert kinds(recording) == [
        *("State", "Dial", "Open", "State", "Received", "Sent", "State", "Close", "End", "State"),
    ]
    assert [line.t for line in recording.lines] == [0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert all(recording.lines[0].at <= line.at < recording.lines[0].at + 60 for line in recording.lines)
    states = [(line.old, line.new) for line in recording.lines if isinstance(line, StateLine)]
    assert states == [
        *(("DISCONNECTED", "CONNECTING"), ("CONNECTING", "CONNECTED"), ("CONNECTED", "CLOSING"), ("CLOSING", "CLOSED"))
    ]


def test_the_ring_keeps_the_newest_frames_and_the_beginning_of_their_connection() -> None:
    async def chatter(client: Client[Any], _: MemoryServer) -> None:
        for number in range(50):
            await client.send(str(number))

    recorder = FlightRecorder(frames=10)
    record(recorder, chatter)
    recording = recorder.recording
    assert messages(recording) == [str(number) for number in range(44, 50)]
    assert kinds(recording)[:3] == ["Dial", "Open", "Sent"]
    assert recording.header.dropped == 48


def test_the_ring_is_bounded_by_bytes() -> None:
    async def chatter(client: Client[Any], _: MemoryServer) -> None:
        for number in range(50):
            await client.send(b"%03d" % number + bytes(10_000))

    recorder = FlightRecorder(bytes=100_000)
    record(recorder, chatter)
    kept = messages(recorder.recording)
    assert [data[:3] for data in kept] == [b"%03d" % number for number in range(50 - len(kept), 50)]
    assert 75_000 - 10_500 < sum(map(len, kept)) <= 100_000
    assert recorder.recording.header.dropped > 0


def test_the_ring_never_holds_more_than_its_bounds() -> None:
    chance = random.Random(1)
    ring = Ring(20, 5000)
    line = PingLine(t=0, at=0, client=1, epoch=1, payload="")
    for added in range(1, 1000):
        ring.add((chance.choice([1, 100, 900, 4000, 6000]), line, None))
        assert len(ring) <= 20
        assert ring.size <= 5000
        assert ring.dropped == added - len(ring)


def test_a_client_in_another_thread_may_add_while_the_ring_is_trimmed() -> None:
    line = PingLine(t=0, at=0, client=1, epoch=1, payload="")
    ring = Ring(20, 100)

    class Size(int):
        """Adds an entry when it is added up, as a switch of threads would."""

        def __radd__(self, other: int) -> int:
            ring._entries.append((1, line, None))
            return other + int(self)

    for _ in range(30):
        ring.add((Size(10), line, None))
    assert ring.size <= 20 * 10


def test_a_message_larger_than_the_bound_is_not_kept() -> None:
    async def chatter(client: Client[Any], _: MemoryServer) -> None:
        await client.send(bytes(20_000))
        await client.send("later")

    recorder = FlightRecorder(bytes=10_000)
    record(recorder, chatter)
    assert messages(recorder.recording) == ["later"]


def secrets_in(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    secrets = [TOKEN, "a/token", "a\\/token", "a%2Ftoken", "pa55word", "0123456789abcdef0123", "X-Key-Value", "hunter2"]
    return [secret for secret in (*secrets, "cookie-of-the-server", "dXNlcjpwYTU1d29yZA==") if secret in text]


def test_logins_tokens_headers_and_queries_are_never_written(tmp_path: Path) -> None:
    login = Login(
        request=lambda token: {"op": "login", "token": token, "password": "hunter2"},
        ready=lambda message: message.get("op") == "welcome",
    )

    def answer(peer: MemoryPeer, data: Data) -> None:
        if "login" in str(data):
            peer.send('{"op":"welcome","session":"hunter2"}')
            peer.send('{"echo":"a/token+that is secret","escaped":"a\\/token+that is secret"}')
            peer.send('{"url":"a%2Ftoken%2Bthat%20is%20secret 0123456789abcdef0123 X-Key-Value"}')
            peer.send(b'{"binary":"a/token+that is secret"}')
            peer.close(4000, "bad token a/token+that is secret")

    recorder = FlightRecorder()

    async def program() -> None:
        server = MemoryServer(greet("early", headers={"Set-Cookie": "cookie-of-the-server"}), answer)
        client = Client(
            URL,
            token=TOKEN,
            protocol=Json(login=login),
            headers={"X-Key": "X-Key-Value"},
            transport=server.transport(),
            recorder=recorder,
            reconnect=None,
        )
        stream = client.subscribe()
        await client.connect()
        await until_ended(stream)
        await client.aclose()

    run_virtual(program)
    recorder.write(tmp_path / "x.jsonl")
    assert secrets_in(tmp_path / "x.jsonl") == []
    recording = Recording.load(tmp_path / "x.jsonl")
    assert [line.withheld for line in recording.lines if isinstance(line, MessageLine)] == [
        *("login", "login", "login", None, None, "secret"),
    ]
    (dial,) = (line for line in recording.lines if isinstance(line, DialLine))
    assert dial.url == "ws://feed.example/v1?listenKey=***&streams=***"
    assert next(line.headers for line in recording.lines if isinstance(line, OpenLine)) == [("set-cookie", "***")]


def test_a_token_in_the_query_is_masked_in_messages_too(tmp_path: Path) -> None:
    recorder = FlightRecorder()
    protocol = Raw(token_place=TokenQuery("t"))
    record(recorder, nothing, on_dial=greet(f"your token is {TOKEN}"), token=TOKEN, protocol=protocol)
    recorder.write(tmp_path / "x.jsonl")
    assert secrets_in(tmp_path / "x.jsonl") == []
    assert messages(recorder.recording)[0] == "your token is ***"


def test_everything_is_written_without_redaction() -> None:
    recorder = FlightRecorder(redact=False)
    record(recorder, nothing, on_dial=greet(TOKEN, headers={"Set-Cookie": "c"}), url=URL, token=TOKEN)
    recording = recorder.recording
    assert not recording.header.redacted
    assert messages(recording)[0] == TOKEN
    assert next(line.headers for line in recording.lines if isinstance(line, OpenLine)) == [("set-cookie", "c")]


class OwnRedaction(Raw):
    """Withholds binary messages, and masks cards."""

    name = "own"

    def redact(self, data: Data, *, outgoing: bool) -> Data | None:
        if data == "broken":
            raise RuntimeError("a secret")
        if isinstance(data, bytes):
            return None
        return data.replace("4711", "####") + (" out" if outgoing else " in")


def test_a_protocol_redacts_its_messages(tmp_path: Path) -> None:
    recorder = FlightRecorder()
    record(recorder, nothing, on_dial=greet("card 4711", b"4711", "broken"), protocol=OwnRedaction())
    recorder.write(tmp_path / "x.jsonl")
    assert "4711" not in (tmp_path / "x.jsonl").read_text("utf-8")
    assert "a secret" not in (tmp_path / "x.jsonl").read_text("utf-8")
    lines = [line for line in recorder.recording.lines if isinstance(line, MessageLine)]
    assert [(line.text, line.withheld, line.size) for line in lines] == [
        ("card #### in", None, 9),
        (None, "protocol", 4),
        (None, "redact() raised RuntimeError", 6),
        ("ping out", None, 4),
    ]


class Token(Raw):
    """Has its token in the name of a sub-protocol, as some services want it."""

    def prepare(self, request: DialRequest, token: str | None) -> DialRequest:
        return dataclasses.replace(request, subprotocols=("v1", f"bearer.{token}"))


def test_no_line_of_any_kind_has_the_token(tmp_path: Path) -> None:
    token = "a-token-of-16-characters"

    def dial(peer: MemoryPeer) -> None:
        peer.accept(f"bearer.{token}", {"Sec-WebSocket-Protocol": f"bearer.{token}"})

    async def work(client: Client[Any], server: MemoryServer) -> None:
        stream = client.subscribe()
        (peer,) = server.peers
        peer.refuse(OnesocketError(f"the proxy said {token}"))
        await until_ended(stream)

    recorder = FlightRecorder()
    record(recorder, work, on_dial=dial, protocol=Token(), token=token, reconnect=None)
    recorder.write(tmp_path / "x.jsonl")
    assert token not in (tmp_path / "x.jsonl").read_text("utf-8")
    assert {"Open", "End"} < set(kinds(recorder.recording))


def test_the_tokens_of_the_connections_before_and_after_are_masked_too(tmp_path: Path) -> None:
    tokens = [f"token-number-{number}" for number in range(40)]
    given = iter(tokens)

    async def work(client: Client[Any], server: MemoryServer) -> None:
        for number in range(39):
            server.peers[-1].send(f"{tokens[max(0, number - 1)]} was replaced, {tokens[number + 1]} is next")
            await client.reconnect()

    recorder = FlightRecorder()
    record(recorder, work, token=lambda: next(given))
    recorder.write(tmp_path / "x.jsonl")
    assert "token-number" not in (tmp_path / "x.jsonl").read_text("utf-8")
    assert messages(recorder.recording) == ["*** was replaced, *** is next"] * 39


def test_the_own_token_of_a_connection_of_long_ago_is_masked() -> None:
    tokens = [f"token-number-{number}." for number in range(130)]
    given = iter(tokens)

    async def work(client: Client[Any], server: MemoryServer) -> None:
        for token in tokens[:-1]:
            server.peers[-1].send(f"hello, {token}")
            await client.reconnect()

    recorder = FlightRecorder(frames=5_000)
    record(recorder, work, token=lambda: next(given))
    assert messages(recorder.recording) == ["hello, ***"] * 129


class Returning(Raw):
    """Has a `redact` that returns a value, or raises it."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def redact(self, data: Data, *, outgoing: bool) -> Data | None:
        del data, outgoing
        if isinstance(self.value, BaseException):
            raise self.value
        result: Data | None = self.value
        return result


class BrokenSink:
    """Raises an error with its third line."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.calls = 0

    def begin(self, header: Header) -> None:
        del header

    def add(self, line: Line) -> None:
        del line
        self.calls += 1
        if self.calls == 3:
            raise self.error


@pytest.mark.parametrize("value", [{"a": 1}, 5, bytearray(b"x"), "\ud800", LookupError(), asyncio.CancelledError()])
def test_a_redact_that_fails_withholds_the_message_and_harms_nothing(tmp_path: Path, value: Any) -> None:
    recorder = FlightRecorder(directory=tmp_path, when=lambda _: True)
    epochs = lose_and_go_on(recorder, protocol=Returning(value))
    assert epochs == [1, 2]
    (path,) = tmp_path.iterdir()
    shown = [line for line in Recording.load(path).lines if isinstance(line, MessageLine)]
    assert shown
    assert all(line.data is None and "redact() r" in str(line.withheld) for line in shown)


@pytest.mark.parametrize("error", [OSError("full"), LookupError(), asyncio.CancelledError(), GeneratorExit()])
def test_a_sink_or_a_predicate_that_fails_is_told_once_and_harms_nothing(
    tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: OnesocketError) -> bool:
        raise error

    assert lose_and_go_on(FlightRecorder(directory=tmp_path, when=fails)) == [1, 2]
    assert "when= of the flight recorder raised" in caplog.text
    sink = BrokenSink(error)
    recorder = FlightRecorder(sink=sink)
    assert lose_and_go_on(recorder) == [1, 2]
    assert (sink.calls, recorder.sink_error) == (3, error)
    assert caplog.text.count("the sink of the flight recorder failed, and gets no more lines") == 1


def lose_and_go_on(recorder: FlightRecorder, **options: Any) -> list[int]:
    """The epochs of a client that loses its first connection, and receives from both."""
    epochs: list[int] = []

    async def work(client: Client[Any], server: MemoryServer) -> None:
        stream = client.subscribe(gaps=False)
        for _ in range(2):
            await anext(stream)
            epochs.append(client.epoch)
            server.peers[-1].close(4000)

    policy = ReconnectPolicy(initial=0.1, cap=0.1)
    record(recorder, work, on_dial=greet("hello"), reconnect=policy, **options)
    return epochs


def test_the_memory_of_headers_counts() -> None:
    recorder = FlightRecorder(bytes=20_000)

    async def work(client: Client[Any], server: MemoryServer) -> None:
        while len(server.peers) < 10:
            await client.reconnect()

    record(recorder, work, on_dial=greet(headers={f"x-{'h' * 5_000}": "v"}))
    names = [name for line in recorder.recording.lines if isinstance(line, OpenLine) for name, _ in line.headers]
    assert 0 < sum(map(len, names)) < 20_000


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.touch()
    path.chmod(0o644)
    FlightRecorder().write(path)
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_clock_that_was_set_back_removes_no_new_file(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"onesocket-20990101T00000{number}.000000Z-1-1.jsonl").touch()
    (tmp_path / "onesocket-0-mine.jsonl").touch()
    path = FlightRecorder(directory=tmp_path, when=lambda _: True, max_files=3).write_automatically()
    assert path is not None
    kept = ["onesocket-0-mine.jsonl", path.name, *(f"onesocket-20990101T00000{n}.000000Z-1-1.jsonl" for n in (3, 4))]
    assert sorted(old.name for old in tmp_path.iterdir()) == sorted(kept)


def test_no_part_of_a_file_is_left_by_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onesocket.recording._files.encode_line", full)
    assert FlightRecorder(directory=tmp_path, when=lambda _: True).write_automatically() is None
    assert list(tmp_path.iterdir()) == []


def lose(code: int) -> Callable[[MemoryPeer], None]:
    def dial(peer: MemoryPeer) -> None:
        peer.accept(greeting=("hello",))
        peer.close(code)

    return dial


async def until_failed(client: Client[Any], _: MemoryServer) -> None:
    await until_ended(client.subscribe())


def test_a_loss_that_matches_is_written_with_its_end(tmp_path: Path) -> None:
    recorder = FlightRecorder(directory=tmp_path / "new", when=lambda error: getattr(error, "code", 0) == 4321)
    record(recorder, until_failed, on_dial=lose(4000), reconnect=None)
    assert not (tmp_path / "new").exists()
    record(recorder, until_failed, on_dial=lose(4321), reconnect=None)
    (path,) = (tmp_path / "new").iterdir()
    recording = Recording.load(path)
    assert kinds(recording)[-5:] == ["Received", "PeerClose", "State", "End", "State"]
    assert {line.client for line in recording.lines} == {1, 2}
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_first_connect_that_fails_is_written_too(tmp_path: Path) -> None:
    recorder = FlightRecorder(directory=tmp_path, when=lambda _: True)
    with pytest.raises(OnesocketError):
        record(recorder, nothing, on_dial=lambda peer: peer.refuse(OnesocketError("no")))
    assert len(list(tmp_path.iterdir())) == 1


def test_our_own_close_is_no_loss(tmp_path: Path) -> None:
    record(FlightRecorder(directory=tmp_path, when=lambda _: True), nothing)
    assert list(tmp_path.iterdir()) == []


async def test_an_end_on_a_socket_is_called_a_loss_only_without_a_close(faulty_server: FaultyServer) -> None:
    recorder = FlightRecorder()
    async with Client(faulty_server.url, recorder=recorder, reconnect=ReconnectPolicy(initial=0.01)) as client:
        changes = client.changes()
        faulty_server.kill_connections()
        while client.epoch < 2 or client.state is not State.CONNECTED:
            await anext(changes)
    first, last = (line.error for line in recorder.recording.lines if isinstance(line, EndLine))
    assert first is not None
    assert "without a CLOSE frame" in first.text
    assert last is None


async def close_unanswered(_: Client[Any], server: MemoryServer) -> None:
    server.peers[0].answers_close = False


async def break_the_rules(client: Client[Any], server: MemoryServer) -> None:
    server.peers[0].violate(InvalidText("no UTF-8"))
    await until_failed(client, server)


async def drop(client: Client[Any], server: MemoryServer) -> None:
    server.peers[0].drop()
    await until_failed(client, server)


@pytest.mark.parametrize(
    ("work", "on_dial", "ending"),
    [
        pytest.param(nothing, None, [("Close", None), ("End", None)], id="our CLOSE is answered"),
        pytest.param(until_failed, lose(4000), [("PeerClose", None), ("End", None)], id="the peer closes"),
        pytest.param(
            close_unanswered, None, [("Close", None), ("Abort", None), ("End", "ConnectAborted")], id="no answer"
        ),
        pytest.param(break_the_rules, None, [("Violation", "InvalidText"), ("End", None)], id="a violation"),
        pytest.param(drop, None, [("End", "ConnectionReset")], id="a loss"),
    ],
)
def test_one_close_is_recorded_and_the_end_behind_it_is_no_error(
    work: Callable[[Client[Any], MemoryServer], Coroutine[Any, Any, object]],
    on_dial: Callable[[MemoryPeer], None] | None,
    ending: list[tuple[str, str | None]],
) -> None:
    recorder = FlightRecorder()
    record(recorder, work, on_dial=on_dial, reconnect=None)
    kinds = (CloseLine, PeerCloseLine, AbortLine, ViolationLine, EndLine)
    ends = [line for line in recorder.recording.lines if isinstance(line, kinds)]
    assert [(type(line).__name__.removesuffix("Line"), error_of(line)) for line in ends] == ending


def error_of(line: Line) -> str | None:
    error = line.error if isinstance(line, ViolationLine | EndLine) else None
    return None if error is None else error.type


def test_the_number_of_files_is_bounded_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").touch()
    recorder = FlightRecorder(directory=tmp_path, when=lambda _: True, max_files=3)
    attempts: list[int] = []

    def dial(peer: MemoryPeer) -> None:
        attempts.append(1)
        lose(4000 if len(attempts) < 8 else 1008)(peer)

    policy = ReconnectPolicy(max_attempts=7)
    record(recorder, until_failed, on_dial=dial, reconnect=policy)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 4
    assert "mine.jsonl" in files
    assert len(Recording.load(tmp_path / files[-1]).lines) > len(Recording.load(tmp_path / files[1]).lines)


def test_a_predicate_that_raises_and_a_disk_that_is_full_harm_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: OnesocketError) -> bool:
        raise RuntimeError

    record(FlightRecorder(directory=tmp_path, when=broken), until_failed, on_dial=lose(4000), reconnect=None)
    assert "when= of the flight recorder raised RuntimeError" in caplog.text
    (tmp_path / "file").touch()
    recorder = FlightRecorder(directory=tmp_path / "file" / "x", when=lambda _: True)
    record(recorder, until_failed, on_dial=lose(4000), reconnect=None)
    assert "the flight recorder could not write" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_writes_every_recorder_that_is_alive(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    recorders = [FlightRecorder(directory=tmp_path / str(number), signal=signal.SIGUSR2) for number in range(3)]
    record(recorders[0], nothing)
    del recorders[2]
    signal.raise_signal(signal.SIGUSR2)
    assert before in (signal.SIG_DFL, signal.getsignal(signal.SIGUSR2))
    assert [len(list((tmp_path / str(number)).glob("*"))) for number in range(3)] == [1, 1, 0]
    (path,) = (tmp_path / "0").iterdir()
    assert messages(Recording.load(path)) == ["ping"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_that_the_program_handles_itself_is_refused(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with pytest.raises(InvalidOption, match="signal=SIGUSR1 is handled already"):
            FlightRecorder(directory=tmp_path, signal=signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    caught: list[BaseException] = []

    def make() -> None:
        try:
            FlightRecorder(directory=tmp_path, signal=signal.SIGUSR1)
        except InvalidOption as error:
            caught.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"frames": 0}, "frames must be a whole number, at least 1, not 0"),
        ({"bytes": True}, "bytes must be a whole number, at least 1, not True"),
        ({"max_files": -1, "directory": "x"}, "max_files must be a whole number"),
        ({"when": 3, "directory": "x"}, "when must be a plain function of the error, not int"),
        ({"when": asyncio.sleep, "directory": "x"}, "when must be .* not a coroutine function"),
        ({"when": callable}, "need directory="),
        ({"when": callable, "directory": 5}, "directory must be the path of a directory, not 5"),
        ({"when": callable, "directory": b"x"}, "directory must be the path"),
        ({"when": callable, "directory": ""}, "directory must be the path"),
        ({"frames": 2**64}, "frames must be"),
        ({"redact": "no"}, "redact must be True or False"),
        ({"signal": signal.SIGTERM, "directory": "x"}, "signal must be a signal for the program's own use"),
        ({"signal": "SIGUSR1", "directory": "x"}, "signal must be a signal for the program's own use"),
        ({"sink": print}, "sink must have begin"),
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        FlightRecorder(**options)


def test_a_client_takes_only_a_recorder() -> None:
    with pytest.raises(InvalidOption, match="recorder must be a FlightRecorder"):
        Client("ws://feed.example/", recorder=3)  # type: ignore[call-overload]


class ListSink:
    """Keeps every line."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.lines: list[Line] = []

    def begin(self, header: Header) -> None:
        self.header = header

    def add(self, line: Line) -> None:
        self.lines.append(line)


def test_a_sink_gets_every_line_at_once() -> None:
    sink = ListSink()
    recorder = FlightRecorder(sink=sink)
    seen: list[list[type]] = []

    async def work(client: Client[Any], _: MemoryServer) -> None:
        stream = client.subscribe()
        await anext(stream)
        seen.append([type(line) for line in sink.lines])
        await client.send("two")

    record(recorder, work, on_dial=greet("one"))
    assert sink.header is not None
    assert seen == [[StateLine, DialLine, OpenLine, StateLine, ReceivedLine]]
    assert isinstance(sink.lines[5], SentLine)
    with pytest.raises(UsageError, match="its sink has everything"):
        recorder.write(os.devnull)


def test_a_frame_is_recorded_without_the_recorder_changing_it() -> None:
    got: list[Any] = []

    async def work(client: Client[Any], _: MemoryServer) -> None:
        stream = client.subscribe()
        got.append(await anext(stream))
        got.append(await anext(stream))

    record(FlightRecorder(), work, on_dial=greet(TOKEN, b"\x00\xff"), token=TOKEN)
    assert got == [TOKEN, b"\x00\xff"]


def test_recorded_events_answer_what_only_some_transports_ask() -> None:
    events: Any = SimpleNamespace(writable=id, is_followed=True, may_dial=lambda: False)
    connection: Any = object()
    recorded = TappedEvents(events, connection)
    assert recorded.is_followed is True, "or the end of a loop would let the kernel deliver beside the next connection"
    assert recorded.may_dial() is False
    assert not hasattr(recorded, "other")
    assert not hasattr(object.__new__(TappedEvents), "is_followed")
