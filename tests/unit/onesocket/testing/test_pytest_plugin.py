"""The fixtures that onesocket brings to pytest: for async tests, for synchronous ones, and without sockets."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from onesocket import Client, blocking
from onesocket.testing import FaultyServer, MemoryServer, ThreadedServer


async def test_a_faulty_server_on_the_loop_of_the_test(faulty_server: FaultyServer) -> None:
    async with Client(faulty_server.url) as client:
        await client.send("one")
        assert await anext(client.subscribe()) == "one"
    assert faulty_server.counts.handshakes == 1


def test_a_faulty_server_for_synchronous_code(threaded_faulty_server: ThreadedServer[FaultyServer]) -> None:
    server = threaded_faulty_server.server
    with blocking.join(server.url) as shared:
        shared.send("one", timeout=5)
        assert shared.receive(5) == "one"
        assert threaded_faulty_server.call(lambda server: server.kill_connections()) == 1
    assert server.counts.handshakes >= 1


async def test_a_server_in_memory(memory_server: MemoryServer) -> None:
    async with Client("ws://memory/", transport=memory_server.transport()) as client:
        await client.send("one")
    assert memory_server.peers[0].received == ["one"]


@pytest.mark.parametrize("extra", ["websockets", "pytest_asyncio"])
def test_pytest_starts_without_what_the_fixtures_need(tmp_path: Path, extra: str) -> None:
    script = f"""
import sys
sys.modules[{extra!r}] = None  # not installed
import pytest
sys.exit(pytest.main(["-p", "onesocket.pytest_plugin", "--fixtures", "--quiet"]))
"""
    command = [sys.executable, "-I", "-c", script]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, check=False, text=True, env=environment, cwd=tmp_path
    )
    found = {line.partition(" ")[0] for line in run.stdout.splitlines()}
    assert {"faulty_server", "threaded_faulty_server", "memory_server"} <= found, run.stdout + run.stderr
    assert "chat_server" not in found


def test_the_tests_of_the_document_pass(tmp_path: Path) -> None:
    document = (Path(__file__).parents[4] / "docs" / "testing.md").read_text("utf-8")
    (tmp_path / "test_document.py").write_text(document.split("```py\n")[1].split("```")[0], "utf-8")
    command = [sys.executable, "-I", "-m", "pytest", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider", "-q"]
    run = subprocess.run(command, capture_output=True, check=False, text=True, cwd=tmp_path)  # noqa: S603 - our own
    assert "3 passed" in run.stdout, run.stdout + run.stderr


def test_each_distribution_brings_its_own_plugin() -> None:
    plugins = {
        name: [one.value for one in metadata.distribution(name).entry_points if one.group == "pytest11"]
        for name in ("onesocket", "onesocket-discord", "onesocket-chat")
    }
    assert plugins == {
        "onesocket": ["onesocket.pytest_plugin"],
        "onesocket-discord": ["onesocket_discord.pytest_plugin"],
        "onesocket-chat": [],
    }


def test_the_faulty_server_names_its_extra_and_a_server_in_memory_needs_none() -> None:
    script = """
import sys
sys.modules["websockets"] = None
from onesocket.transports._memory import MemoryServer
print(MemoryServer())
try:
    import onesocket.testing
except ImportError as error:
    print(type(error).__name__, error)
"""
    command = [sys.executable, "-I", "-c", script]
    run = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - our own
    shown, error = run.stdout.splitlines()
    assert "MemoryServer" in shown
    assert error == 'MissingExtra the faulty server needs websockets: pip install "onesocket[testing]"'
