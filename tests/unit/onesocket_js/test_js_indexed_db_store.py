"""The store of a durable outbox in IndexedDB, over a database whose events the test makes, in Node.js."""

import pytest

from tests.support.node_page import NodePage
from tests.support.terminals import ROOT

CLIENT = ROOT / "packages" / "onesocket-js" / "src" / "client"

SET_UP = """
const {indexedDbStore} = await import(data);
kept.heard = [];
kept.open = () => indexedDbStore.open('orders', {onLost: (why) => kept.heard.push(why)});
kept.told = (call) => call.then(() => 'done', (error) => [error.name, error.message]);
/** A database: it is read when the test calls `read`; a row with `fault` can't be put, one with `late` fails later. */
kept.database = {
  objectStoreNames: ['messages'],
  isClosed: false,
  close() { this.isClosed = true; },
  transaction() {
    const transaction = {
      error: null,
      commit() {
        const late = transaction.puts.find(({row}) => row.late);
        queueMicrotask(() => {
          late?.request.onerror({target: {error: late.row.late}});
          if (late || transaction.error) transaction.onabort();
          else transaction.oncomplete();
        });
      },
      abort() { queueMicrotask(() => transaction.onabort()); },
      puts: [],
      objectStore: () => ({
        getAll() {
          const request = {result: []};
          kept.read = () => request.onsuccess();
          return request;
        },
        put(row) {
          if (row.fault) throw row.fault;
          const request = {};
          transaction.puts.push({row, request});
          return request;
        },
        delete() { return {}; },
      }),
    };
    return transaction;
  },
};
globalThis.indexedDB = {
  open() {
    const request = {result: kept.database};
    queueMicrotask(() => request.onsuccess());
    return request;
  },
};
"""


@pytest.fixture
async def page(page: NodePage) -> NodePage:
    """A page with the functions of `SET_UP` in `kept`."""
    await page.run(SET_UP, (CLIENT / "indexed-db-store.js").as_uri())
    return page


async def test_another_script_that_changes_the_database_waits_at_no_moment(page: NodePage) -> None:
    assert await page.run(
        """
        const opening = kept.told(kept.open());
        while (!kept.read) await turn();
        kept.database.onversionchange(); // while the rows are being read
        const wasClosed = kept.database.isClosed;
        kept.read();
        const refused = await opening;
        kept.read = null;
        const again = kept.open();
        while (!kept.read) await turn();
        kept.read();
        await again;
        const before = [...kept.heard];
        kept.database.onversionchange();
        return [wasClosed, refused, before, kept.heard];
        """
    ) == [
        True,
        [
            "OutboxUnusable",
            'the outbox "orders" can\'t be read: another script of this site deletes or changes its database',
        ],
        [],
        ["another script of this site deletes or changes its database"],
    ]


async def test_an_error_of_one_message_names_it_and_another_does_not(page: NodePage) -> None:
    assert await page.run(
        """
        const opening = kept.open();
        while (!kept.read) await turn();
        kept.read();
        const store = await opening;
        const tooLarge = new DOMException('The serialized value is too large', 'UnknownError');
        const full = new DOMException('no room', 'QuotaExceededError');
        const numberOf = (row) => {
          const rows = [{number: 1}, {number: 2, ...row}, {number: 3}];
          return store.apply(rows.map((each) => ({type: 'put', row: each}))).then(
            () => 'done', (error) => [error.name, error.message, error.number ?? null]);
        };
        const results = [];
        for (const row of [{}, {fault: tooLarge}, {late: tooLarge}, {fault: full}]) results.push(await numberOf(row));
        return results;
        """
    ) == [
        "done",
        ["UnknownError", "The serialized value is too large", 2],
        ["UnknownError", "The serialized value is too large", 2],
        ["QuotaExceededError", "no room", None],
    ]
