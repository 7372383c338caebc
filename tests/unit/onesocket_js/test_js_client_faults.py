"""The JavaScript client against functions of the program that fail, call back or come late, in virtual time."""

import pytest

from tests.support.node_page import NodePage
from tests.support.node_script import run_script


async def test_a_watcher_may_close_what_has_just_been_opened(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, pass} = make();
        let closing;
        const states = [];
        client.onChange((change) => { if (change.new === 'connected') closing = client.disconnect(); });
        client.onChange((change) => states.push(change.new));
        const outcome = await open();
        await pass(4.5); // the server answers no close
        const before = await stateOf(closing);
        await pass(2);
        return [outcome, before, await stateOf(closing), states, sockets[0].closes];
        """
    ) == ["opened", "pending", "done", ["connecting", "connected", "closing", "stopped"], [[1000, ""]]]


async def test_a_watcher_may_withdraw_a_call_that_is_just_being_ended(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, pass} = make();
        const controller = new AbortController();
        client.onChange((change) => { if (change.new === 'closing') controller.abort(new TypeError('withdrawn')); });
        const connecting = nameOf(client.connect({signal: controller.signal}));
        await turn();
        const closing = nameOf(client.disconnect());
        sockets[0].open();
        await turn();
        sockets[0].closed(1000);
        return [await stateOf(connecting), await stateOf(closing), client.state, client.status.callers];
        """
    ) == ["ConnectAborted", "done", "stopped", 0]


async def test_a_call_while_a_failed_attempt_is_being_closed_gets_the_next_one(page: NodePage) -> None:
    assert await page.run(
        """
        const login = new one.Login({ready: ({ok}) => ok, refused: ({error}) => error});
        const {client, sockets} = make({protocol: new one.Json({login})});
        const first = nameOf(client.connect());
        await turn();
        sockets[0].open();
        sockets[0].receive({error: 'not today'});
        const second = nameOf(client.connect());
        const before = [client.state, await stateOf(first), await stateOf(second)];
        sockets[0].closed(4001);
        await turn();
        sockets[1].open();
        sockets[1].receive({ok: true});
        return [before, await second];
        """
    ) == [["closing", "LoginRefused", "pending"], "opened"]


@pytest.mark.parametrize("name", ["closed", "lost", "closing"])
async def test_a_protocol_that_fails_stops_no_end(page: NodePage, name: str) -> None:
    assert await page.run(
        """
        class Failing extends one.Protocol {}
        Failing.prototype[data] = () => { throw new TypeError(data); };
        const {client, sockets, errors, open, pass} = make({protocol: new Failing()});
        await open();
        sockets[0].closed(data === 'lost' ? 1006 : 4000);
        await pass(1);
        sockets[1].open();
        const second = client.state;
        const closing = nameOf(client.close());
        if (data === 'closing') await pass(7); else sockets[1].closed(1000);
        return [second, await stateOf(closing), new Set(errors.map(({message}) => message)).has(data)];
        """,
        name,
    ) == ["connected", "done", True]


async def test_an_error_of_the_browser_shows_no_token(page: NodePage) -> None:
    error = await page.run(
        """
        const WebSocket = class { constructor(url, [offered]) { throw new SyntaxError(`${offered} is invalid`); } };
        const protocol = new one.Raw({tokenPlace: new one.TokenSubprotocol()});
        const {client} = make({protocol, token: 's3cret token', WebSocket});
        const error = await client.connect().catch((error) => error);
        return {...error, name: error.name, text: String(error), cause: `${error.cause}`};
        """
    )
    assert "s3cret" not in str(error)
    assert (error["name"], error["retryable"]) == ("ConnectFailed", False)
    assert "SyntaxError" in error["text"]


async def test_nothing_waits_for_a_client_that_is_closed(page: NodePage) -> None:
    assert await page.run(
        """
        const {client} = make();
        const waiting = nameOf(client.waitFor('connected'));
        const changes = client.changes();
        await client.close();
        const next = async (stream) => (await stream.next()).value?.new ?? 'end';
        return Promise.all([
          waiting, nameOf(client.waitFor('connected')), client.waitFor('closed'), next(changes), next(changes),
          next(client.changes()), next(client.subscribe()), nameOf(client.waitFor('no state')),
        ].map(stateOf));
        """
    ) == ["ClientClosed", "ClientClosed", "closed", "closed", "end", "end", "end", "InvalidOption"]


async def test_a_stream_of_changes_has_those_before_its_first_reading(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, open} = make();
        const changes = client.changes();
        await open();
        return [(await changes.next()).value.new, (await changes.next()).value.new];
        """
    ) == ["connecting", "connected"]


async def test_a_token_that_comes_too_late_is_not_taken_for_the_refused_one(page: NodePage) -> None:
    assert await page.run(
        """
        const [asked, answers] = [[], []];
        const token = (previous) => { asked.push(previous); return new Promise((resolve) => answers.push(resolve)); };
        const {client, sockets, pass} = make({token, protocol: new one.Raw({tokenPlace: new one.TokenQuery()})});
        const first = nameOf(client.connect());
        await pass(10);
        const second = nameOf(client.connect());
        await turn();
        answers[1]('new');
        await turn();
        sockets[0].open();
        answers[0]('late');
        await pass(2);
        sockets[0].closed(1008, 'token expired');
        await pass(1);
        return [await first, await second, asked];
        """
    ) == ["OpenTimeout", "opened", [None, None, "new"]]


async def test_functions_of_requests_that_fail_lose_no_message_and_no_caller(page: NodePage) -> None:
    assert await page.run(
        """
        const idOf = (message) => { if (message.bad) throw new TypeError('idOf'); return message.id; };
        const withId = (message, id) => ({...message, id});
        const refused = (answer) => { if (answer.why) throw new RangeError('refused'); return null; };
        const {client, sockets, seen, errors, open} = make({
          protocol: new one.Json({requests: new one.Requests({idOf, withId, refused})}),
        });
        await open();
        sockets[0].receive({bad: 1}, {n: 2});
        const asked = nameOf(client.request({}));
        await turn();
        sockets[0].receive({id: 1, why: 'x'}, {n: 3});
        return [seen, errors.map(({message}) => message), await stateOf(asked)];
        """
    ) == [[{"bad": 1}, {"n": 2}, {"n": 3}], ["idOf"], "RangeError"]


async def test_a_request_that_is_sent_again_waits_as_long_as_that_takes(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, pass} = make({
          protocol: new one.Json({requests: new one.Requests()}), outbox: new one.OutboxLimits({age: 5}),
        });
        await open();
        sockets[0].bufferedAmount = 10;
        sockets[0].send = () => { sockets[0].bufferedAmount += 10; }; // not written when the connection is lost
        const asked = client.request({}, {resend: true, timeout: null});
        await turn();
        sockets[0].closed();
        await pass(8);
        const before = await stateOf(asked);
        sockets[1].open();
        sockets[1].receive({id: 2, answer: 1});
        return [before, (await asked).answer];
        """
    ) == ["pending", 1]


async def test_a_request_keeps_no_listener_at_its_signal(page: NodePage) -> None:
    assert (
        await page.run(
            """
            const {client, sockets, open} = make({protocol: new one.Json({requests: new one.Requests()})});
            await open();
            let listeners = 0;
            const signal = {
              throwIfAborted() {}, addEventListener() { listeners += 1; }, removeEventListener() { listeners -= 1; },
            };
            const asked = client.request({}, {signal});
            await turn();
            sockets[0].receive({id: 1});
            await asked;
            return listeners;
            """
        )
        == 0
    )


async def test_a_reader_that_is_removed_gets_not_even_the_present_message(page: NodePage) -> None:
    assert (
        await page.run(
            """
            const {client, sockets, open} = make();
            const late = [];
            client.on(() => off());
            const off = client.on((message) => late.push(message));
            await open();
            sockets[0].receive('a');
            return late;
            """
        )
        == []
    )


async def test_many_losses_are_one_gap_for_a_reader_that_does_not_read(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, pass} = make({reconnect: new one.ReconnectPolicy({initial: 0})});
        const stream = client.subscribe(null, {limit: 2});
        await open();
        for (let loss = 1; loss <= 10; loss += 1) {
          sockets.at(-1).closed();
          await pass(0.5);
          sockets.at(-1).open();
        }
        return [sockets.length, stream.size, (await stream.next()).value.epoch];
        """
    ) == [11, 1, 11]


@pytest.mark.parametrize("script", ["random_lives.mjs", "random_users.mjs"])
def test_random_lives_with_a_hostile_server_keep_every_promise(script: str) -> None:
    assert run_script(script, "1", "80") == "80 lives"


async def test_the_handshake_names_the_sub_protocol_that_was_chosen_and_never_the_token(page: NodePage) -> None:
    assert await page.run(
        """
        const protocol = new one.Json({subprotocols: ['v1'], tokenPlace: new one.TokenSubprotocol()});
        const {client, sockets, pass} = make({protocol, subprotocols: ['v2'], token: 's3cret'});
        const seen = [client.handshake];
        for (const chosen of ['v1', 'v2', 'bearer.s3cret', '']) {
          const outcome = client.reconnect();
          await turn();
          sockets.at(-1).protocol = chosen;
          sockets.at(-1).open();
          await outcome;
          seen.push(client.handshake.subprotocol);
          sockets.at(-1).closed(4000);
          seen.push(client.status.handshake);
          await pass(1);
          if (client.state === 'connecting') sockets.at(-1).closed();
        }
        return seen;
        """
    ) == [None, "v1", None, "v2", None, None, None, None, None]
