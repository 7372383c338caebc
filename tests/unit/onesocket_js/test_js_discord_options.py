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


async def test_odd_options_are_refused() -> None:
    async with NodePage() as page:
        code = """
            const discordOf = async (options) => new one.Discord(options);
            return Promise.all(data.map((options) => nameOf(discordOf(options))));
        """
        wrong = [{"intents": 0, "heartbeat": 0}, {"intents": 0, "heartbeat": "10"}, {"intents": 0, "snapshot": {}}]
        assert await page.run(code, wrong) == ["InvalidOption"] * len(wrong)
