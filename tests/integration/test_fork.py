"""A forked child never touches its parent's socket; what it uses, it joins anew. The server counts."""

import os
from pathlib import Path

import pytest

from onesocket.testing import Fault, FaultyServer
from tests.support.programs import output_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

# What every script begins with: `in_child` forks, runs the function in the child, and returns the child's exit code.
PRELUDE = """
import asyncio, os, socket, sys, threading, traceback, warnings
from onesocket import State, blocking
from onesocket.errors import WrongEventLoop
from onesocket.errors import ForkedCopy
from onesocket.sharing._join import join
from onesocket.sharing._registry import current_registry

url = sys.argv[1]
# CPython >= 3.12 warns of every fork beside a thread; docs/sharing.md says why the owner thread is no danger.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0

def target(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""

def sockets():
    #The peers of this process's TCP sockets.
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        if target(fd).startswith("socket:"):
            with socket.socket(fileno=os.dup(fd)) as sock:
                if sock.family == socket.AF_INET:
                    found.append(fd)
    return found
"""


async def run(script: str, url: str) -> str:
    return await output_of("-c", PRELUDE + script, url)


async def test_a_child_that_does_nothing_leaves_the_parent_alone(server: FaultyServer) -> None:
    script = """
with blocking.join(url) as client:
    def child():
        assert len(current_registry()) == 0
        assert threading.active_count() == 1
        client.close()
    in_child(child)
    in_child(lambda: None)
    client.send("still there")
    assert client.receive(5) == "still there"
    assert client.status.epoch == 1
"""
    await run(script, server.url)
    assert server.counts.handshakes == 1
    assert server.counts.close_codes == {1000: 1}
    assert server.counts.unclean_closes == 0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the child's sockets are looked up in /proc")
@pytest.mark.parametrize("held", [False, True])
async def test_a_child_has_none_of_its_parents_sockets(server: FaultyServer, held: bool) -> None:
    script = f"""
with blocking.join(url, open_timeout=5) as client:
    if {held}:  # the socket isn't read, so the loop doesn't watch it
        slow = client.subscribe(limit=1, overflow="wait")
        for number in range(20_000):
            client.send_nowait("x" * 50)
        while not client._handle.shared.upstream.status.is_held:
            pass
    assert sockets()
    in_child(lambda: print(sockets()))
    if {held}:
        slow.close()
"""
    assert await run(script, server.url) == "[]\n"


async def test_a_client_of_the_parent_joins_anew_in_the_child(server: FaultyServer) -> None:
    script = """
client = blocking.join(url)
got = []
done = threading.Event()
def takes(message):
    got.append(message)
    done.set()
client.on(takes)
def child():
    client.send("child")                       # joins anew
    assert client.receive(5) == "child"
    assert done.wait(5) and got == ["child"]
    assert client.status.epoch == 1
    client.close()
in_child(child)
assert not got
client.send("parent")
assert client.receive(5) == "parent"
client.close()
"""
    await run(script, server.url)
    assert server.counts.handshakes == 2
    assert server.received == ["child", "parent"]
    assert server.counts.close_codes == {1000: 2}
    assert server.counts.unclean_closes == 0


async def test_streams_and_clients_of_loops_say_that_they_are_inherited(server: FaultyServer) -> None:
    script = """
with blocking.join(url) as client:
    stream = client.subscribe()
    holder = []
    stop = threading.Event()
    async def other():
        async with join(url) as asynchronous:
            holder.append((asynchronous, asynchronous.subscribe()))
            await asyncio.to_thread(stop.wait)
    thread = threading.Thread(target=asyncio.run, args=(other(),))
    thread.start()
    while not holder:
        pass
    asynchronous, _ = holder[0]
    def child():
        try:
            stream.receive(1)
        except ForkedCopy:
            print("stream")
        async def use():
            try:
                await asynchronous.send("x")
            except ForkedCopy:
                print("client")
            async with join(url) as anew:
                await anew.send("child")
        asyncio.run(use())
        del holder[:]
    in_child(child)
    stop.set()
    thread.join()
    client.send("parent")
"""
    assert await run(script, server.url) == "stream\nclient\n"
    assert server.received == ["child", "parent"]
    assert server.counts.close_codes == {1000: 2}


async def test_a_pre_fork_server_with_four_workers(server: FaultyServer) -> None:
    script = """
client = blocking.join(url)                    # gunicorn --preload: the application is loaded once ...
children = []
for number in range(4):                      # ... and the workers are forked from that
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for _ in range(3):
                client.send(f"{number}", timeout=5)
                assert client.receive(5) == f"{number}"
            client.close()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
client.send("master")
client.close()
"""
    await run(script, server.url)
    assert server.counts.handshakes == 5
    assert server.counts.close_codes == {1000: 5}
    assert server.counts.unclean_closes == 0


async def test_a_fork_in_the_middle_of_joining_and_under_load(server: FaultyServer) -> None:
    children: list[object] = []
    server.on_message = lambda _, message: children.append(message) if message == "child" else None
    script = """
stop = threading.Event()
def load():
    with blocking.join(url, overflow="drop_oldest") as client:
        while not stop.is_set():
            client.send("x")
            client.receive(5)
threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(20):
    def child():
        with blocking.join(url) as mine:
            mine.send("child")
            mine.receive(5)
    in_child(child)
stop.set()
for thread in threads:
    thread.join()
"""
    await run(script, server.url)
    assert server.counts.unclean_closes == 0
    assert len(children) == 20
    assert server.counts.handshakes == 21


async def test_a_child_forked_during_the_handshake(server: FaultyServer) -> None:
    server.faults = [Fault.slow_upgrade(0.3)]
    script = """
thread = threading.Thread(target=lambda: blocking.join(url).close())
thread.start()
while not sockets():
    pass
in_child(lambda: None)
thread.join()
"""
    await run(script, server.url)
    assert server.counts.close_codes == {1000: 1}


async def test_a_child_that_exits_the_usual_way_closes_its_own_alone(server: FaultyServer) -> None:
    script = """
client = blocking.join(url)
child = os.fork()
if child == 0:
    client.send("child")
    sys.exit(0)                               # not os._exit: destructors and atexit run
assert os.waitpid(child, 0)[1] == 0
client.send("parent")
assert client.receive(5) == "parent"
"""
    await run(script, server.url)
    assert server.counts.handshakes == 2
    assert server.counts.close_codes == {1000: 2}


async def test_threads_that_fork_at_once_fork_one_after_the_other(server: FaultyServer) -> None:
    script = """
from onesocket.sharing._host_loop import HostLoopThread

standing, most, second = [], [], threading.Event()
pause_for_fork, resume_after_fork = HostLoopThread.pause_for_fork, HostLoopThread.resume_after_fork

def stands(owner):
    standing.append(owner)
    most.append(len(standing))
    assert second.wait(5)
    pause_for_fork(owner)

def goes_on(owner):
    resume_after_fork(owner)
    standing.pop()

HostLoopThread.pause_for_fork, HostLoopThread.resume_after_fork = stands, goes_on

def fork_second():
    while not standing:
        pass
    second.set()
    in_child(lambda: None)

with blocking.join(url) as client:
    thread = threading.Thread(target=fork_second)
    thread.start()
    in_child(lambda: None)
    thread.join()
    client.send("after both")
    assert client.receive(5) == "after both"
assert most == [1, 1], most
"""
    await run(script, server.url)  # the assertions are in the script, which has to end with status 0


async def test_a_connection_on_the_main_loop_stays_the_parents_wherever_it_lives(server: FaultyServer) -> None:
    script = """
def child():
    assert len(current_registry()) == 0
    assert threading.active_count() == 1
    assert sockets() == []

def child_with_a_loop_of_its_own():
    child()
    async def joins():
        async with join(url) as client:
            await client.send("child")
    asyncio.run(joins())

async def main():
    client = await join(url)
    assert current_registry().host_thread is None
    in_child(child)
    other = await asyncio.to_thread(blocking.join, url)
    in_child(child)
    await asyncio.to_thread(in_child, child)
    await client.send("main")
    return other

other = asyncio.run(main())
other.send("thread")
in_child(child)
in_child(child_with_a_loop_of_its_own)
other.send("still there")
assert other.status.epoch == 2
other.close()
"""
    await run(script, server.url)
    assert server.received == ["main", "thread", "child", "still there"]
    assert server.counts.handshakes == 3
    assert server.counts.unclean_closes == 0
