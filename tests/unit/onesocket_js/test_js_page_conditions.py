"""The JavaScript client in a hidden or frozen page, with a network that comes and goes, and minified."""

import pytest

from tests.support.node_page import NodePage

THROTTLED = """
/** Timers as those of a hidden tab: each fires at the next whole second, or minute. */
const throttled = (clock, every) => (seconds, call) => {
  const at = Math.ceil((clock.now() + seconds) / every) * every;
  return clock.setTimer(at + 0.4 - clock.now(), call);
};
"""


@pytest.mark.parametrize(("every", "most"), [(1, 33), (60, 180)])
async def test_a_dead_connection_is_noticed_in_a_hidden_tab(page: NodePage, every: int, most: int) -> None:
    code = """
        const heartbeat = new one.Heartbeat({message: {ping: 1}, interval: 20, timeout: 10, answer: ({pong}) => pong});
        const clock = new Clock();
        const [every, most] = data;
        const platform = {now: clock.now, setTimer: throttled(clock, every), random: () => 0};
        const {client, sockets, open} = make({protocol: new one.Json({heartbeat}), platform});
        await open();
        const socket = sockets[0];
        let answered = 0;
        for (let passed = 0; passed < 5 * every + 100; passed += 0.5) {
          clock.advance(0.5);
          await turn();
          if (socket.sent.length > answered) { socket.receive({pong: 1}); answered = socket.sent.length; }
        }
        const before = [client.state, answered > 1];
        let passed = 0;
        while (socket.closes.length === 0 && passed < 1000) { passed += 0.5; clock.advance(0.5); await turn(); }
        return [before, passed <= most ? client.status.lastError.name : passed];
        """
    assert await page.run(THROTTLED + code, [every, most]) == [["connected", True], "PingTimeout"]


async def test_a_dead_gateway_is_noticed_in_a_hidden_tab(page: NodePage) -> None:
    code = """
        const clock = new Clock();
        const platform = {now: clock.now, setTimer: throttled(clock, 60), random: () => 0};
        const {client, sockets} = make({protocol: new one.Discord({intents: 0}), token: 't', platform});
        const connecting = client.connect();
        await turn();
        sockets[0].open();
        sockets[0].receive({op: 10, d: {heartbeat_interval: 41250}});
        const ready = {session_id: 's', resume_gateway_url: 'ws://host/'};
        sockets[0].receive({op: 0, s: 1, t: 'READY', d: ready});
        await connecting;
        let passed = 0;
        while (sockets[0].closes.length === 0 && passed < 1000) { passed += 0.5; clock.advance(0.5); await turn(); }
        return passed <= 240;
        """
    assert await page.run(THROTTLED + code) is True


@pytest.mark.parametrize("hears", [True, False])
async def test_a_page_that_was_frozen_reads_first_what_has_come_meanwhile(page: NodePage, *, hears: bool) -> None:
    assert await page.run(
        """
        const clock = new Clock();
        let frozen = 3600;
        const setTimer = (seconds, call) => clock.setTimer(seconds + frozen, call);
        const platform = {now: clock.now, setTimer, random: () => 0};
        const {sockets, open} = make({silenceTimeout: 10, platform});
        await open();
        frozen = 0;
        clock.advance(3610);
        const woken = sockets[0].closes.length;
        if (data) sockets[0].receive('a message of that hour');
        clock.advance(5);
        return [woken, sockets[0].closes.length];
        """,
        hears,
    ) == [0, 0 if hears else 1]


async def test_silence_is_that_of_the_messages_that_are_named(page: NodePage) -> None:
    assert await page.run(
        """
        const silenceOf = ({type}) => { if (type === 'bad') throw new TypeError('bad'); return type === 'trade'; };
        const {client, sockets, errors, open, pass} = make({silenceTimeout: 10, silenceOf, protocol: new one.Json()});
        await open();
        const say = async (type, seconds) => {
          for (let passed = 0; passed < seconds; passed += 1) {
            sockets[0].receive({type});
            await pass(1);
          }
          return sockets[0].closes.length;
        };
        const counts = [await say('trade', 30), await say('status', 9), await say('trade', 1), await say('bad', 30)];
        const names = [{silenceOf}, {silenceOf: 5, silenceTimeout: 1}].map((options) => {
          try { make(options); } catch (error) { return error.name; }
        });
        return [counts, client.status.lastLoss.message, errors.length, names];
        """
    ) == [
        [0, 0, 0, 1],
        "no message that silenceOf names came for 10 s: the connection is open, but silent",
        1,
        ["InvalidOption", "InvalidOption"],
    ]


NETWORK = """
const listeners = new Set();
const clock = new Clock();
const onOnline = (call) => { listeners.add(call); return () => listeners.delete(call); };
const platform = {now: clock.now, setTimer: clock.setTimer, random: () => 0, onOnline};
const online = async () => { for (const call of [...listeners]) call(); await turn(); };
const {client, sockets, open} = make({platform});
"""


async def test_a_network_that_is_back_ends_the_back_off(page: NodePage) -> None:
    code = """
        await online(); // before the first call: nothing is begun
        await open();
        await online();
        const up = [sockets.length, listeners.size];
        sockets[0].closed();
        for (let failed = 0; failed < 12; failed += 1) {
          clock.advance(client.status.retryIn);
          await turn();
          sockets.at(-1).closed();
        }
        const count = sockets.length;
        const waited = client.status.retryIn > 1;
        await online();
        const dialled = [client.state, sockets.length - count, listeners.size];
        sockets.at(-1).closed(); // a failure of this attempt is one of the outage, and is followed by the next
        const after = client.state;
        await online();
        sockets.at(-1).open();
        const {opened} = client.stats;
        return [up, waited, dialled, after, client.state, listeners.size, opened];
        """
    assert await page.run(NETWORK + code) == [[1, 0], True, ["connecting", 1, 0], "backing off", "connected", 0, 1]


@pytest.mark.parametrize(("code", "reason"), [(1013, "try again later"), (1008, "too many connections"), (1012, "")])
async def test_a_network_that_is_back_ends_no_wait_that_the_server_asks_for(
    page: NodePage, code: int, reason: str
) -> None:
    script = """
        await open();
        sockets[0].closed(...data);
        const steps = [];
        for (let failed = 0; client.state === 'backing off' && client.status.retryIn === 0 && failed < 4; failed += 1) {
          clock.advance(0);
          await turn();
          sockets.at(-1).open();
          sockets.at(-1).closed(...data);
        }
        const [state, count] = [client.state, sockets.length];
        await online();
        return [state, client.state, sockets.length - count];
        """
    assert await page.run(NETWORK + script, [code, reason]) == ["backing off", "backing off", 0]


async def test_errors_keep_their_names_where_a_bundler_shortens_those_of_classes(page: NodePage) -> None:
    assert await page.run(
        """
        const kinds = Object.entries(one).filter(([, each]) => each.prototype instanceof Error);
        for (const [, kind] of kinds) Object.defineProperty(kind, 'name', {value: 't'});
        class OfTheProgram extends one.ServerBusy {}
        const wrong = kinds.filter(([name, kind]) => new kind('text').name !== name).map(([name]) => name);
        return [wrong, kinds.length > 30, new OfTheProgram('text').name, String(new one.InvalidURL('text'))];
        """
    ) == [[], True, "OfTheProgram", "InvalidURL: text"]
