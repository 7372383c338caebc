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
