"""The session of a protocol of one's own, from one leader to the next."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from onesocket import Client, Json, Raw
from onesocket.errors import EngineUnavailable
from onesocket.protocols import Action, Ready
from onesocket.sharing.cluster._coordinator import ClusterKey
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.cluster._session_hand_over import SessionHandOver
from onesocket.sharing.host._forwarding_protocol import install_forwarding
from onesocket.sharing.host._ipc_frames import MessageBatch, SessionBatch
from onesocket.testing import run_virtual

KEY = ClusterKey.of("0" * 64)


class Resumable(Json):
    """Goes on with a session if it was given one."""

    name: ClassVar[str] = "resumable"
    session_close_code = 4000
    given: tuple[bytes, list[Any]] | None = None

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        del token, now
        return (Ready(resumed=self.given is not None),)

    def session_state(self) -> bytes:
        return b"state"

    def resume_session(self, state: bytes, heard: Iterable[Any]) -> None:
        self.given = state, list(heard)


async def nothing_more(_: int) -> None:
    """Read the feed, which holds nothing more."""


def hand_over(protocol: Any, engine: MemoryEngine) -> SessionHandOver:
    client = install_forwarding(Client("ws://127.0.0.1:9/", protocol=protocol))
    return SessionHandOver(client, engine.open(KEY, "a"))


def test_the_next_leader_resumes_what_it_has_heard() -> None:
    async def main() -> None:
        protocol = Resumable()
        session = hand_over(protocol, MemoryEngine())
        session.heard.take(SessionBatch(["0"], b"1"))
        session.heard.take(MessageBatch(['{"a": 1}', "not JSON"]))
        await session.find(1, nothing_more, 1.0, searches=False)
        assert session.resume()
        assert protocol.given == (b"1", [{"a": 1}])
        assert not session.resume()  # it is used up

    run_virtual(main)


def test_a_host_that_begins_anew_doesnt_search() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        session = hand_over(Resumable(), engine)
        engine.is_available = False
        await session.find(1, nothing_more, 1.0, searches=False)
        assert not session.resume()

    run_virtual(main)


def test_what_was_heard_counts_for_nothing_if_the_rest_cant_be_read() -> None:
    async def main() -> None:
        for failure in (EngineUnavailable("away"), None):
            session = hand_over(Resumable(), MemoryEngine())
            session.heard.take(SessionBatch(["0"], b"1"))

            async def fail(_: int, failure: Exception | None = failure) -> None:
                if failure is not None:
                    raise failure
                await asyncio.Event().wait()

            await session.find(1, fail, 1.0, searches=True)
            assert not session.resume()

    run_virtual(main)


def test_the_peer_is_to_keep_the_session_of_a_protocol_that_has_one() -> None:
    async def main() -> None:
        for protocol, code, state in ((Resumable(), 4000, b"state"), (Raw(), 1000, None)):
            client = install_forwarding(Client("ws://127.0.0.1:9/", protocol=protocol))
            session = SessionHandOver(client, MemoryEngine().open(KEY, "a"))
            session.keep()
            assert client.internals.runner.close_code == code
            assert session.state() == state
            assert not session.goes_on
            list(client.internals.options.protocol.opened(None, 0.0))
            assert not session.goes_on

    run_virtual(main)


def test_a_login_that_goes_on_with_the_session_is_known() -> None:
    async def main() -> None:
        protocol = Resumable()
        client = install_forwarding(Client("ws://127.0.0.1:9/", protocol=protocol))
        session = SessionHandOver(client, MemoryEngine().open(KEY, "a"))
        protocol.given = b"", []
        list(client.internals.options.protocol.opened(None, 0.0))
        assert session.goes_on

    run_virtual(main)
