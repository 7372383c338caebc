"""Subscriptions by key of the JavaScript client: the server has each wanted key once, after every change and loss."""

from typing import Any

import pytest

from tests.support.node_page import NodePage

SET_UP = """
kept.venue = (options, {requests = null, ...rest} = {}) => {
  const subscriptions = new one.Subscriptions({
    subscribe: (keys) => ({op: '+', keys}), unsubscribe: (keys) => ({op: '-', keys}), key: ({k}) => k, ...options,
  });
  const made = make({protocol: new one.Json({subscriptions, requests}), ...rest});
  /** What a server has been asked for since the last call, on its newest socket. */
  made.asked = () => made.sockets.at(-1).sent.splice(0).map((text) => JSON.parse(text));
  made.short = () => made.asked().map(({op, keys}) => op + keys.join());
  return made;
};
kept.read = async (stream, count) => {
  const items = [];
  for (let each = 0; each < count; each += 1) {
    items.push(await stateOf(stream.next().then(({value, done}) => (done ? 'end' : value.k ?? value.reason))));
  }
  return items;
};
"""


@pytest.fixture
async def page(page: NodePage) -> NodePage:
    """A page with the functions of `SET_UP` in `kept`."""
    await page.run(SET_UP)
    return page


async def test_only_differences_are_sent_and_all_of_them_to_a_new_connection(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, short, open, pass} = kept.venue();
        const [first, second] = [['a', 'b'], ['b', 'c']].map((keys) => client.subscribe(null, {keys}));
        const called = [];
        const off = client.on(({k}) => called.push(k), {keys: 'c'});
        client.sendNowait({op: 'm', keys: []});
        await open();
        const steps = [short()];
        const step = async (change) => { change(); await turn(); steps.push(short()); };
        await step(() => second.close());
        await step(() => client.subscribe(null, {keys: ['x']}).close()); // it costs nothing
        sockets[0].receive({k: 'a'}, {k: 'c'}, {k: 'z'}, {n: 1});
        const items = await kept.read(first, 2);
        sockets[0].closed();
        await pass(1);
        sockets[1].open();
        await turn();
        steps.push(short());
        await step(off);
        return [steps, items, called];
        """
    ) == [[["+a,b,c", "m"], [], [], ["+a,b,c"], ["-c"]], ["a", "pending"], ["c"]]


async def test_refused_keys_are_told_to_their_readers_alone(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, short, open, errors, pass} = kept.venue({
          ack: (message) => (message.no ? new one.SubscriptionAnswer(message.no, {refused: 'unknown'})
            : message.yes ? new one.SubscriptionAnswer(message.yes) : null),
        });
        const [good, both] = [client.subscribe(null, {keys: ['a']}), client.subscribe(null, {keys: ['a', 'x']})];
        client.on(() => {}, {keys: ['x']});
        await open();
        sockets[0].receive({k: 'a'}, {no: ['x']}, {yes: ['a']});
        const refusal = await both.next().catch(({name, message, keys, reason}) => [name, message, keys, reason]);
        const items = [await kept.read(good, 2), await kept.read(both, 1)];
        short();
        sockets[0].closed();
        await pass(1);
        sockets[1].open();
        await turn();
        const again = short();
        client.subscribe(null, {keys: ['x']});
        await turn();
        return [refusal, items, errors.map(({name}) => name), again, short()];
        """
    ) == [
        ["SubscriptionRefused", "the key 'x' was refused (unknown)", ["x"], "unknown"],
        [["a", "pending"], ["a"]],
        ["SubscriptionRefused"],
        ["+a"],
        ["+x"],
    ]


async def test_one_refused_key_of_many_is_found(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, short, open} = kept.venue({
          ack: ({ok}) => ok !== undefined && [new one.SubscriptionAnswer(null, {refused: ok ? null : 'one is bad'})],
        });
        const stream = client.subscribe(null, {keys: ['a', 'b', 'bad', 'c']});
        await open();
        const asked = [];
        for (;;) {
          await turn();
          const messages = short();
          if (messages.length === 0) break;
          for (const message of messages) {
            asked.push(message);
            sockets[0].receive({ok: !message.includes('bad')});
          }
        }
        return [asked, await stream.next().catch(({keys}) => keys)];
        """
    ) == [["+a,b,bad,c", "+a,b", "+bad,c", "+bad", "+c"], ["bad"]]


async def test_the_limits_of_a_service_are_kept(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, clock, short, open, pass} = kept.venue({batch: 2, limit: 5, pace: new one.Pace(2, {per: 10})});
        const stream = client.subscribe(null, {keys: [1, 2, 3, 4, 5, 6]});
        const refused = await stream.next().catch(({keys, retryable}) => [keys, retryable]);
        await open();
        client.sendNowait({op: 'm', keys: []});
        const first = short();
        await pass(10);
        const second = short();
        stream.close();
        client.subscribe(null, {keys: [7]});
        await turn();
        const third = short();
        await pass(10);
        return [refused, first, second, third, short()];
        """
    ) == [[[6], True], ["+1,2", "+3,4", "m"], ["+5"], ["-1,2"], ["-3,4", "-5"]]


async def test_subscriptions_that_are_requests_share_ids_and_show_no_answers(page: NodePage) -> None:
    assert await page.run(
        """
        const requests = new one.Requests({
          refused: ({error}) => error, stop: ({id}) => ({op: 'stop', keys: [], subscription: id}),
        });
        const {client, sockets, asked, open, seen} = kept.venue({requests: true, unsubscribe: null}, {requests});
        const [good, bad] = [client.subscribe(null, {keys: ['a']}), client.subscribe(null, {keys: ['x']})];
        await open();
        const subscribed = asked();
        sockets[0].receive({id: 1}, {id: 2, error: 'unknown'}, {k: 'a'});
        const refusal = await bad.next().catch(({reason}) => reason);
        const items = await kept.read(good, 1);
        good.close();
        await turn();
        const stopped = asked();
        sockets[0].receive({id: 3});
        return [subscribed, refusal, items, stopped, seen];
        """
    ) == [
        [{"op": "+", "keys": ["a"], "id": 1}, {"op": "+", "keys": ["x"], "id": 2}],
        "unknown",
        ["a"],
        [{"op": "stop", "keys": [], "subscription": 1, "id": 3}],
        [{"k": "a"}],
    ]


async def test_a_wildcard_has_the_messages_of_all_its_keys(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open} = kept.venue({wildcard: (key) => `${key.split('.')[0]}.*`});
        const [all, single] = [['bars.*', 'bars.a'], ['bars.a']].map((keys) => client.subscribe(null, {keys}));
        await open();
        sockets[0].receive({k: 'bars.a'}, {k: 'bars.b'}, {k: 'news.a'});
        return [await kept.read(all, 3), await kept.read(single, 2)];
        """
    ) == [["bars.a", "bars.b", "pending"], ["bars.a", "pending"]]


async def test_what_cannot_work_is_refused(page: NodePage) -> None:
    assert (
        await page.run(
            """
        const name = (call) => { try { call(); return 'nothing'; } catch (error) { return error.name; } };
        const {client} = make();
        const of = (options) => () => new one.Subscriptions({subscribe: () => {}, unsubscribe: () => {}, ...options});
        return [
          () => client.subscribe(null, {keys: ['a']}),
          () => kept.venue({key: null}).client.subscribe(null, {keys: ['a']}),
          () => kept.venue().client.subscribe(null, {keys: 1}), of({batch: 0}), of({key: 'k'}), of({keys: 1}),
          () => new one.Json({subscriptions: of({requests: true})()}), () => new one.Json({subscriptions: {}}),
        ].map(name);
        """
        )
        == ["InvalidOption"] * 8
    )


async def test_a_key_that_cannot_be_expressed_keeps_no_other(page: NodePage) -> None:
    result: list[Any] = await page.run(
        """
        const subscribe = (keys) => {
          if (keys.includes('bad')) throw new RangeError('bad');
          return {op: '+', keys};
        };
        const {client, short, open, errors} = kept.venue({subscribe});
        const stream = client.subscribe(null, {keys: ['a', 'bad', 'b']});
        await open();
        return [short(), await stream.next().catch(({keys}) => keys), errors.map(({name}) => name)];
        """
    )
    assert result == [["+a", "+b"], ["bad"], ["RangeError"]]


async def test_a_reader_that_falls_behind_gives_up_its_keys(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, short, open} = kept.venue();
        client.subscribe(null, {keys: ['a'], limit: 1});
        await open();
        sockets[0].receive({k: 'a'}, {k: 'a'});
        await turn();
        return [short(), client.status.subscribers];
        """
    ) == [["+a", "-a"], 1]
