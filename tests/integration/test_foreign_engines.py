"""The suite of transports against servers of other projects, so that it rests on more than one engine's opinion."""

import pytest

from onesocket.testing import TransportCheck, transport_checks
from onesocket.transports._websocket import WebSocketTransport
from tests.engines.aiohttp_engine import AiohttpEngine
from tests.engines.endpoint import Engine
from tests.engines.picows_engine import PicowsEngine
from tests.engines.relay import EngineTestPeer
from tests.engines.websockets_engine import WebsocketsEngine

ENGINES: dict[str, type[Engine]] = {"aiohttp": AiohttpEngine, "picows": PicowsEngine, "websockets": WebsocketsEngine}
CHECKS = transport_checks(EngineTestPeer(PicowsEngine()))


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("compresses", [False, True])
@pytest.mark.parametrize("name", ENGINES)
async def test_a_transport_and_a_foreign_server(name: str, compresses: bool, check: TransportCheck) -> None:
    engine = ENGINES[name]()
    try:
        # A check raises where the transport breaks the rule. With compression, picows declines.
        await check.run(
            lambda: WebSocketTransport(compression="deflate" if compresses else None),
            EngineTestPeer(engine, compression=compresses),
        )
    finally:
        await engine.aclose()
