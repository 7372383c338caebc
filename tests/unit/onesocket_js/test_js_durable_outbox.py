"""The durable outbox of the JavaScript client, over a store that outlasts the pages that use it."""

import pytest

from tests.support.node_page import NodePage


async def test_send_resolves_once_the_message_is_on_disk_and_the_next_page_sends_it_in_order(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const {store} = kept;
        const first = kept.page();
        store.holds = true;
        const sending = first.client.send({id: 1});
        const states = [await stateOf(sending)];
        store.release(); // the opening
        states.push(await stateOf(sending), first.client.status.outbox);
        store.holds = false;
        store.release();
        states.push(await nameOf(sending));
        await first.client.send({id: 2});
        store.crash();
        const second = kept.page();
        await kept.open(second);
        const {restored} = second.outbox;
        const third = second.client.sendNowait({id: 3});
        await kept.turns();
        states.push(await stateOf(third));
        second.sockets[0].receive({ack: 1}, {ack: 2}, {ack: 3});
        states.push(await nameOf(third), second.client.status.outbox);
        await kept.turns();
        return [states, restored.map(({messageId, mayHaveArrived, data}) => [messageId, mayHaveArrived, data]),
                second.ids(0), store.left, second.errors.length];
        """
    ) == [
        ["pending", "pending", 1, "done", "pending", "done", 0],
        [[1, False, '{"id":1}'], [2, False, '{"id":2}']],
        [1, 2, 3],
        [],
        0,
    ]


async def test_what_was_written_without_an_answer_is_unknown_after_a_crash_and_sent_again_with_resend_alone(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const first = kept.page();
        await kept.open(first);
        await first.client.send({id: 'once'});
        await first.client.send({id: 'again'}, {resend: true});
        await kept.turns();
        const sent = first.ids(0);
        kept.store.crash();
        const lines = [];
        const logger = {warn: (line) => lines.push(line)};
        const second = kept.page({logger});
        await kept.open(second);
        const marks = second.outbox.restored.map(({messageId, mayHaveArrived}) => [messageId, mayHaveArrived]);
        return [sent, second.ids(0), marks, second.errors, lines, kept.store.left];
        """
    ) == [
        ["once", "again"],
        ["again"],
        [["once", True], ["again", True]],
        [
            {
                "error": "DeliveryUnknown",
                "text": 'the message with the id "once" was sent by an earlier page, which ended before it was '
                "settled: it may have arrived; with resend: true it is sent again",
                "retryable": False,
            }
        ],
        [
            (
                'onesocket: ws://host/: the outbox "orders" has 1 messages of an earlier page, which are sent now; '
                "1 others may have arrived, and are not sent again"
            )
        ],
        [["again", True]],
    ]


async def test_a_loss_makes_unsettled_messages_unknown_or_sends_them_again_in_order(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page();
        await kept.open(page);
        const once = [1, 2].map((id) => page.client.sendNowait({id}));
        const again = [3, 4].map((id) => page.client.sendNowait({id}, {resend: true}));
        await kept.turns();
        page.sockets[0].receive({ack: 4}, {ack: 1}, {ack: 'unknown'}, {other: 1});
        page.sockets[0].closed();
        await page.client.send({id: 5});
        const states = [];
        for (const each of [...once, ...again]) states.push(await stateOf(each));
        await page.again();
        page.sockets[1].receive({ack: 3}, {ack: 5}, {ack: 2}); // 2: too late
        await kept.turns();
        return [page.ids(0), states, page.ids(1), await nameOf(again[0]), kept.store.left, page.errors.length];
        """
    ) == [[1, 2, 3, 4], ["done", "DeliveryUnknown", "pending", "done"], [3, 5], "done", [], 1]


async def test_of_a_burst_only_what_was_marked_is_unknown_after_a_crash_and_nothing_is_sent_twice(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const first = kept.page();
        await kept.open(first);
        const accepted = Array.from({length: 500}, (_, id) => first.client.send({id}));
        first.sockets[0].bufferedAmount = 1 << 20; // the network stands still
        await Promise.all(accepted);
        await kept.turns();
        const sent = first.ids(0).length;
        kept.store.crash();
        const second = kept.page();
        await kept.open(second);
        const unknown = second.outbox.restored.filter((row) => row.mayHaveArrived).map((row) => row.messageId);
        const all = [...unknown, ...second.ids(0)].sort((a, b) => a - b);
        return [sent, unknown.length, all.every((id, at) => id === at), all.length, second.errors.length];
        """
    ) == [0, 64, True, 500, 64]


async def test_a_slow_pace_has_few_messages_of_unknown_fate(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const protocol = {pace: new one.Pace(3, {per: 60})};
        const page = kept.page({protocol});
        for (let id = 0; id < 6; id += 1) await page.client.send({id});
        await kept.open(page);
        const sent = [page.ids(0), kept.store.left.filter(([, mayHaveArrived]) => mayHaveArrived).length];
        await page.pass(61, 1);
        return [...sent, page.ids(0)];
        """
    ) == [[0, 1, 2], 4, [0, 1, 2, 3, 4, 5]]


async def test_without_acknowledgements_a_message_is_settled_once_the_browser_has_written_it(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page({acks: false});
        const waiting = page.client.sendNowait({id: 0});
        await kept.open(page);
        await page.pass(1);
        const states = [await nameOf(waiting)];
        const {send} = page.sockets[0];
        page.sockets[0].send = function (data) { send.call(this, data); this.bufferedAmount += data.length; };
        const [once, again] = [false, true].map((resend) => page.client.sendNowait({id: Number(resend) + 1}, {resend}));
        await kept.turns();
        await page.pass(1);
        states.push(await stateOf(once), page.client.status.outbox);
        page.sockets[0].closed();
        states.push(await nameOf(once));
        await page.again();
        await page.pass(1);
        states.push(await nameOf(again), page.client.status.outbox);
        return [states, page.ids(0), page.ids(1), kept.store.left];
        """
    ) == [["done", "pending", 2, "DeliveryUnknown", "done", 0], [0, 1, 2], [2], []]


async def test_messages_without_an_id_and_requests_are_not_kept_and_come_first(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const protocol = {requests: new one.Requests({id: 'req'}), onReady: () => [{hello: 1}], tokenPlace: null,
                          login: new one.Login({request: (token) => ({token})})};
        const page = kept.page({protocol, token: 's3cret'});
        await page.client.send({id: 'kept', buy: 1});
        const ordinary = page.client.sendNowait({op: 'subscribe'});
        const asking = nameOf(page.client.request({op: 'ask', id: 'of a request'}));
        await kept.open(page);
        await page.pass(1);
        await ordinary;
        const rows = [...kept.store.rows.values()].map(Object.keys);
        const disk = JSON.stringify([...kept.store.rows.values()]);
        page.sockets[0].receive({req: 1});
        await asking;
        return [page.sockets[0].sent, rows, /s3cret|token|ask|subscribe/.test(disk)];
        """
    ) == [
        [
            '{"token":"s3cret"}',
            '{"hello":1}',
            '{"op":"subscribe"}',
            '{"op":"ask","id":"of a request","req":1}',
            '{"id":"kept","buy":1}',
        ],
        [["number", "messageId", "data", "storedAt", "expiresAt", "mayHaveArrived", "resend"]],
        False,
    ]


async def test_disconnect_keeps_the_messages_and_reconnect_sends_them(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page();
        const early = page.client.sendNowait({id: 'early'});
        await kept.turns();
        await page.client.disconnect();
        const fate = await nameOf(early);
        const opening = page.client.reconnect();
        await kept.turns();
        page.sockets[0].open();
        await opening;
        page.sockets[0].receive({ack: 'early'});
        const [sent, again] = [false, true].map((resend) => page.client.sendNowait({id: String(resend)}, {resend}));
        await kept.turns();
        const closing = page.client.disconnect();
        page.sockets[0].closed(1000);
        await closing;
        const states = [await nameOf(sent), await nameOf(again), await nameOf(page.client.send({id: 3}))];
        const reconnecting = page.client.reconnect();
        await kept.turns();
        page.sockets[1].open();
        await reconnecting;
        await kept.turns();
        return [fate, states, page.ids(0), page.ids(1), page.errors.length];
        """
    ) == [
        "MessageKept",
        ["DeliveryUnknown", "MessageKept", "ManuallyDisconnected"],
        ["early", "false", "true"],
        ["true"],
        1,
    ]


async def test_a_message_that_was_kept_and_is_lost_later_is_told_by_its_id(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page({limits: {age: 60}});
        const reopen = async () => {
          const opening = page.client.reconnect();
          await kept.turns();
          page.sockets.at(-1).open();
          await opening;
          await kept.turns();
        };
        const fates = ['lost', 'late'].map((id) => nameOf(page.client.sendNowait({id}, {resend: id === 'late'})));
        await kept.turns();
        await page.client.disconnect();
        await reopen();
        page.sockets[0].closed();
        await page.pass(60, 10);
        return [await Promise.all(fates), page.errors.map(({name, message}) => [name, message.slice(0, 70)])];
        """
    ) == [
        ["MessageKept", "MessageKept"],
        [
            ["DeliveryUnknown", 'the connection was lost before the message with the id "lost" was sett'],
            ["DeliveryUnknown", 'the message with the id "late" was sent, but not settled within the 60'],
        ],
    ]


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_reconnect_does_not_lift_a_disconnect_that_comes_after_it(
    outbox_page: NodePage, *, is_open: bool
) -> None:
    assert await outbox_page.run(
        """
        const page = kept.page();
        if (data) await kept.open(page);
        else await page.client.disconnect();
        const opening = nameOf(page.client.reconnect());
        const stopping = page.client.disconnect();
        await kept.turns();
        page.sockets[0]?.closed(1000);
        await stopping;
        await kept.turns();
        return [await opening, page.client.state, page.sockets.length];
        """,
        is_open,
    ) == ["ConnectAborted" if is_open else "ManuallyDisconnected", "stopped", int(is_open)]


async def test_bounds_and_ids_are_those_of_python_and_hold_while_the_store_is_opened(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const names = [];
        for (const isEarly of [true, false]) {
          kept.store = new FakeStore();
          const {client} = kept.page({limits: {messages: 2, bytes: 100}});
          if (!isEarly) await client.send({id: 1});
          else client.sendNowait({id: 1});
          const long = {id: 2, text: 'x'.repeat(100)};
          for (const message of [{id: 1}, long, {id: 1.5}, {id: ['a']}, {id: 2 ** 53}, {id: 2}, {id: 3}]) {
            names.push(kept.thrown(() => client.sendNowait(message)));
          }
          await kept.turns();
          names.push(kept.store.left.length);
        }
        kept.store.crash();
        const late = kept.page({limits: {messages: 2}});
        const early = nameOf(late.client.sendNowait({id: 9}).then()); // the store is full, which is not known yet
        return [names, await early, late.errors.length, await nameOf(late.client.send({id: 9}))];
        """
    ) == [
        ["DuplicateMessage", "OutboxFull", "EncodeError", "EncodeError", "EncodeError", "nothing", "OutboxFull", 2] * 2,
        "OutboxFull",
        0,
        "OutboxFull",
    ]


async def test_ages_are_counted_over_reloads_and_a_clock_that_was_set_back_does_not_lengthen_them(
    outbox_page: NodePage,
) -> None:
    assert await outbox_page.run(
        """
        const pages = [1_000_000, 1_007_200].map((date) => {
          const clock = new Clock();
          const platform = {now: clock.now, setTimer: clock.setTimer, random: () => 0, date: () => date + clock.now()};
          return {...kept.page({limits: {age: 3600}, platform}), clock};
        });
        const [first, second] = pages;
        await kept.open(first);
        await first.client.send({id: 'sent'}, {resend: true});
        await kept.turns();
        first.sockets[0].closed();
        await first.client.send({id: 'stored'});
        kept.store.crash();
        await second.client.send({id: 'new'});
        const names = second.errors.map(({name}) => name);
        const left = kept.store.left;
        const waiting = second.client.sendNowait({id: 'late'});
        await kept.turns();
        second.clock.advance(3601);
        return [names.sort(), left, await nameOf(waiting), second.client.status.outbox, second.clock.size];
        """
    ) == [["DeliveryUnknown", "MessageExpired"], [["new", False]], "MessageExpired", 0, 0]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("new one.DurableOutbox('')", "its name must be"),
        ("new one.DurableOutbox('x', {messages: 0})", "messages must be"),
        ("new one.DurableOutbox('x', {bytes: 1.5})", "bytes must be"),
        ("new one.DurableOutbox('x', {age: 0})", "age must be"),
        ("new one.DurableOutbox('x', {store: {}})", "store must be"),
        ("new one.DurableOutbox('x', {path: 'y'})", "no option path"),
        ("new one.Acknowledgement({idOf: (message) => message.id})", "acknowledgedBy must be a function"),
        ("new one.Json({acknowledges: {}})", "acknowledges must be a Acknowledgement"),
        ("make({outbox: 'orders'})", "outbox must be an OutboxLimits, a DurableOutbox or null"),
    ],
)
async def test_bad_options_are_refused_at_once(outbox_page: NodePage, code: str, text: str) -> None:
    error = await outbox_page.run(f"try {{ {code}; }} catch (error) {{ return error; }}")
    assert error["error"] == "InvalidOption"
    assert text in error["text"]


async def test_functions_that_fail_harm_no_other_message(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const acknowledges = new one.Acknowledgement({
          idOf: (message) => message.id.trim(),
          acknowledgedBy: (message) => message.ack.trim(),
        });
        const page = kept.page({protocol: {acknowledges}});
        const names = [kept.thrown(() => page.client.sendNowait({}))];
        await kept.open(page);
        const delivery = page.client.sendNowait({id: 'a'});
        await kept.turns();
        page.sockets[0].receive({other: 1}, {ack: 'a'});
        names.push(await nameOf(delivery));
        return [...names, page.errors.map(({name}) => name)];
        """
    ) == ["EncodeError", "done", ["TypeError"]]


async def test_a_rotation_sends_nothing_twice_and_settles_what_the_old_connection_leaves(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        const rotation = new one.Rotation({identity: ({n}) => n, overlap: 1});
        const page = kept.page({rotation});
        await kept.open(page);
        const [once, again, acked] = [1, 2, 3].map((id) => page.client.sendNowait({id}, {resend: id === 2}));
        await kept.turns();
        const rotating = page.client.rotate();
        await kept.turns();
        page.sockets[1].open();
        await page.pass(2);
        for (const socket of page.sockets) socket.receive({n: 1});
        await page.pass(2);
        await page.client.send({id: 4});
        await kept.turns();
        page.sockets[0].receive({ack: 3, n: 2});
        const states = [await stateOf(once), await stateOf(again), await stateOf(acked)];
        page.sockets[0].closed(1000);
        await rotating;
        await kept.turns();
        return [states, page.ids(0), page.ids(1), await nameOf(once), await stateOf(again)];
        """
    ) == [["pending", "pending", "done"], [1, 2, 3], [4, 2], "DeliveryUnknown", "pending"]


async def test_the_next_leading_tab_goes_on_with_the_outbox_of_the_last_one(outbox_page: NodePage) -> None:
    assert await outbox_page.run(
        """
        let made;
        globalThis.makeShared = () => { made = kept.page(); return made.client; };
        const module = 'data:text/javascript,export default () => globalThis.makeShared();';
        const [leading, tab] = [1, 2].map(() => one.join(module, {worker: null}));
        const until = async (isSo) => { while (!isSo()) await turn(); };
        const connecting = tab.connect();
        await until(() => made?.sockets[0]);
        made.sockets[0].open();
        await connecting;
        await tab.send({id: 'sent'});
        await until(() => made.ids(0).length === 1);
        const settled = nameOf(tab.sendNowait({id: 'again'}, {resend: true}));
        await until(() => made.ids(0).length === 2);
        const first = made;
        kept.store.holds = true;
        const fate = nameOf(tab.send({id: 'in flight'}, {resend: true}));
        await until(() => kept.store.held.length === 1);
        const closing = leading.close();
        first.sockets[0].closed(1000);
        kept.store.holds = false;
        kept.store.release();
        await closing;
        await until(() => made !== first && made.sockets[0]);
        made.sockets[0].open();
        await until(() => made.ids(0).length === 2);
        const errors = [...first.errors, ...made.errors].map(({name}) => name);
        const before = await stateOf(settled);
        made.sockets[0].receive({ack: 'again'});
        return [await fate, made.ids(0), errors, before, await settled, kept.store.mostAtOnce];
        """
    ) == ["done", ["again", "in flight"], ["DeliveryUnknown"], "pending", "done", 1]
