"""The store that the hooks of React read and call, without React."""

from tests.support.node_page import NodePage
from tests.support.terminals import ROOT

MODULE = ROOT / "packages" / "onesocket-js" / "src" / "react" / "connection-store.js"


async def test_a_component_that_is_mounted_anew_may_send_before_the_effects_of_its_provider(page: NodePage) -> None:
    assert await page.run(
        """
        const {ConnectionStore} = await import(data);
        const store = new ConnectionStore();
        const early = store.send('early');
        const client = {status: {state: one.State.CONNECTED}, send: (message) => `sent ${message}`};
        store.attach({
          client, status: {isConnecting: false}, onChange: () => () => {}, notices: {add: () => () => {}, active: []},
        });
        return [await early, await store.send('late')];
        """,
        MODULE.as_uri(),
    ) == ["sent early", "sent late"]


async def test_a_message_without_a_user_is_refused(page: NodePage) -> None:
    assert (
        await page.run(
            """
        const {ConnectionStore} = await import(data);
        const store = new ConnectionStore();
        const refused = store.send('x').catch(({name}) => name);
        store.attach({
          client: null, status: {isConnecting: false}, onChange: () => () => {},
          notices: {add: () => () => {}, active: []},
        });
        return refused;
        """,
            MODULE.as_uri(),
        )
        == "UsageError"
    )


async def test_what_a_component_asked_for_goes_on_though_its_provider_is_unmounted_at_once(page: NodePage) -> None:
    """React calls the effects of a tree just before it unmounts it for another one, in the same turn."""
    assert await page.run(
        """
        const {ConnectionStore} = await import(data);
        const store = new ConnectionStore();
        const early = [store.connect(), store.send('early')];
        store.attach({
          client: {status: {state: one.State.CONNECTED}, send: (message) => `sent ${message}`},
          connectIfAuthenticated: () => 'joined', status: {isConnecting: false}, onChange: () => () => {},
          notices: {add: () => () => {}, active: []},
        });
        store.detach();
        return Promise.all(early);
        """,
        MODULE.as_uri(),
    ) == ["joined", "sent early"]


REGISTRY = MODULE.parent / "provider-registry.js"
REGISTERED = """
const {acquire, release} = await import(data);
const log = [];
const warn = console.warn;
console.warn = (text) => log.push(`warned: ${text.includes('name')}`);
/** Mounts a component; returns its entry. */
const mount = (name, client, {last = null, auth = async () => 'token'} = {}) => {
  const make = (ask) => ({
    ask,
    close: async () => { log.push(`closing ${client}`); await turn(); log.push(`closed ${client}`); },
  });
  return acquire({name, client, last}, make, auth);
};
"""


async def test_providers_without_a_name_share_by_their_function_alone(page: NodePage) -> None:
    assert await page.run(
        REGISTERED
        + """
        const [feed, chat] = [() => 'feed', () => 'chat'];
        const first = mount(null, feed);
        const same = [mount(null, feed) === first, mount(null, chat) === first];
        const named = mount('feed', feed);
        same.push(named === first, mount('feed', chat) === named);
        return [same, log];
        """,
        REGISTRY.as_uri(),
    ) == [[True, False, False, True], ["warned: true"]]


async def test_a_provider_with_another_function_opens_nothing_before_the_last_one_has_ended(page: NodePage) -> None:
    """A hot reload that mounts anew has another function, and so has the page that a router goes to."""
    assert await page.run(
        REGISTERED
        + """
        const first = mount(null, 'feed');
        release(first);
        const second = mount(null, 'chat', {auth: async () => { log.push('asked'); return 'token of chat'; }});
        const token = await second.provider.ask(null, null);
        release(second);
        const remounted = mount(null, 'an inline function', {last: second});
        return [second === first, token, remounted === second, log];
        """,
        REGISTRY.as_uri(),
    ) == [False, "token of chat", True, ["closing feed", "closed feed", "asked"]]
