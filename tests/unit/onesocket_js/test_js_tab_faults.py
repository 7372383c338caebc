"""Tabs of one origin against each other, in Node.js, which has Web Locks and broadcast channels as browsers have."""

import pytest

from tests.support.node_page import NodePage
from tests.support.terminals import ROOT

OWNER = ROOT / "packages" / "onesocket-js" / "src" / "tabs" / "owner.js"

SET_UP = """
kept.sockets = [];
kept.clients = [];
globalThis.makeShared = (token) => {
  const made = make({token, protocol: new one.Json({tokenPlace: new one.TokenQuery()}), ...kept.options});
  kept.made = made;
  kept.sockets = made.sockets;
  kept.clients.push(made.client);
  return made.client;
};
kept.module = 'data:text/javascript,export default (token) => globalThis.makeShared(token);';
kept.clock = new Clock();
kept.platform = {now: kept.clock.now, setTimer: kept.clock.setTimer};
kept.join = (options) => one.join(kept.module, {worker: null, platform: kept.platform, ...options});
kept.until = async (isSo) => { while (!isSo()) await turn(); };
kept.open = async (tab) => {
  const outcome = nameOf(tab.connect());
  await kept.until(() => kept.sockets.at(-1)?.readyState === 0);
  kept.sockets.at(-1).open();
  return outcome;
};
/** Lets the owner be the test, which leads as long as this page lives. */
kept.lead = async (about, lost = []) => {
  await new Promise((resolve) => navigator.locks.request(`onesocket owner ${kept.module}`, () => {
    resolve();
    return new Promise(() => {});
  }));
  const channel = kept.channel = new BroadcastChannel(`onesocket ${kept.module}`);
  const post = (message) => channel.postMessage({to: '*', owner: 'test', ...message});
  kept.asked = [];
  channel.onmessage = ({data}) => {
    kept.asked.push(data.type);
    if (lost.includes(data.type)) return lost.splice(lost.indexOf(data.type), 1);
    if (data.type === 'who') post({type: 'owner', version: 1, ...about});
    if (data.type === 'join') post({type: 'welcome', status: {state: 'connected', epoch: 1}});
    if (data.type === 'alive' && kept.isAlive) post({type: 'alive'});
  };
};
"""


@pytest.fixture
async def page(page: NodePage) -> NodePage:
    """A page with the functions of `SET_UP` in `kept`."""
    await page.run(SET_UP)
    return page


async def test_a_tab_that_leaves_at_once_leaves_nothing_behind(page: NodePage) -> None:
    assert await page.run(
        """
        const gone = kept.join();
        await gone.close();
        const leading = kept.join();
        const closing = leading.close();
        const second = kept.join();
        const outcome = await kept.open(second);
        await closing;
        kept.closing = second.close();
        kept.sockets[0].closed(1000);
        await kept.closing;
        await turn();
        const {held} = await navigator.locks.query();
        return [outcome, kept.clients.length, held.map(({name}) => name), await nameOf(gone.connect())];
        """
    ) == ["opened", 1, [], "ClientClosed"]


async def test_what_cannot_be_cloned_is_refused_and_stops_no_other_call(page: NodePage) -> None:
    assert await page.run(
        """
        const tab = kept.join();
        const early = [nameOf(tab.send(() => {})), nameOf(tab.send({n: 1}))]; // there is no owner yet
        await kept.open(tab);
        const late = nameOf(tab.send({f: () => {}}));
        await kept.clients[0].waitFor('connected');
        await kept.until(() => kept.sockets[0].sent.length > 0);
        await turn();
        kept.clock.advance(1);
        return [await early[0], await late, kept.sockets[0].sent];
        """
    ) == ["EncodeError", "EncodeError", ['{"n":1}']]


async def test_a_tab_that_is_refused_is_refused_again_and_does_not_hang(page: NodePage) -> None:
    assert await page.run(
        """
        const first = kept.join({key: 'feed'});
        await kept.open(first);
        const options = {worker: null, key: 'feed', platform: kept.platform};
        const other = one.join('data:text/javascript,export default 1', options);
        return [await nameOf(other.connect()), await nameOf(other.connect()), await nameOf(other.send(1))];
        """
    ) == ["OptionConflict", "OptionConflict", "OptionConflict"]


async def test_a_lock_that_another_script_holds_is_told_in_bounded_time(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.lead();
        kept.channel.close(); // as a leader of another version: nothing is understood
        const tab = kept.join();
        const calls = [tab.connect(), tab.disconnect(), tab.request({}, {timeout: 7})].map(nameOf);
        const {pending} = await navigator.locks.query();
        kept.clock.advance(29);
        const before = await Promise.all(calls.map(stateOf));
        kept.clock.advance(1);
        return [before, await Promise.all(calls)];
        """
    ) == [["pending", "pending", "RequestTimeout"], ["OwnerSilent", "OwnerSilent", "RequestTimeout"]]


@pytest.mark.parametrize("is_alive", [False, True])
async def test_an_owner_that_is_frozen_is_told_from_one_that_works_on(page: NodePage, *, is_alive: bool) -> None:
    assert await page.run(
        """
        kept.isAlive = data;
        await kept.lead();
        const tab = kept.join();
        const calls = [tab.connect(), tab.send({n: 1})].map(nameOf);
        await kept.until(() => kept.asked.filter((type) => type === 'call').length === 2);
        for (let looks = 1; looks <= 4; looks += 1) {
          kept.clock.advance(5);
          if (kept.isAlive) await kept.until(() => kept.asked.filter((type) => type === 'alive').length === looks);
          for (let turns = 0; turns < 10; turns += 1) await turn();
        }
        const answers = await Promise.all(calls.map(stateOf));
        kept.clock.advance(300);
        return [answers, await Promise.all(calls.map(stateOf))];
        """,
        is_alive,
    ) == (
        [["pending", "pending"], ["OwnerSilent", "DeliveryUnknown"]]
        if is_alive
        else [["OwnerSilent", "pending"], ["OwnerSilent", "DeliveryUnknown"]]
    )


async def test_a_message_that_an_earlier_owner_had_is_not_said_to_be_unsent(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.lead();
        const send = async () => {
          const tab = kept.join();
          const fate = nameOf(tab.sendNowait({n: 1}, {resend: true}));
          const calls = kept.asked.filter((type) => type === 'call').length;
          await kept.until(() => kept.asked.filter((type) => type === 'call').length > calls);
          return [tab, fate];
        };
        const [, fate] = await send();
        const [leaving, left] = await send();
        kept.clock.advance(299); // it waits in the owner's outbox
        kept.channel.postMessage({to: '*', type: 'lost'});
        for (let turns = 0; turns < 20; turns += 1) await turn();
        kept.channel.close();
        await leaving.close();
        const states = [await left];
        for (const seconds of [290, 15]) {
          kept.clock.advance(seconds);
          states.push(await stateOf(fate));
        }
        return states;
        """
    ) == ["DeliveryUnknown", "pending", "DeliveryUnknown"]


async def test_a_message_that_has_waited_for_long_is_not_given_up_by_a_short_silence(page: NodePage) -> None:
    assert await page.run(
        """
        kept.isAlive = true;
        await kept.lead();
        const fate = nameOf(kept.join().sendNowait({n: 1}));
        await kept.until(() => kept.asked.includes('call'));
        kept.clock.advance(295); // in a durable outbox it may wait for a day
        await kept.until(() => kept.asked.filter((type) => type === 'alive').length === 59);
        for (let turns = 0; turns < 10; turns += 1) await turn();
        kept.isAlive = false;
        const states = [];
        for (const seconds of [20, 275, 10]) {
          kept.clock.advance(seconds);
          states.push(await stateOf(fate));
        }
        return states;
        """
    ) == ["pending", "pending", "DeliveryUnknown"]


other_versions = pytest.mark.parametrize("version", [None, 0, 2], ids=["none", "older", "newer"])


@other_versions
async def test_tabs_of_another_version_of_the_client_are_told(page: NodePage, version: int | None) -> None:
    assert await page.run(
        """
        await kept.lead({version: data});
        const tab = kept.join();
        return [await nameOf(tab.connect()), await nameOf(tab.send({})), kept.asked];
        """,
        version,
    ) == ["VersionMismatch", "VersionMismatch", ["who"]]


@other_versions
async def test_a_member_of_another_version_is_refused(page: NodePage, version: int | None) -> None:
    assert (
        await page.run(
            """
        const tab = kept.join();
        await kept.open(tab);
        const channel = new BroadcastChannel(`onesocket ${kept.module}`);
        const owner = await new Promise((resolve) => {
          channel.onmessage = ({data}) => { if (data.type === 'owner') resolve(data.owner); };
          channel.postMessage({to: 'owner', type: 'who'});
        });
        const refused = await new Promise((resolve) => {
          channel.onmessage = ({data}) => { if (data.to === 'old') resolve(data.error.name); };
          channel.postMessage({to: 'owner', owner, type: 'join', member: 'old', module: kept.module, version: data});
        });
        channel.close();
        return refused;
        """,
            version,
        )
        == "VersionMismatch"
    )


async def test_a_channel_that_another_script_floods_harms_nothing(page: NodePage) -> None:
    assert await page.run(
        """
        const tabs = [kept.join(), kept.join()];
        const channel = new BroadcastChannel(`onesocket ${kept.module}`);
        const flood = () => {
          const junk = [null, 1, 'owner', [], {to: '*'}, {to: 'owner'}, {to: '*', type: 'item', owner: 'x'}];
          junk.push({to: 'owner', type: 'call', member: 'x', name: 'close'});
          for (const each of junk) channel.postMessage(each);
        };
        flood();
        const outcome = await kept.open(tabs[1]);
        flood();
        await turn();
        const note = tabs[0].subscribe().next();
        kept.sockets[0].receive({n: 1});
        return [outcome, (await note).value];
        """
    ) == ["opened", {"n": 1}]


async def test_a_tab_that_gives_no_token_keeps_no_other_from_giving_one(page: NodePage) -> None:
    assert await page.run(
        """
        const real = globalThis.setTimeout;
        globalThis.setTimeout = (call, delay, ...all) => real(call, delay === 2000 ? 0 : delay, ...all);
        const tabs = [() => 'a', () => { throw new TypeError('no token'); }, () => new Promise(() => {})].map(
          (token) => kept.join({token, onError: () => {}}),
        );
        for (const tab of tabs) await kept.until(() => tab.status.url !== '');
        const outcome = await kept.open(tabs[0]);
        return [outcome, kept.sockets[0].url];
        """
    ) == ["opened", "ws://host/?token=a"]


@pytest.mark.parametrize("fails", ["at once", "later"])
async def test_tabs_elect_a_leader_where_no_worker_can_be_started(page: NodePage, fails: str) -> None:
    assert await page.run(
        """
        globalThis.SharedWorker = class {
          port = {start() {}, postMessage() {}, close() {}};
          constructor() {
            if (data === 'at once') throw new DOMException('not here', 'SecurityError');
            setImmediate(() => this.onerror({}));
          }
        };
        const tab = kept.join({worker: undefined});
        const own = kept.join({worker: (name) => new SharedWorker(name)});
        return [await nameOf(own.connect()), await kept.open(tab)];
        """,
        fails,
    ) == ["ConnectFailed", "opened"]


async def test_a_tab_that_takes_over_in_an_outage_goes_on_with_its_back_off(page: NodePage) -> None:
    assert await page.run(
        """
        kept.options = {reconnect: new one.ReconnectPolicy({initial: 100, cap: 100})};
        const [leading, second] = [kept.join(), kept.join()];
        await kept.open(leading);
        await second.connect();
        kept.sockets[0].closed();
        await second.waitFor('backing off');
        const connecting = second.waitFor('connecting');
        const clock = kept.made.clock;
        clock.advance(0);
        await connecting;
        kept.sockets[1].closed();
        await kept.until(() => second.status.attempt === 2);
        const {retryIn} = second.status;
        await leading.close();
        await kept.until(() => kept.clients.length === 2);
        await kept.until(() => second.status.retryIn > 1);
        const {state, attempt, epoch} = second.status;
        return [state, attempt, retryIn, second.status.retryIn <= retryIn, kept.sockets.length];
        """
    ) == ["backing off", 2, 50, True, 0]


async def test_what_join_does_not_know_is_refused(page: NodePage) -> None:
    assert await page.run(
        """
        const name = (options) => { try { kept.join(options); } catch (error) { return error.name; } };
        return [name({tokens: () => ''}), name({token: 'a string'})];
        """
    ) == ["InvalidOption", "InvalidOption"]


async def test_readers_of_keys_in_all_tabs_are_one_subscription(page: NodePage) -> None:
    assert await page.run(
        """
        const subscriptions = new one.Subscriptions({
          subscribe: (keys) => ({op: '+', keys}), unsubscribe: (keys) => ({op: '-', keys}), key: ({k}) => k,
          ack: ({no}) => (no ? new one.SubscriptionAnswer([no], {refused: 'unknown'}) : null),
        });
        kept.options = {protocol: new one.Json({subscriptions, tokenPlace: new one.TokenQuery()})};
        const tabs = [kept.join(), kept.join(), kept.join()];
        const streams = ['a', ['a', 'b'], ['b', 'x']].map((keys, tab) => tabs[tab].subscribe(null, {keys}));
        await kept.open(tabs[0]);
        /** The keys that the newest connection is asked for, once there are so many. */
        const asked = async (count) => {
          const keys = () => kept.sockets.at(-1).sent.flatMap((text) => JSON.parse(text).keys);
          await kept.until(() => keys().length === count);
          return keys().sort();
        };
        const first = await asked(3);
        kept.sockets[0].receive({no: 'x'}, {k: 'a', n: 1}, {k: 'b', n: 2});
        const items = [];
        for (const tab of [0, 1, 1, 2, 2]) {
          items.push(await streams[tab].next().then(({value}) => value.n ?? value.reason, ({keys}) => keys));
        }
        const closing = tabs[0].close(); // it led
        kept.sockets[0].closed(1000);
        await closing;
        await kept.until(() => kept.clients.length === 2 && kept.sockets.length === 1);
        kept.sockets[0].open();
        return [first, items, await asked(2)];
        """
    ) == [["a", "b", "x"], [1, 1, 2, ["x"], 2], ["a", "b"]]


async def test_keys_that_the_protocol_does_not_know_are_told_in_the_tab(page: NodePage) -> None:
    assert (
        await page.run(
            """
            const tab = kept.join();
            const stream = tab.subscribe(null, {keys: ['a']});
            await kept.open(tab);
            return nameOf(stream.next());
            """
        )
        == "InvalidOption"
    )


async def test_a_token_that_comes_after_its_tab_has_left_is_dropped(page: NodePage) -> None:
    assert (
        await page.run(
            """
        let give;
        const token = () => new Promise((resolve) => { give = resolve; });
        const [leading, tab] = [kept.join(), kept.join({token})];
        await kept.until(() => tab.status.url !== '');
        const connecting = nameOf(leading.connect());
        await kept.until(() => give);
        await tab.close();
        give('too late');
        return connecting;
        """
        )
        == "TokenFailed"
    )


@pytest.mark.parametrize("lost", ["who", "join"])
async def test_what_an_owner_has_not_heard_is_asked_again(page: NodePage, lost: str) -> None:
    assert await page.run(
        """
        await kept.lead({}, [data]);
        const tab = kept.join();
        const connecting = nameOf(tab.connect());
        await kept.until(() => kept.asked.includes(data));
        kept.clock.advance(5);
        await kept.until(() => tab.isConnected);
        await kept.until(() => kept.asked.includes('call'));
        return [kept.asked.filter((type) => type === data).length, await stateOf(connecting)];
        """,
        lost,
    ) == [2, "pending"]


async def test_a_tab_that_is_taken_for_gone_joins_again(page: NodePage) -> None:
    assert await page.run(
        """
        const leading = kept.join();
        await kept.open(leading);
        const channel = new BroadcastChannel(`onesocket ${kept.module}`);
        let joined;
        channel.onmessage = ({data}) => { if (data.type === 'join') joined = data; };
        const tab = kept.join();
        await kept.until(() => tab.isConnected && joined);
        channel.postMessage({...joined, to: 'owner', type: 'leave'}); // it did not say so
        await kept.until(() => kept.clients[0].status.callers === 0);
        const outcomes = [await nameOf(tab.connect()), await nameOf(tab.connect())];
        channel.close();
        return [outcomes, tab.state, kept.clients.length];
        """
    ) == [["already connected", "already connected"], "connected", 1]


async def test_a_tab_joins_only_once_it_can_be_seen_to_live(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.open(kept.join());
        const {locks} = navigator, {request} = locks;
        let grant;
        const granted = new Promise((resolve) => { grant = resolve; });
        let asked = 0;
        locks.request = async (name, ...rest) => {
          if (name.startsWith('onesocket member') && (asked += 1) === 1) await granted; // that of the tab
          return request.call(locks, name, ...rest);
        };
        const tab = kept.join();
        const heard = new BroadcastChannel(`onesocket ${kept.module}`);
        const types = [];
        heard.onmessage = ({data}) => types.push(data.type);
        heard.postMessage({to: 'owner', type: 'who'}); // as another tab does that opens at the same time
        await kept.until(() => types.includes('owner'));
        const sending = nameOf(tab.send({n: 1}));
        for (let n = 0; n < 20; n += 1) await turn();
        const early = types.includes('join');
        grant();
        locks.request = request;
        const written = kept.until(() => kept.sockets[0].sent.length > 0).then(() => 'written');
        const fate = await Promise.race([sending, written]);
        heard.close();
        return [early, types.includes('stranger'), fate];
        """
    ) == [False, False, "written"]


async def test_a_leading_tab_that_leaves_takes_no_tab_that_has_just_opened(page: NodePage) -> None:
    assert await page.run(
        """
        const leading = kept.join();
        await kept.open(leading);
        const closing = leading.close(); // the server takes its time with the close
        await kept.until(() => kept.sockets[0].closes.length > 0);
        const late = kept.join();
        const connecting = nameOf(late.connect());
        for (let n = 0; n < 20; n += 1) await turn();
        const made = kept.clients.length;
        kept.sockets[0].closed(1000);
        await closing;
        await kept.until(() => kept.clients.length === 2 && kept.sockets[0]?.readyState === 0);
        kept.sockets[0].open();
        return [made, await connecting, kept.clients.length];
        """
    ) == [1, "opened", 2]


async def test_a_worker_closes_the_connection_of_tabs_that_have_left_before_the_next(page: NodePage) -> None:
    assert await page.run(
        """
        const {Owner} = await import(data);
        const {locks} = navigator;
        const load = async () => makeShared;
        const welcomed = [];
        const post = (member, {type}) => { if (type === 'welcome') welcomed.push(member); };
        const owner = new Owner({id: 'o', post, broadcast: () => {}, locks, load, takeOverSeconds: 0});
        const join = (member) => owner.handle({type: 'join', member, module: 'm', version: 1, lastEpoch: 0});
        const hold = (member) => locks.request(`onesocket member ${member}`, () => new Promise(() => {}));
        for (const member of ['first', 'second']) hold(member);
        await join('first');
        owner.handle({type: 'call', member: 'first', id: 1, name: 'connect', options: {}});
        await turn();
        kept.sockets[0].open();
        const [socket] = kept.sockets;
        owner.handle({type: 'leave', member: 'first'});
        join('second');
        for (let n = 0; n < 20; n += 1) await turn();
        const early = [socket.readyState, kept.clients.length];
        socket.closed(1000);
        await kept.until(() => welcomed.includes('second'));
        return [early, kept.clients.length];
        """,
        OWNER.as_uri(),
    ) == [[2, 1], 2]


async def test_any_tab_rotates_the_connection_and_all_are_told(page: NodePage) -> None:
    assert await page.run(
        """
        kept.options = {rotation: new one.Rotation({identity: ({n}) => n})};
        const tabs = [kept.join(), kept.join()];
        await kept.open(tabs[0]);
        await kept.until(() => tabs[1].isConnected);
        const changes = tabs.map((tab) => {
          const told = [];
          tab.onChange(({old, new: state, epoch}) => told.push([old, state, epoch]));
          return told;
        });
        const rotating = nameOf(tabs[1].rotate());
        await kept.until(() => kept.sockets.length === 2);
        const [old, next] = kept.sockets;
        next.open();
        for (const socket of kept.sockets) socket.receive({n: 1});
        kept.made.clock.advance(1);
        old.closed(1000);
        const outcome = await rotating;
        await kept.until(() => changes.every((told) => told.length > 0));
        return [outcome, changes, tabs.map((tab) => tab.status.epoch), kept.made.seen];
        """
    ) == ["opened", [[["connected", "connected", 2]]] * 2, [2, 2], [{"n": 1}]]


async def test_a_connection_without_the_option_is_not_rotated_by_a_tab(page: NodePage) -> None:
    assert (
        await page.run(
            """
            const tab = kept.join();
            await kept.open(tab);
            return nameOf(tab.rotate());
            """
        )
        == "UsageError"
    )


async def test_a_page_whose_storage_is_blocked_is_told_so(page: NodePage) -> None:
    assert (
        await page.run(
            """
        const {BroadcastChannel} = globalThis;
        globalThis.BroadcastChannel = class { constructor() { throw new DOMException('blocked', 'SecurityError'); } };
        const first = kept.join();
        const names = [await nameOf(first.connect()), await nameOf(first.send({n: 1}))];
        await first.close();
        globalThis.BroadcastChannel = BroadcastChannel;
        navigator.locks.request = async () => { throw new DOMException('blocked', 'SecurityError'); };
        const second = kept.join();
        return [...names, await nameOf(second.connect())];
        """
        )
        == ["UsageError"] * 3
    )


async def test_what_a_tab_that_leaves_has_passed_on_may_have_been_sent(page: NodePage) -> None:
    assert await page.run(
        """
        kept.options = {protocol: new one.Json({requests: new one.Requests(), tokenPlace: new one.TokenQuery()})};
        const leading = kept.join();
        await kept.open(leading);
        const [early, tab] = [kept.join(), kept.join()];
        const unposted = nameOf(early.send({n: 1})); // it has not found the owner yet
        await early.close();
        await kept.until(() => tab.isConnected);
        const fates = [nameOf(tab.send({n: 2})), nameOf(tab.request({n: 3})), nameOf(tab.connect())];
        await tab.close();
        return [await unposted, ...await Promise.all(fates)];
        """
    ) == ["ClientClosed", "DeliveryUnknown", "RequestLost", "ClientClosed"]


async def test_a_stream_of_answers_of_a_tab_that_was_refused_ends_with_the_reason(page: NodePage) -> None:
    assert (
        await page.run(
            """
        globalThis.BroadcastChannel = class { constructor() { throw new DOMException('blocked', 'SecurityError'); } };
        const client = kept.join();
        const refused = await nameOf(client.connect());
        let last = 'it waits';
        nameOf((async () => client.requestStream({n: 1}).next())()).then((name) => { last = name; });
        for (let turns = 0; turns < 20; turns += 1) await turn();
        return [refused, last];
        """
        )
        == ["UsageError"] * 2
    )


@pytest.mark.parametrize("cause", ["'a text'", "cyclic", "Object.create(null)", "foreign"])
async def test_an_error_of_the_program_with_any_cause_reaches_the_tab(page: NodePage, cause: str) -> None:
    assert (
        await page.run(
            """
            const cyclic = new TypeError('cyclic');
            cyclic.cause = cyclic;
            const odd = {data: () => {}, status: Symbol('s'), keys: new WeakMap()};
            const foreign = Object.assign(new TypeError('foreign'), odd);
            const cause = eval(data);
            const put = () => { throw new one.TokenFailed('no place', {cause}); };
            kept.options = {protocol: new one.Json({tokenPlace: {put}}), token: 'token'};
            const tab = kept.join();
            return nameOf(tab.connect());
            """,
            cause,
        )
        == "TokenFailed"
    )


async def test_a_module_may_be_imported_by_a_function_as_bundlers_know_it(page: NodePage) -> None:
    assert await page.run(
        """
        let imports = 0;
        const load = async () => { imports += 1; return {default: globalThis.makeShared}; };
        const join = (options) => one.join(load, {platform: kept.platform, ...options});
        const tabs = [join({key: 'feed'}), join({key: 'feed'})];
        const other = one.join(kept.module, {key: 'feed', worker: null, platform: kept.platform});
        const refusal = (options) => { try { join(options); } catch (error) { return error.name; } };
        const refused = [{}, {key: ''}, {key: 5}].map(refusal);
        return [await kept.open(tabs[0]), await tabs[1].connect(), imports, await nameOf(other.connect()), refused];
        """
    ) == ["opened", "already connected", 1, "OptionConflict", ["InvalidOption"] * 3]


async def test_a_worker_of_the_program_serves_the_tabs(page: NodePage) -> None:
    assert await page.run(
        """
        const {serve} = await import(data);
        const started = [];
        globalThis.name = 'feed';
        serve((token) => globalThis.makeShared(token));
        globalThis.SharedWorker = class {
          constructor(name) {
            started.push(name);
            const {port1, port2} = new MessageChannel();
            this.port = port1;
            globalThis.onconnect({ports: [port2]});
          }
        };
        const never = () => Promise.reject(new TypeError('not in this tab'));
        const worker = (name) => new SharedWorker(name);
        const tabs = [1, 2].map(() => one.join(never, {key: 'feed', worker, platform: kept.platform}));
        const outcomes = [await kept.open(tabs[0]), await tabs[1].connect()];
        const {held} = await navigator.locks.query();
        return [outcomes, started, held.filter(({name}) => name === 'onesocket owner feed').length];
        """,
        (OWNER.parent / "serve.js").as_uri(),
    ) == [["opened", "already connected"], ["feed", "feed"], 1]


@pytest.mark.parametrize("made", ["undefined", "Promise.resolve(5)", "{connect() {}, on() {}, onChange() {}}"])
async def test_a_module_that_makes_no_client_of_this_package_is_told_at_once(page: NodePage, made: str) -> None:
    assert await page.run(
        """
        const makeIt = () => eval(`(${data})`);
        const tab = one.join(async () => ({default: makeIt}), {key: 'feed', platform: kept.platform});
        const error = await tab.connect().catch((failure) => failure);
        return [error.name, error.message.includes('no Client')];
        """,
        made,
    ) == ["UsageError", True]


async def test_tabs_elect_a_leader_where_the_browser_has_no_shared_workers(page: NodePage) -> None:
    assert (
        await page.run(
            """
            globalThis.SharedWorker = undefined; // as Chrome for Android had none
            return kept.open(kept.join({worker: (name) => new SharedWorker(name)}));
            """
        )
        == "opened"
    )


async def test_a_tab_connects_and_sends_without_waiting_as_a_client_does(page: NodePage) -> None:
    assert await page.run(
        """
        const errors = [];
        const tab = kept.join({onError: (error) => errors.push(error.name)});
        const outcomes = [tab.connectNowait(), tab.handshake, tab.epoch];
        await kept.until(() => kept.sockets.at(-1)?.readyState === 0);
        await kept.until(() => tab.state === 'connecting');
        outcomes.push(tab.connectNowait());
        const delivery = tab.sendNowait({n: 1});
        outcomes.push(delivery.done);
        kept.sockets[0].open();
        await kept.until(() => tab.isConnected);
        outcomes.push(tab.connectNowait(), tab.epoch, tab.handshake);
        await kept.until(() => kept.sockets[0].sent.length === 1);
        kept.made.clock.advance(1);
        await delivery;
        outcomes.push(delivery.done, delivery.error);
        tab.sendNowait(() => {}); // no structured clone
        await kept.until(() => errors.length === 1);
        const stopping = tab.disconnect();
        await kept.until(() => tab.state === 'closing');
        kept.sockets[0].closed(1000);
        await stopping;
        const refused = [() => tab.connectNowait(), () => tab.sendNowait(1)].map((call) => {
          try { call(); } catch (error) { return error.name; }
        });
        await tab.close();
        try { tab.sendNowait(1); } catch (error) { refused.push(error.name); }
        return [outcomes, errors, refused];
        """
    ) == [
        ["opened", None, 0, "joined", False, "already connected", 1, {"subprotocol": None}, True, None],
        ["EncodeError"],
        ["ManuallyDisconnected", "ManuallyDisconnected", "ClientClosed"],
    ]


async def test_a_worker_that_was_started_without_its_name_is_told_and_not_asked_for_ever(page: NodePage) -> None:
    assert await page.run(
        """
        const {serve} = await import(data);
        let started = 0;
        globalThis.name = ''; // as of new SharedWorker(url, {type: 'module'})
        serve((token) => globalThis.makeShared(token));
        globalThis.SharedWorker = class {
          constructor() {
            started += 1;
            const {port1, port2} = new MessageChannel();
            this.port = port1;
            globalThis.onconnect({ports: [port2]});
          }
        };
        const tab = one.join(kept.module, {key: 'feed', worker: () => new SharedWorker(), platform: kept.platform});
        const error = await tab.connect().catch((failure) => failure);
        for (let turns = 0; turns < 20; turns += 1) await turn();
        return [error.name, error.message.includes("'feed'"), started, await nameOf(tab.connect())];
        """,
        (OWNER.parent / "serve.js").as_uri(),
    ) == ["InvalidOption", True, 1, "InvalidOption"]
