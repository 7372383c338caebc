"""The fixtures that onesocket brings to pytest: for async tests, for synchronous ones, and without sockets."""

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
