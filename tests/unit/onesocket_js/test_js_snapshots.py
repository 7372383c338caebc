"""Late readers of the JavaScript client, and of other tabs, begin with a snapshot, and have each message once."""

import pytest

from tests.support.node_page import NodePage

SET_UP = """
kept.read = (stream) => {
  const next = () => stream.next().then(({value}) => value.reason ?? `${value.k}${value.n}`);
  return Promise.all(Array.from({length: stream.size}, next));
};
kept.venue = (options, more) => {
  const snapshot = new one.LastValues({key: 'k'});
  return make({protocol: new one.Json({snapshot, ...options}), ...more});
};
"""


@pytest.fixture
async def page(page: NodePage) -> NodePage:
    """A page with the functions of `SET_UP` in `kept`."""
    await page.run(SET_UP)
    return page


async def test_late_readers_begin_with_the_newest_message_of_each_key(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, pass} = kept.venue({event: 'k'});
        await open();
        sockets[0].receive({k: 'a', n: 1}, {k: 'b', n: 2}, {k: 'a', n: 3}, {n: 'no key'});
        const late = [
          client.subscribe(), client.subscribe('b'), client.subscribe(null, {where: ({n}) => n > 2}),
        ];
        const called = [];
        client.on(({k, n}) => called.push(k + n));
        sockets[0].receive({k: 'b', n: 4});
        const first = await Promise.all(late.map(kept.read));
        sockets[0].closed();
        await pass(1);
        sockets[1].open();
        sockets[1].receive({k: 'a', n: 5}, '?');
        return [first, called, await kept.read(client.subscribe())];
        """
    ) == [
        [["b2", "a3", "b4"], ["b2", "b4"], ["a3", "b4"]],
        ["b2", "a3", "b4", "a5"],
        ["a5", "undecodable"],
    ]


async def test_the_end_of_a_subscription_forgets_its_key(page: NodePage) -> None:
    assert await page.run(
        """
        const subscriptions = new one.Subscriptions({
          subscribe: (keys) => ({op: '+', keys}), unsubscribe: (keys) => ({op: '-', keys}), key: ({k}) => k,
        });
        const {client, sockets, open} = kept.venue({subscriptions, snapshot: new one.LastValues({limit: 2})});
        await open();
        const [a, b] = ['a', 'b'].map((key) => client.subscribe(null, {keys: key}));
        sockets[0].receive({k: 'a', n: 1}, {k: 'b', n: 2});
        a.close();
        sockets[0].receive({k: 'a', n: 'late'});
        const late = [client.subscribe(), client.subscribe(null, {keys: ['b', 'c']})];
        const [first, second] = await Promise.all(late.map(kept.read));
        client.subscribe(null, {keys: 'a'});
        sockets[0].receive({k: 'a', n: 3}, {k: 'c', n: 4});
        return [first, second, await kept.read(client.subscribe())];
        """
    ) == [["b2"], ["b2"], ["a3", "c4"]]


async def test_functions_of_the_program_keep_a_snapshot_and_stop_nothing(page: NodePage) -> None:
    assert await page.run(
        """
        const told = [];
        const snapshot = new one.SnapshotHook({
          messages: () => {
            if (told.length > 2) throw new TypeError('messages');
            return [{k: 'book', n: told.length}];
          },
          update: ({n}) => { told.push(n); if (n === 'bad') throw new RangeError('update'); },
          reset: () => told.push('reset'),
        });
        const {client, sockets, open, pass, errors} = kept.venue({snapshot});
        await open();
        sockets[0].receive({k: 'a', n: 1}, {k: 'a', n: 'bad'});
        const first = await kept.read(client.subscribe());
        sockets[0].closed();
        await pass(1);
        sockets[1].open();
        const second = await kept.read(client.subscribe());
        return [told, first, second, errors.map(({message}) => message)];
        """
    ) == [[1, "bad", "reset"], ["book2"], [], ["update", "messages"]]


async def test_readers_in_other_tabs_begin_with_the_snapshot_too(page: NodePage) -> None:
    assert await page.run(
        """
        let made;
        globalThis.makeShared = (token) => {
          made = kept.venue({tokenPlace: new one.TokenQuery(), event: 'k'}, {token});
          return made.client;
        };
        const module = 'data:text/javascript,export default (token) => globalThis.makeShared(token);';
        const join = () => one.join(module, {worker: null});
        const until = async (isSo) => { while (!isSo()) await turn(); };
        const tab = join();
        const connecting = tab.connect();
        await until(() => made?.sockets[0]);
        made.sockets[0].open();
        await connecting;
        const all = tab.subscribe();
        made.sockets[0].receive({k: 'a', n: 1}, {k: 'b', n: 2}, {k: 'a', n: 3});
        const other = join();
        const first = other.subscribe();
        await until(() => first.size === 2);
        const [second, ofEvent, gone] = [other.subscribe(), other.subscribe('b'), other.subscribe()];
        gone.close();
        await until(() => second.size === 2 && ofEvent.size === 1);
        made.sockets[0].receive({k: 'b', n: 4});
        await until(() => first.size === 3 && second.size === 3 && ofEvent.size === 2 && all.size === 4);
        return [await Promise.all([all, first, second, ofEvent].map(kept.read)), other.status.subscribers];
        """
    ) == [[["a1", "b2", "a3", "b4"], ["b2", "a3", "b4"], ["b2", "a3", "b4"], ["b2", "b4"]], 3]


async def test_a_snapshot_that_cannot_be_is_refused(page: NodePage) -> None:
    assert (
        await page.run(
            """
        const name = (call) => { try { call(); return 'nothing'; } catch (error) { return error.name; } };
        return [
          () => new one.LastValues({key: ''}), () => new one.LastValues({limit: 0}), () => new one.SnapshotHook({}),
          () => new one.Json({snapshot: new one.LastValues()}), () => new one.Json({snapshot: {}}),
        ].map(name);
        """
        )
        == ["InvalidOption"] * 5
    )
