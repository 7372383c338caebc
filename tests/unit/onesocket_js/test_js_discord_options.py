"""Options of the Discord protocol in Node.js."""

from tests.support.node_page import NodePage


async def test_heartbeats_are_sent_as_often_as_asked_for_but_not_more_seldom_than_the_server_says() -> None:
    async with NodePage() as page:
        beats = """
            const waits = []
            for (const [heartbeat, said] of data) {
              const discord = new one.Discord({ intents: 0, heartbeat, random: () => 0 });
              discord.prepare({ url: 'ws://here/', subprotocols: [] }, 't');
              discord.opened('t', 0);
              discord.received(JSON.stringify({ op: 10, d: { heartbeat_interval: said } }), 0);
              waits.push(discord.wake(0).at(-1).at);
            }
            return waits;
        """
        assert await page.run(beats, [[None, 41_250], [10, 41_250], [10, 5_000]]) == [41.25, 10, 5]


async def test_a_probe_is_a_heartbeat_at_once_whose_answer_has_seconds() -> None:
    async with NodePage() as page:
        code = """
            const said = (actions) =>
              actions.map(({ data, at, error }) => error?.name ?? (data ? `op ${JSON.parse(data).op}` : at));
            const began = (protocol) => {
              protocol.prepare({ url: 'ws://here/', subprotocols: [] }, 't');
              protocol.opened('t', 0);
              return protocol;
            };
            const discord = began(new one.Discord({ intents: 0, random: () => 1 }));
            const steps = [said(discord.probe(0, 4))]; // before HELLO
            discord.received('{"op": 10, "d": {"heartbeat_interval": 40000}}', 0);
            steps.push(said(discord.probe(1, 4)), said(discord.probe(2, 4))); // the second one is under way
            discord.received('{"op": 11}', 3);
            steps.push(said(discord.wake(5)), said(discord.probe(6, 4))); // the heartbeat of 5 s has no answer
            steps.push(said(discord.wake(10)));
            const asleep = began(new one.Discord({ intents: 0, random: () => 1 }));
            asleep.received('{"op": 10, "d": {"heartbeat_interval": 40000}}', 0);
            steps.push(said(asleep.probe(3600, 4)), said(asleep.wake(3604)));
            return steps;
        """
        assert await page.run(code) == [
            [],
            ["op 1", 5],
            [5],
            ["op 1", 45],
            [10],
            ["PingTimeout"],
            ["op 1", 3604],
            ["PingTimeout"],
        ]


async def test_a_probe_of_a_codec_is_one_of_its_heartbeats() -> None:
    async with NodePage() as page:
        code = """
            const options = { message: { ping: 1 }, interval: 20, timeout: 10, answer: (message) => message.pong };
            const probed = (more) => {
              const json = new one.Json({ heartbeat: more && new one.Heartbeat({ ...options, ...more }) });
              json.opened(null, 0);
              const actions = [json.probe(1, 4), json.probe(2, 4), json.wake(5)];
              return actions.map((each) => each.map(({ type, at, error }) => error?.message ?? at ?? type));
            };
            return [probed({}), probed({ timeout: null, answer: null }), probed(null)];
        """
        dead = "no answer to a heartbeat within 4 s: the connection is open, but dead"
        assert await page.run(code) == [[["send", 5], [5], [dead]], [[], [], [20]], [[], [], []]]


async def test_odd_options_are_refused() -> None:
    async with NodePage() as page:
        code = """
            const discordOf = async (options) => new one.Discord(options);
            return Promise.all(data.map((options) => nameOf(discordOf(options))));
        """
        wrong = [{"intents": 0, "heartbeat": 0}, {"intents": 0, "heartbeat": "10"}, {"intents": 0, "snapshot": {}}]
        assert await page.run(code, wrong) == ["InvalidOption"] * len(wrong)
