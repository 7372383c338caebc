"""The store of a durable outbox of the JavaScript client: slow, failing, in use, damaged, lost."""

import json

import pytest

from tests.support.node_page import NodePage
from tests.support.node_script import run_script
from tests.support.terminals import ROOT


async def test_a_message_that_is_being_stored_when_the_client_closes_is_accepted_and_kept(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        store.holds = true;
        const page = kept.page();
        const [opening, other] = [1, 2].map((id) => nameOf(page.client.send({id})));
        const delivery = page.client.sendNowait({id: 3});
        const closing = page.client.close();
        const second = page.client.close();
        const refused = await nameOf(page.client.send({id: 4}));
        const states = [await stateOf(closing), await stateOf(opening)];
        store.release();
        await kept.turns(2);
        states.push(await stateOf(opening));
        store.release();
        states.push(await opening, await other, await nameOf(delivery), await nameOf(closing), await nameOf(second));
        return [refused, states, store.left, store.isInUse];
        """
    ) == [
        "ClientClosed",
        ["pending", "pending", "pending", "done", "done", "MessageKept", "done", "done"],
        [[1, False], [2, False], [3, False]],
        False,
    ]


async def test_close_waits_for_a_disk_no_longer_than_it_may(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const results = [];
        for (const isOpen of [true, false]) {
          const page = kept.page({closeTimeout: 2});
          if (isOpen) await page.client.send({id: 0});
          store.holds = true;
          const sending = nameOf(page.client.send({id: 1}));
          const closing = page.client.close();
          await kept.turns();
          page.clock.advance(2);
          results.push(await nameOf(closing), await sending);
          store.holds = false;
          store.release();
          await kept.turns();
          results.push(store.isInUse, store.left.length, page.clock.size);
        }
        return results;
        """
    ) == ["done", "DeliveryUnknown", False, 2, 0, "done", "MessageNotStored", False, 2, 0]


async def test_a_call_that_waits_for_a_slow_store_is_withdrawn_by_its_signal(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page();
        kept.store.holds = true;
        const [gone, later] = [new AbortController(), AbortSignal.abort(new Error('at once'))];
        const withdrawn = page.client.connect({signal: gone.signal}).catch(({message}) => message);
        const staying = page.client.connect();
        await kept.turns();
        gone.abort(new Error('withdrawn'));
        await kept.turns();
        const state = await Promise.race([withdrawn, turn()]);
        const atOnce = await page.client.connect({signal: later}).catch(({message}) => message);
        kept.store.release();
        await kept.turns();
        page.sockets[0].open();
        return [state, atOnce, await staying, page.sockets.length];
        """
    ) == ["withdrawn", "at once", "opened", 1]


async def test_no_call_waits_for_a_store_that_never_opens_once_the_client_is_closed(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        store.holds = true;
        const page = kept.page({closeTimeout: 2});
        const fates = [page.client.connect(), page.client.send({id: 1})].map(nameOf);
        await kept.turns();
        const closing = page.client.close();
        await kept.turns();
        page.clock.advance(2);
        await closing;
        await kept.turns();
        const states = await Promise.all(fates.map(stateOf));
        store.release(); // after all
        await kept.turns();
        return [states, store.isInUse];
        """
    ) == [["ClientClosed", "MessageNotStored"], False]


async def test_a_message_that_cannot_be_stored_is_refused_and_never_sent(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page();
        await kept.open(page);
        await page.client.send({id: 1});
        kept.store.fails = () => new DOMException('no room', 'QuotaExceededError');
        const failed = await page.client.send({id: 2}).catch((error) => error);
        const ignored = page.client.sendNowait({id: 3});
        await kept.turns();
        kept.store.fails = () => null;
        await page.client.send({id: 2});
        page.sockets[0].receive({ack: 1}, {ack: 2});
        await page.pass(2);
        return [failed, page.ids(0), page.errors.map(({name}) => name), kept.store.left, ignored.error.name];
        """
    ) == [
        {
            "error": "MessageNotStored",
            "text": 'the outbox "orders" can\'t be written: QuotaExceededError: no room; the storage of this site is '
            "full: make room",
            "retryable": True,
        },
        [1, 2],
        ["MessageNotStored"],
        [],
        "MessageNotStored",
    ]


async def test_what_was_accepted_is_sent_and_makes_room_while_a_busy_program_fills_the_storage(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const page = kept.page();
        for (const id of [1, 2]) await page.client.send({id});
        const isNew = ({type, row}) => type === 'put' && row.messageId > 2;
        store.fails = (operations) => (operations.some(isNew) ? new DOMException('full', 'QuotaExceededError') : null);
        const connecting = page.client.connect();
        const refused = new Set();
        for (let id = 3; id < 400; id += 1) { // each transaction has a new message
          page.client.send({id}).catch(({name}) => refused.add(name));
          await Promise.resolve();
          if (id % 4 === 0) { await turn(); page.clock.advance(0.05); }
          if (id === 20) page.sockets[0].open();
          if (id === 200) page.sockets[0].receive({ack: 1});
          if (id === 390) refused.add(store.left.length);
        }
        await connecting;
        return [page.ids(0), [...refused], store.left, page.errors.length];
        """
    ) == [[1, 2], ["MessageNotStored", 1], [[2, True]], 0]


async def test_a_message_that_was_refused_is_not_stored_by_a_mark_that_is_taken_back(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const page = kept.page();
        await kept.open(page);
        store.fails = (operations) => (operations.some(({row}) => row?.mayHaveArrived) ? new Error('full') : null);
        const fate = nameOf(page.client.send({id: 1})); // stored with a mark, as there is a connection
        page.sockets[0].closed(); // which is taken back in the same transaction
        const log = [await fate, store.log.some((operations) => operations.includes('put'))];
        await kept.turns();
        return [...log, store.left];
        """
    ) == ["MessageNotStored", False, []]


async def test_a_store_that_is_slow_and_fails_gets_one_transaction_at_a_time_and_is_made_good(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const page = kept.page();
        let number = 7;
        store.fails = (operations) => {
          number = (number * 48271) % 2147483647;
          const isInsert = operations.some(({type, row}) => type === 'put' && !row.mayHaveArrived);
          return number % 3 === 0 && !isInsert ? new Error('now and then') : null;
        };
        store.holds = true;
        const fates = [];
        const loop = (async () => {
          for (let id = 0; id < 60; id += 1) {
            fates.push(nameOf(page.client.send({id})).then((fate) => [id, fate]));
            await turn();
            if (id % 3 === 0) store.release(1);
          }
        })();
        const connecting = page.client.connect();
        for (let each = 0; each < 400; each += 1) {
          await turn();
          if (each % 2) store.release(1);
          if (page.sockets[0]?.readyState === 0) page.sockets[0].open();
          page.clock.advance(0.1);
          const socket = page.sockets[0];
          if (socket && each % 5 === 0) for (const id of page.ids(0)) socket.receive({ack: id});
        }
        store.fails = () => null;
        store.holds = false;
        store.release();
        await loop;
        await page.pass(10);
        for (const id of page.ids(0)) page.sockets[0].receive({ack: id});
        await page.pass(5);
        const accepted = (await Promise.all(fates)).filter(([, fate]) => fate === 'done').map(([id]) => id);
        const ids = page.ids(0);
        const isAll = JSON.stringify(ids) === JSON.stringify(accepted);
        return [store.mostAtOnce, accepted.length > 20, isAll, store.left, page.client.status.outbox];
        """
    ) == [1, True, True, [], 0]


async def test_a_message_is_not_sent_before_the_store_says_that_it_may_have_been(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const page = kept.page();
        await page.client.send({id: 1});
        store.fails = (operations) => (operations.some(({row}) => row?.mayHaveArrived) ? new Error('no mark') : null);
        await kept.open(page);
        await page.pass(5);
        const before = [page.ids(0), page.errors.map(({name}) => name)];
        store.fails = () => null;
        await page.pass(2);
        return [before, page.ids(0), store.left];
        """
    ) == [[[], ["MessageNotStored"]], [1], [[1, True]]]


async def test_a_mark_is_taken_back_where_the_connection_was_lost_before_the_message_was_sent(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const first = kept.page();
        await kept.open(first);
        store.holds = true;
        const sending = first.client.send({id: 1}); // stored with a mark, as there is a connection
        await kept.turns(2);
        first.sockets[0].closed();
        store.holds = false;
        store.release();
        await sending;
        await kept.turns();
        const left = store.left;
        store.crash();
        const second = kept.page();
        await kept.open(second);
        return [left, second.ids(0), second.errors.length];
        """
    ) == [[[1, False]], [1], 0]


async def test_a_deletion_that_fails_is_reported_once_and_made_good(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const page = kept.page();
        await kept.open(page);
        store.fails = (operations) => (operations.some(({type}) => type === 'delete') ? new Error('the disk') : null);
        await page.client.send({id: 1});
        page.sockets[0].receive({ack: 1});
        await page.pass(5);
        const before = store.left.length;
        store.fails = () => null;
        await page.pass(1);
        return [before, store.left, page.errors.map(({name}) => name), page.clock.size];
        """
    ) == [1, [], ["MessageNotStored"], 0]


@pytest.mark.parametrize("call", ["connect", "connectNowait", "reconnect", "send", "sendNowait"])
async def test_an_outbox_in_use_is_refused_by_each_first_call_and_can_be_used_later(
    outbox_page: NodePage, call: str
) -> None:
    dials = call == "connectNowait"  # this one does not wait for the store
    assert await outbox_page.run(
        """
        const [first, second] = [kept.page(), kept.page()];
        await first.client.send({id: 1});
        const given = data.startsWith('send') ? [{id: 2}] : [];
        const outcome = await nameOf(second.client[data](...given));
        await kept.turns();
        const states = [outcome, second.sockets.length, second.errors.map(({name}) => name)];
        await first.client.close();
        if (data === 'connectNowait') { second.sockets[0].open(); await second.client.send({id: 2}); }
        else await kept.open(second);
        await kept.turns();
        return [...states, second.ids(0)[0]];
        """,
        call,
    ) == ["opened" if dials else "OutboxInUse", int(dials), ["OutboxInUse"] if dials else [], 1]


@pytest.mark.parametrize(
    "change",
    [
        "{data: 5}",
        "{messageId: 1.5}",
        "{messageId: 2}",
        "{expiresAt: 'soon'}",
        "{mayHaveArrived: 1}",
        "{resend: undefined}",
        "{number: -1}",
        "{number: 2}",
    ],
)
async def test_rows_that_another_program_has_changed_are_refused_and_left_alone(
    outbox_page: NodePage, change: str
) -> None:
    assert await outbox_page.run(
        """
        const first = kept.page();
        for (const id of [1, 2]) await first.client.send({id});
        kept.store.crash();
        Object.assign(kept.store.rows.get(1), eval(`(${data})`));
        const before = JSON.stringify([...kept.store.rows]);
        const second = kept.page();
        const sending = second.client.sendNowait({id: 3});
        const error = await second.client.connect().catch((failure) => failure);
        const names = /is damaged.*nothing was changed; delete its database/.test(error.message);
        return [error.name, names, await nameOf(sending),
                JSON.stringify([...kept.store.rows]) === before, kept.store.isInUse, second.sockets.length];
        """,
        change,
    ) == ["OutboxUnusable", True, "OutboxUnusable", True, False, 0]


async def test_what_was_accepted_is_sent_by_this_page_though_the_browser_deletes_the_store(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const page = kept.page();
        for (const id of [1, 2]) await page.client.send({id});
        store.fails = () => new DOMException('closed', 'InvalidStateError');
        store.rows.clear();
        store.lose('the browser has closed its database');
        await kept.open(page);
        const refused = await nameOf(page.client.send({id: 3}));
        const text = 'is lost: the browser has closed its database';
        const told = page.errors.map(({name, message}) => [name, message.includes(text)]);
        return [page.ids(0), refused, told, page.client.status.outbox];
        """
    ) == [[1, 2], "MessageNotStored", [["OutboxUnusable", True]], 2]


async def test_where_there_is_no_indexed_db_the_error_names_the_remedy(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {client, sockets} = make({outbox: new one.DurableOutbox('orders')});
        const error = await client.connect().catch((failure) => failure);
        const remedy = 'this JavaScript has no IndexedDB; give new DurableOutbox(name, { store }) a store';
        return [error.name, error.message.endsWith(remedy), sockets.length];
        """
    ) == ["OutboxUnusable", True, 0]


async def test_bytes_of_memory_that_threads_share_are_copied_as_no_database_takes_them(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {client} = make({outbox: new one.DurableOutbox('bytes', {store: kept.store}), protocol: new one.Raw()});
        const bytes = new Uint8Array(new SharedArrayBuffer(4));
        bytes.set([1, 2, 3, 4]);
        await client.send(bytes.subarray(1, 3));
        const [{data: stored}] = kept.store.rows.values();
        return [stored instanceof ArrayBuffer, stored];
        """
    ) == [True, {"bytes": [2, 3]}]


async def test_bytes_are_stored_as_they_were_when_they_were_sent(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const outbox = new one.DurableOutbox('bytes', {store: kept.store, age: Infinity});
        const {client, sockets} = make({outbox, protocol: new one.Raw()});
        const bytes = new Uint8Array([1, 2, 3, 4]);
        const sending = [client.send(bytes.subarray(1, 3)), client.send(bytes.buffer), client.send('text')];
        bytes.fill(0);
        await Promise.all(sending);
        const rows = [...kept.store.rows.values()];
        kept.store.crash();
        const late = make({outbox, protocol: new one.Raw()});
        await kept.open(late);
        await late.pass(1);
        return [rows.map(({data}) => data), rows[0].expiresAt, late.sockets[0].sent, late.clock.size];
        """
    ) == [
        [{"bytes": [2, 3]}, {"bytes": [1, 2, 3, 4]}, "text"],
        None,
        [{"bytes": [2, 3]}, {"bytes": [1, 2, 3, 4]}, "text"],
        0,
    ]


@pytest.mark.parametrize("seed", range(4))
def test_random_lives_lose_nothing_in_silence_and_send_nothing_twice_without_resend(seed: int) -> None:
    assert json.loads(run_script("random_outbox.mjs", str(seed))) == {
        "lost": [],
        "twice": [],
        "outOfOrder": [],
        "mostAtOnce": 1,
        "refusals": ["MessageNotStored"],
        "hasTraffic": True,
    }


async def test_a_message_that_the_store_can_not_take_is_refused_without_the_others(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const {RowRefused} = await import(data);
        const page = kept.page();
        await kept.open(page);
        await page.client.send({id: 0});
        kept.store.fails = (operations) => {
          const large = operations.find(({type, row}) => type === 'put' && row.data.length > 100);
          return large ? new RowRefused(large.row.number, new DOMException('too large', 'UnknownError')) : null;
        };
        const fates = [1, 2, 3, 4].map((id) => page.client.send({id, pad: ' '.repeat(id % 2 ? 200 : 0)}));
        const toldOf = (fate) => fate.then(() => 'done', ({name, message}) => [name, message]);
        const told = await Promise.all(fates.map(toldOf));
        page.sockets[0].receive({ack: 0}, {ack: 2});
        await kept.turns();
        return [told, page.ids(0), kept.store.left, page.errors.length];
        """,
        (ROOT / "packages" / "onesocket-js" / "src" / "client" / "stored-errors.js").as_uri(),
    ) == [
        [
            ["MessageNotStored", 'the outbox "orders" can\'t be written: UnknownError: too large'],
            "done",
            ["MessageNotStored", 'the outbox "orders" can\'t be written: UnknownError: too large'],
            "done",
        ],
        [0, 2, 4],
        [[4, True]],
        0,
    ]


async def test_a_logger_that_fails_breaks_no_store_and_no_connection(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const said = [];
        console.error = (error) => { said.push(String(error)); throw new Error('as well'); };
        const results = [];
        for (const fail of [() => { throw new Error('logger'); }, async () => { throw new Error('logger'); }]) {
          const first = kept.page();
          await kept.open(first);
          await first.client.send({id: 1});
          kept.store.crash();
          const logger = {info: fail, warn: fail}; // no function error
          const second = kept.page({logger});
          await kept.open(second);
          second.sockets[0].closed(1006); // lost, and up again
          await second.again();
          await second.client.send({id: 2});
          results.push(second.sockets.map((_, at) => second.ids(at)), second.client.state);
          kept.store.crash();
          kept.store.rows.clear();
        }
        return [results, new Set(said).size, said.length > 3];
        """
    ) == [[[[], [2]], "connected", [[], [2]], "connected"], 1, True]


async def test_a_caller_can_not_say_that_a_message_was_sent_before(outbox_page: NodePage) -> None:
    """Only tabs say that an earlier owner of the connection may have a message."""
    assert await outbox_page.run(
        """
        const page = kept.page();
        const options = {isAgain: true};
        await page.client.send({id: 1}, options);
        return [await nameOf(page.client.send({id: 1}, options)),
                kept.thrown(() => page.client.sendNowait({id: 1}, options)), kept.store.left];
        """
    ) == ["DuplicateMessage", "DuplicateMessage", [[1, False]]]
