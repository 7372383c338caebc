"""Replays: what a script makes of a recording, and cassettes."""

from __future__ import annotations

import asyncio
import functools
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Json, Login, State
from onesocket.errors import ConnectionReset, HandshakeRejected, InvalidOption, InvalidRecording, UsageError
from onesocket.recording import FlightRecorder, Line, Recording, RecordingFile
from onesocket.testing import (
    Cassette,
    CassetteMode,
    DeadlockError,
    FaultyServer,
    MemoryPeer,
    MemoryReplay,
    MemoryServer,
    ThreadedServer,
    run_virtual,
)
from onesocket.wire._handshake import Data


def echo_later(peer: MemoryPeer, data: Data) -> None:
    peer.send(f"re: {data!r}")


def question_and_answer(recorder: FlightRecorder) -> None:
    """Two questions, the second after 10 s; their answers take 2 s."""

    async def program() -> None:
        server = MemoryServer(None, echo_later, latency=1.0)
        async with Client("ws://x/", transport=server.transport(), recorder=recorder, ping_interval=None) as client:
            await ask(client, 10.0)

    run_virtual(program)


async def ask(client: Client[Any], pause: float) -> list[Any]:
    stream, answers = client.subscribe(), []
    for question in ("a", "b"):
        await client.send(question)
        began = asyncio.get_running_loop().time()
        answers.append((await anext(stream), asyncio.get_running_loop().time() - began))
        await asyncio.sleep(pause)
    return answers


def test_answers_wait_for_their_questions_and_take_as_long_as_recorded() -> None:
    recorder = FlightRecorder()
    question_and_answer(recorder)

    async def program(pause: float) -> list[Any]:
        transport = MemoryReplay(recorder.recording).transport()
        async with Client("ws://y/", transport=transport, ping_interval=None) as client:
            return await ask(client, pause)

    for pause in (1.0, 10.0, 100.0):
        assert run_virtual(functools.partial(program, pause)) == [("re: 'a'", 2.0), ("re: 'b'", 2.0)]


def test_a_replay_that_waits_for_a_question_that_never_comes_is_told() -> None:
    recorder = FlightRecorder()
    question_and_answer(recorder)

    async def program() -> None:
        transport = MemoryReplay(recorder.recording).transport()
        async with Client("ws://y/", transport=transport, ping_interval=None) as client:
            await anext(client.subscribe())

    with pytest.raises(DeadlockError):
        run_virtual(program)


def test_without_steps_the_server_speaks_at_its_times() -> None:
    recorder = FlightRecorder()
    question_and_answer(recorder)

    async def program() -> list[Any]:
        transport = MemoryReplay(recorder.recording, in_step=False).transport()
        async with Client("ws://y/", transport=transport, ping_interval=None) as client:
            stream = client.subscribe()
            return [await anext(stream), await anext(stream)]

    assert run_virtual(program) == ["re: 'a'", "re: 'b'"]


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan"), True, "2"])
def test_a_speed_that_is_none_is_refused(speed: Any) -> None:
    recorder = FlightRecorder()
    question_and_answer(recorder)
    with pytest.raises(InvalidOption, match="speed must be a finite number above 0"):
        FaultyServer.replay(recorder.recording, speed=speed)


@pytest.mark.parametrize("source", [FlightRecorder(), None, 5, b"x"])
def test_a_replay_of_what_is_no_recording_names_the_remedy(source: Any) -> None:
    for replay in (MemoryReplay, FaultyServer.replay):
        with pytest.raises(InvalidOption, match=r"recorder\.recording"):
            replay(source)


def test_a_ring_that_dropped_the_beginning_is_replayed() -> None:
    recorder = FlightRecorder(frames=5)
    question_and_answer(recorder)
    assert recorder.recording.header.dropped

    async def program() -> Any:
        transport = MemoryReplay(recorder.recording, in_step=False).transport()
        async with Client("ws://y/", transport=transport, ping_interval=None) as client:
            return await anext(client.subscribe())

    assert run_virtual(program) == "re: 'b'"


def test_a_peer_that_fell_mute_answers_no_later_ping_either() -> None:
    def mute(peer: MemoryPeer) -> None:
        peer.accept()
        peer.answers_ping = False

    async def program(server: MemoryServer | MemoryReplay, timeout: float, recorder: FlightRecorder | None) -> str:
        options: dict[str, Any] = {"ping_interval": 1.0, "ping_timeout": timeout, "reconnect": None}
        async with Client("ws://x/", transport=server.transport(), recorder=recorder, **options) as client:
            await client.wait_for(State.FAILED, timeout=60)
            return type(client.status.last_error).__name__

    recorder = FlightRecorder()
    assert run_virtual(lambda: program(MemoryServer(mute), 3.0, recorder)) == "PingTimeout"
    assert run_virtual(lambda: program(MemoryReplay(recorder.recording), 9.0, None)) == "PingTimeout"


def test_there_is_no_connection_after_the_last_one() -> None:
    recorder = FlightRecorder()
    question_and_answer(recorder)

    async def program() -> None:
        transport = MemoryReplay(recorder.recording, in_step=False).transport()
        async with Client("ws://y/", transport=transport):
            pass
        async with Client("ws://y/", transport=transport):
            pass

    with pytest.raises(ConnectionReset, match="no more connections"):
        run_virtual(program)


async def test_a_server_has_no_connection_after_the_last_one() -> None:
    recorder = FlightRecorder()
    async with FaultyServer() as server, Client(server.url, recorder=recorder) as client:
        await client.send("x")
        assert await anext(client.subscribe()) == "x"
    async with FaultyServer.replay(recorder.recording, speed=100, in_step=True) as replayed:
        async with Client(replayed.url) as client:
            await client.send("y")
            assert await anext(client.subscribe()) == "x"
        with pytest.raises(HandshakeRejected, match="503"):
            await Client(replayed.url).connect()


async def test_a_subprotocol_is_replayed() -> None:
    recorder = FlightRecorder()
    async with (
        FaultyServer(subprotocols=["v2"]) as server,
        Client(server.url, subprotocols=["v1", "v2"], recorder=recorder) as client,
    ):
        assert client.status.subprotocol == "v2"
    async with (
        FaultyServer.replay(recorder.recording) as replayed,
        Client(replayed.url, subprotocols=["v1", "v2"]) as client,
    ):
        assert client.status.subprotocol == "v2"


# --- cassettes --------------------------------------------------------------------------------------------------------


def converse(cassette: Cassette, url: str) -> list[Any]:
    async def program() -> list[Any]:
        async with Client(url, protocol=Json(), **cassette.options) as client:
            stream = client.subscribe()
            await client.send({"id": 1})
            return [await anext(stream), client.state is State.CONNECTED]

    return cassette.run(program)


def test_a_cassette_is_recorded_once_and_then_replayed_without_a_server(
    tmp_path: Path, threaded_faulty_server: ThreadedServer[FaultyServer]
) -> None:
    cassette = Cassette(tmp_path / "new" / "x.jsonl")
    url = threaded_faulty_server.server.url
    recorded = converse(cassette, url)
    assert recorded == [{"id": 1}, True]
    assert cassette.is_replaying
    assert converse(cassette, "ws://nowhere.example/") == recorded
    assert threaded_faulty_server.server.counts.handshakes == 1
    assert converse(Cassette(cassette.path, mode=CassetteMode.RECORD), url) == recorded
    assert threaded_faulty_server.server.counts.handshakes == 2


def test_a_program_that_fails_leaves_no_cassette(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "x.jsonl")

    async def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        cassette.run(fails)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="there is no cassette"):
        Cassette(tmp_path / "x.jsonl", mode=CassetteMode.REPLAY).run(fails)


@pytest.mark.parametrize("mode", CassetteMode)
async def test_a_cassette_in_a_running_loop_is_refused_with_the_remedy(tmp_path: Path, mode: CassetteMode) -> None:
    with pytest.raises(UsageError, match="plain function"):
        converse(Cassette(tmp_path / "x.jsonl", mode=mode), "ws://nowhere.example/")
    assert not (tmp_path / "x.jsonl").exists()


def test_a_cassette_that_could_not_be_written_is_not_kept(
    tmp_path: Path, threaded_faulty_server: ThreadedServer[FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = RecordingFile.add, itertools.count()

    def add_some(file: RecordingFile, line: Line) -> None:
        if next(calls) == 4:
            raise OSError(28, "No space left on device")
        add(file, line)

    monkeypatch.setattr(RecordingFile, "add", add_some)
    with pytest.raises(OSError, match="No space left"):
        converse(Cassette(tmp_path / "x.jsonl"), threaded_faulty_server.server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_conversation_that_could_not_be_replayed_leaves_no_cassette(
    tmp_path: Path, threaded_faulty_server: ThreadedServer[FaultyServer]
) -> None:
    protocol = Json(login=Login(request=lambda _: {"op": "auth"}, ready=lambda _: True))

    async def logs_in() -> None:
        async with Client(threaded_faulty_server.server.url, protocol=protocol, **cassette.options):
            pass

    cassette = Cassette(tmp_path / "x.jsonl")
    with pytest.raises(InvalidRecording, match=r"withheld \(login\).*redact=False"):
        cassette.run(logs_in)
    assert list(tmp_path.iterdir()) == []
    cassette = Cassette(tmp_path / "x.jsonl", redact=False)
    cassette.run(logs_in)
    cassette.run(logs_in)
    assert threaded_faulty_server.server.counts.handshakes == 2


TEST = """
import pytest
from onesocket import Client

def converse(cassette, url):
    async def program():
        async with Client(url, **cassette.options) as client:
            await client.send("hello")
            return await anext(client.subscribe())
    return cassette.run(program)

def test_default(cassette):
    assert converse(cassette, {url!r}) == "hello"

@pytest.mark.cassette("named.jsonl", redact=False)
def test_named(cassette):
    assert converse(cassette, {url!r}) == "hello"

class TestOne:
    @pytest.mark.parametrize("x", ["a/b", "a_b", "a b"])
    def test_default(self, cassette, x):
        assert converse(cassette, {url!r}) == "hello"
"""
FILES = ["TestOne.test_default[a b]", "TestOne.test_default[a%2Fb]", "TestOne.test_default[a_b]", "test_default"]


def test_the_fixture_keeps_its_files_beside_the_test(
    tmp_path: Path, threaded_faulty_server: ThreadedServer[FaultyServer]
) -> None:
    (tmp_path / "test_feed.py").write_text(TEST.format(url=threaded_faulty_server.server.url), "utf-8")

    def run(*options: str) -> str:
        command = [sys.executable, "-I", "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-q", *options]
        ended = subprocess.run(command, capture_output=True, check=False, text=True, cwd=tmp_path)  # noqa: S603 - our own
        return ended.stdout + ended.stderr

    assert "5 passed" in run()
    files = sorted((tmp_path / "cassettes" / "test_feed").iterdir())
    assert [path.stem for path in files] == FILES
    assert all(Recording.load(path).header.redacted for path in files)
    assert not Recording.load(tmp_path / "named.jsonl").header.redacted
    assert "5 passed" in run("--cassettes=replay")
    assert threaded_faulty_server.server.counts.handshakes == 5
