"""A page of Node.js with the JavaScript package."""

from collections.abc import AsyncIterator

import pytest

from tests.support.node_page import NodePage

OUTBOX = """
kept.store = new FakeStore();
kept.acknowledges = new one.Acknowledgement({idOf: ({id}) => id, acknowledgedBy: ({ack}) => ack});
/** A page with the outbox: `ids(socket)` are those that the server has, `date` its Unix time. */
kept.page = ({acks = true, limits = {}, date = 0, protocol = {}, ...options} = {}) => {
  const outbox = new one.DurableOutbox('orders', {store: kept.store, ...limits});
  const made = make({
    protocol: new one.Json({acknowledges: acks ? kept.acknowledges : null, ...protocol}),
    reconnect: new one.ReconnectPolicy({initial: 0.1, cap: 0.1}),
    outbox, ...options,
  });
  const ids = (at) => made.sockets[at].sent.map((text) => JSON.parse(text).id);
  const again = async () => { await made.pass(1); made.sockets.at(-1).open(); await kept.turns(); };
  return {...made, outbox, ids, again};
};
kept.turns = async (count = 20) => { for (let each = 0; each < count; each += 1) await turn(); };
kept.open = async (page) => {
  const outcome = page.client.connect();
  await kept.turns();
  page.sockets.at(-1).open();
  await outcome;
  await kept.turns();
};
kept.thrown = (call) => { try { call(); } catch (error) { return error.name; } return 'nothing'; };
"""


@pytest.fixture
async def page() -> AsyncIterator[NodePage]:
    """A page of Node.js; it ends with the test."""
    async with NodePage() as page:
        yield page


@pytest.fixture
async def outbox_page(page: NodePage) -> NodePage:
    """A page of Node.js with the functions of `OUTBOX` in `kept`: pages with a durable outbox, and its store."""
    await page.run(OUTBOX)
    return page
