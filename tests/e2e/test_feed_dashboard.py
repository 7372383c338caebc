"""The dashboard of examples/feed with the package `ws`, which npm installs."""

import shutil
from pathlib import Path

from onesocket.testing.services import AlpacaVenue
from tests.engines.node_engine import WS_VERSION, install_ws
from tests.support.terminals import DEADLINE, ROOT, Terminals

EXAMPLE = ROOT / "examples" / "feed"
ACCOUNT = {"APCA_API_KEY_ID": "key", "APCA_API_SECRET_KEY": "secret"}


async def test_the_dashboard_reads_trades_by_ws(tmp_path: Path) -> None:
    assert f'"ws": "{WS_VERSION}"' in (EXAMPLE / "package.json").read_text("utf-8")
    await install_ws(ROOT / ".differential" / "node")
    (tmp_path / "node_modules").symlink_to(ROOT / ".differential" / "node" / "node_modules")
    shutil.copy(EXAMPLE / "dashboard.mjs", tmp_path)
    async with AlpacaVenue() as venue, Terminals(tmp_path / "run", ACCOUNT) as terminals:
        hub = await terminals.start(f"onesocket share --service alpaca {venue.url} --listen 127.0.0.1:0")
        url = (await hub.until("ready")).split()[1]
        # Without the one that Node.js has itself.
        dashboard = await terminals.start(f"node --no-experimental-websocket {tmp_path}/dashboard.mjs --url {url}")
        await venue.wait_until(lambda _: venue.keys == {"trades.AAPL", "trades.AMZN"}, DEADLINE)
        venue.push({"T": "t", "S": "AAPL", "p": 101, "s": 1})
        await dashboard.until("AAPL 101.00")
        assert [await each.interrupted() for each in (dashboard, hub)] == [0, 0]
