"""Messages that waited go to the first reader of each kind in the JavaScript client, and to no other."""

import pytest

from tests.support.node_page import NodePage

READ = """
/** A client without readers, and `read(...)`, which returns what a new callback gets at once. */
const bare = () => {
  const made = [];
  class WebSocket { constructor() { made.push(this); this.bufferedAmount = 0; } send() {} close() {} }
  const protocol = new one.Json({event: 'type', ...data});
  const client = new one.Client('ws://host/', {logger: null, WebSocket, protocol});
  const say = (...all) => { for (const each of all) made[0].onmessage({data: JSON.stringify(each)}); };
  const read = (...parameters) => {
    const seen = [];
    const options = typeof parameters.at(-1) === 'object' ? parameters.pop() : {};
    client.on(...parameters, (item) => seen.push(item.reason ?? item.n), {gaps: true, ...options});
    return seen;
  };
  const open = async () => {
    const connecting = client.connect();
    await turn();
    made[0].readyState = 1;
    made[0].onopen({});
    return connecting;
  };
  return {client, say, read, open};
};
"""


async def test_only_the_first_reader_of_an_event_gets_what_waited(page: NodePage) -> None:
    assert await page.run(
        READ
        + """
        const {say, read, open} = bare();
        await open();
        say({type: 'note', n: 1}, {type: 'news', n: 2});
        const first = read('note');
        say({type: 'note', n: 3});
        const second = read('note');
        const news = read('news');
        const selecting = read('note', {where: ({n}) => n > 1});
        const odd = read({where: ({n}) => n % 2 === 1});
        const oddToo = read({where: ({n}) => n % 2 === 1});
        say({type: 'note', n: 5});
        const all = read();
        const late = read();
        say({type: 'note', n: 7});
        return {first, second, news, selecting, odd, oddToo, all, late};
        """
    ) == {
        "first": [1, 3, 5, 7],
        "second": [5, 7],
        "news": [2],
        "selecting": [5, 7],
        "odd": [1, 3, 5, 7],
        "oddToo": [5, 7],
        "all": [1, 2, 3, 5, 7],
        "late": [7],
    }


async def test_what_is_read_by_event_alone_is_not_kept_for_ever(page: NodePage) -> None:
    assert await page.run(
        READ
        + """
        const {say, read, open, client} = bare();
        await open();
        read('note');
        for (let n = 0; n < 3000; n += 1) say({type: 'note', n});
        const later = read('news');
        say({type: 'news', n: -1});
        const seen = [];
        client.on((item) => seen.push(item.missed ?? item.n), {gaps: true});
        return [later, seen, client.stats.overflows];
        """
    ) == [[-1], [3001], 0]


@pytest.mark.parametrize("size", [4, 5_000_000])
async def test_what_waits_is_bounded_by_number_and_size(page: NodePage, size: int) -> None:
    assert await page.run(
        READ
        + """
        const size = data;
        data = {};
        const {say, read, open, client} = bare();
        await open();
        const text = 'x'.repeat(size);
        for (let n = 0; n < (size > 1000 ? 3 : 1030); n += 1) say({type: 'note', n, text});
        const seen = [];
        client.on((item) => seen.push(item.missed ?? item.n), {gaps: true});
        return [seen[0], seen.length];
        """,
        size,
    ) == ([2, 2] if size > 1000 else [6, 1025])


async def test_a_reader_that_comes_later_begins_with_the_snapshot(page: NodePage) -> None:
    assert await page.run(
        READ.replace("...data", "snapshot: new one.LastValues({key: 'k'})")
        + """
        const {say, read, open} = bare();
        await open();
        say({type: 'note', k: 'a', n: 1}, {type: 'note', k: 'a', n: 2});
        const first = read('note');
        const second = read('note');
        for (let n = 0; n < 2000; n += 1) say({type: 'note', k: 'a', n});
        const other = read('news');
        return [first.slice(0, 2), second.slice(0, 2), other, read('note'), read()];
        """
    ) == [[1, 2], [2, 0], [], [1999], [1999]]
