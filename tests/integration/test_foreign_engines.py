"""The suite of transports, and random conversations, with other projects' engines: `FaultyServer` is one opinion."""

import pytest

from onesocket.testing import TransportCheck, transport_checks
from onesocket.transports._websocket import WebSocketTransport
from tests.engines.aiohttp_engine import AiohttpEngine
from tests.engines.conversation import Conversation, Side
from tests.engines.endpoint import Engine
from tests.engines.own_engine import OwnEngine
from tests.engines.picows_engine import PicowsEngine
from tests.engines.relay import EngineTestPeer
from tests.engines.websockets_engine import WebsocketsEngine

FOREIGN: dict[str, type[Engine]] = {"aiohttp": AiohttpEngine, "picows": PicowsEngine, "websockets": WebsocketsEngine}
ENGINES: dict[str, type[Engine]] = {**FOREIGN, "onesocket": OwnEngine}
CHECKS = transport_checks(EngineTestPeer(PicowsEngine()))


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("compresses", [False, True])
@pytest.mark.parametrize("name", ENGINES)
async def test_a_transport_and_a_server(name: str, compresses: bool, check: TransportCheck) -> None:
    engine = ENGINES[name]()
    try:
        # A check raises where the transport breaks the rule. With compression, picows declines.
        await check.run(
            lambda: WebSocketTransport(compression="deflate" if compresses else None),
            EngineTestPeer(engine, compression=compresses),
        )
    finally:
        await engine.aclose()


# `make differential` plays more of them, and with Node.js, too.
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("name", FOREIGN)
async def test_the_ledgers_of_random_conversations_agree(name: str, side: Side) -> None:
    engine = FOREIGN[name]()
    try:
        for seed in range(25):
            assert await Conversation(seed, side, engine).run() == [], f"seed {seed}"
    finally:
        await engine.aclose()
