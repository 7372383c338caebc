"""Children of `multiprocessing` that leave a client open end in order, though they know no `atexit` of the parent's."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onesocket.testing import FaultyServer
from tests.support.programs import output_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

# A module of its own, as a child that isn't forked imports it.
MODULE = """
import atexit, multiprocessing, os, sys, threading
from concurrent.futures import ProcessPoolExecutor
from onesocket import blocking
from onesocket.sharing.host import HostOptions

url, method, scope, directory, script = sys.argv[1:]
context = multiprocessing.get_context(method)
options = {"scope": "host", "host_options": HostOptions(directory=directory)} if scope == "host" else {}
clients = []

def use(text):
    if not clients:
        clients.append(blocking.join(url, **options))
    clients[0].send(text, timeout=5)
    return os.getpid()

def ends_by(error):
    use("x")
    raise error

def says_goodbye():
    use("hello")
    atexit.register(lambda: clients[0].send("bye", timeout=5))

def leaves_a_thread():
    use("first")
    ended = threading.current_thread()
    def goes_on():
        ended.join()  # the child's function has returned
        use("second")
        assert clients[0].receive(5) == "first"
        assert clients[0].receive(5) == "second"
    threading.Thread(target=goes_on).start()

def in_child(work, *arguments):
    process = context.Process(target=work, args=arguments)
    process.start()
    process.join(15)
    return process.exitcode

if __name__ == "__main__":
    exec(script)
"""


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)
        assert server.counts.unclean_closes == 0
        assert set(server.counts.close_codes) == {1000}
        assert sum(server.counts.close_codes.values()) == server.counts.handshakes


@pytest.fixture(params=["fork", "forkserver", "spawn"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["process", "host"])
def scope(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def run(script: str, server: FaultyServer, method: str, scope: str, place: Path) -> str:
    module = place / "children.py"
    module.write_text(MODULE)
    return await output_of(str(module), server.url, method, scope, str(place / "run"), script)


async def test_a_client_that_a_child_leaves_open(server: FaultyServer, method: str, scope: str, tmp_path: Path) -> None:
    assert await run("print(in_child(use, 'x'))", server, method, scope, tmp_path) == "0\n"
    assert server.received == ["x"]


@pytest.mark.parametrize(("error", "code"), [("SystemExit(3)", "3"), ("ValueError('mine')", "1")])
async def test_a_child_that_ends_by_an_error(
    server: FaultyServer, scope: str, error: str, code: str, tmp_path: Path
) -> None:
    output = await run(f"print(in_child(ends_by, {error}))", server, "fork", scope, tmp_path)
    assert output.splitlines()[-1] == code


async def test_the_workers_of_a_pool(server: FaultyServer, method: str, scope: str, tmp_path: Path) -> None:
    script = """
with ProcessPoolExecutor(2, mp_context=context) as pool:
    print(len(list(pool.map(use, "abcdef"))))
"""
    assert await run(script, server, method, scope, tmp_path) == "6\n"
    assert sorted(server.received) == list("abcdef")


async def test_a_child_of_a_child_and_a_parent_that_joined_itself(
    server: FaultyServer, scope: str, tmp_path: Path
) -> None:
    # The parent's finalizer is copied into the child, where it must not run.
    script = """
def outer():
    use("outer")
    assert in_child(use, "inner") == 0
    use("outer again")

with blocking.join(url, **options) as client:
    client.send("parent", timeout=5)
    assert in_child(outer) == 0
    client.send("parent again", timeout=5)
"""
    await run(script, server, "fork", scope, tmp_path)
    assert server.received == ["parent", "outer", "inner", "outer again", "parent again"]
    assert server.counts.handshakes == (3 if scope == "process" else 1)


async def test_threads_of_a_child_go_on_and_keep_the_connection(
    server: FaultyServer, method: str, scope: str, tmp_path: Path
) -> None:
    assert await run("print(in_child(leaves_a_thread))", server, method, scope, tmp_path) == "0\n"
    assert server.received == ["first", "second"]
    assert server.counts.handshakes == 1


async def test_a_thread_pool_that_a_child_leaves_idle_does_not_hold_it_up(server: FaultyServer, tmp_path: Path) -> None:
    # Its threads wait for work until Python's own end of the process wakes them up.
    script = """
from concurrent.futures import ThreadPoolExecutor
pools = []
def child():
    pools.append(ThreadPoolExecutor(2))
    pools[0].submit(use, "x").result(5)
print(in_child(child))
"""
    assert await run(script, server, "fork", "process", tmp_path) == "0\n"


async def test_atexit_handlers_may_use_the_client_where_they_are_called(server: FaultyServer, tmp_path: Path) -> None:
    assert await run("print(in_child(says_goodbye))", server, "spawn", "process", tmp_path) == "0\n"
    assert server.received == ["hello", "bye"]
