"""The status in a tab at a moment at which the owner says nothing. In Node.js, with a test as the owner."""

from tests.support.node_page import NodePage

SET_UP = """
kept.clock = new Clock();
const {now, setTimer} = kept.clock;
const module = 'data:text/javascript,export default null';
await new Promise((resolve) => navigator.locks.request(`onesocket owner ${module}`, () => {
  resolve();
  return new Promise(() => {});
}));
const channel = new BroadcastChannel(`onesocket ${module}`);
kept.post = (message) => channel.postMessage({to: '*', owner: 'test', ...message});
kept.calls = [];
kept.status = {state: 'connected', epoch: 1, outbox: 7, retryIn: null};
channel.onmessage = ({data}) => {
  if (data.type === 'who') kept.post({type: 'owner', version: 1});
  if (data.type === 'join') kept.post({type: 'welcome', status: kept.status});
  if (data.type === 'call') kept.calls.push(data);
};
kept.tab = one.join(module, {worker: null, platform: {now, setTimer, date: now}});
kept.until = async (isSo) => { while (!isSo()) await turn(); };
await kept.until(() => kept.tab.status.state === 'connected');
"""


async def test_the_outbox_holds_the_messages_of_this_tab_until_they_are_answered(page: NodePage) -> None:
    await page.run(SET_UP)
    assert await page.run(
        """
        const {tab, calls} = kept;
        const outboxes = [tab.status.outbox];
        const sent = [tab.send('a'), tab.sendNowait('b'), tab.request({})].map(nameOf);
        outboxes.push(tab.status.outbox);
        await kept.until(() => calls.length === 3);
        kept.post({type: 'answer', id: calls[0].id, error: null});
        await sent[0];
        outboxes.push(tab.status.outbox);
        kept.post({type: 'answer', id: calls[1].id, error: null});
        await kept.until(() => tab.status.outbox === 0);
        return outboxes;
        """
    ) == [0, 2, 1]


async def test_the_time_until_the_next_attempt_passes(page: NodePage) -> None:
    await page.run(SET_UP)
    assert await page.run(
        """
        const status = {...kept.status, state: 'backing off', retryIn: 8, attempt: 2};
        kept.post({type: 'change', change: {old: 'connected', new: 'backing off', cause: '', error: null}, status});
        await kept.until(() => kept.tab.status.state === 'backing off');
        const left = [kept.tab.status.retryIn];
        for (const seconds of [3, 100]) {
          kept.clock.advance(seconds);
          left.push(kept.tab.status.retryIn);
        }
        return left;
        """
    ) == [8, 5, 0]
