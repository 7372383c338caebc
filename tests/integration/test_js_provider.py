"""The provider of the JavaScript package: connects if a user is signed in, and shows notices. The server counts."""

import asyncio
from typing import Any

from onesocket.testing import Fault, FaultyServer
from tests.support.node_page import NodePage


async def make_provider(page: NodePage, url: str, auth: str = "() => kept.user") -> None:
    """Make `kept.provider` for `kept.user`; its notices are noted in `kept.noted`."""
    await page.run(
        f"""
        Object.assign(kept, {{noted: [], user: null, built: 0, asked: 0, errors: []}});
        const withdraw = (id) => kept.noted.push(`over: ${{id}}`);
        const sink = {{show: (notice) => kept.noted.push(notice.title), withdraw}};
        const protocol = () => new one.Raw({{tokenPlace: new one.TokenQuery()}});
        const reconnect = new one.ReconnectPolicy({{initial: 0.01, cap: 0.02}});
        const auth = {auth};
        kept.provider = new one.Provider(
          (token) => {{
            kept.built += 1;
            return new one.Client(data, {{token, protocol: protocol(), reconnect, logger: null}});
          }},
          {{auth: (...all) => {{ kept.asked += 1; return auth(...all) }}, notices: sink}},
        );
        kept.alice = new one.Identity('alice', 'of-alice');
        kept.bob = new one.Identity('bob', 'of-bob');
        """,
        url,
    )


def tokens(server: FaultyServer) -> list[str]:
    return [connection.request_path.rpartition("=")[2] for connection in server.history]


async def test_nothing_is_attempted_until_a_user_is_signed_in(page: NodePage, server: FaultyServer) -> None:
    await make_provider(page, server.url)
    assert await page.run("return kept.provider.connectIfAuthenticated()") == "not authenticated"
    assert await page.run("return [kept.built, kept.provider.client]") == [0, None]
    outcomes = await page.run(
        """
        kept.user = kept.alice;
        return Promise.all(Array.from({length: 20}, () => kept.provider.connectIfAuthenticated()));
        """
    )
    assert outcomes == ["opened", *["joined"] * 19]
    assert await page.run("return kept.provider.connectIfAuthenticated()") == "already connected"
    assert await page.run("return [kept.built, kept.asked]") == [1, 2]
    assert (server.counts.tcp_accepted, tokens(server)) == (1, ["of-alice"])
    await page.run("await kept.provider.close()")
    assert server.counts.close_codes == {1000: 1}


async def test_logout_holds_the_connection_closed_until_login(page: NodePage, server: FaultyServer) -> None:
    await make_provider(page, server.url)
    assert await page.run(
        """
        kept.user = kept.alice;
        const {provider} = kept;
        await provider.connectIfAuthenticated();
        await provider.logout();
        const held = await nameOf(provider.connectIfAuthenticated());
        return [held, provider.status.isHeld, await provider.login(), kept.built];
        """
    ) == ["ManuallyDisconnected", True, "opened", 1]
    assert (server.counts.upgraded, server.counts.most_open) == (2, 1)


async def test_logout_ends_calls_that_wait(page: NodePage, server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = [Fault.hold_upgrade(release)]
    await make_provider(page, server.url)
    connecting = page.start("kept.user = kept.alice; return nameOf(kept.provider.connectIfAuthenticated())")
    await server.wait_until(lambda counts: counts.tcp_accepted == 1)
    leaving = page.start("return nameOf(kept.provider.logout())")
    assert await connecting == "ConnectAborted"
    release.set()
    assert await leaving == "done"
    assert server.counts.premature_closes == 0


async def test_another_identity_gets_a_connection_of_its_own_after_the_first(
    page: NodePage, server: FaultyServer
) -> None:
    await make_provider(page, server.url)
    await page.run(
        """
        kept.user = kept.alice;
        await kept.provider.connectIfAuthenticated();
        kept.stream = kept.provider.client.subscribe();
        kept.user = kept.bob;
        await kept.provider.login(kept.bob);
        """
    )
    assert tokens(server) == ["of-alice", "of-bob"]
    assert server.counts.most_open == 1
    assert await page.run("return kept.stream.next()") == {"done": True}


async def test_the_newest_login_wins(page: NodePage, server: FaultyServer) -> None:
    await make_provider(page, server.url)
    assert await page.run(
        """
        const {provider, alice, bob} = kept;
        return Promise.all([nameOf(provider.login(alice)), nameOf(provider.login(bob)), nameOf(provider.login(bob))]);
        """
    ) == ["ConnectAborted", "opened", "joined"]
    assert tokens(server)[-1] == "of-bob"
    assert server.counts.most_open == 1


async def test_a_lost_connection_asks_again_who_is_signed_in(page: NodePage, server: FaultyServer) -> None:
    await make_provider(page, server.url)
    await page.run("kept.user = kept.alice; await kept.provider.connectIfAuthenticated()")
    await page.run("kept.user = new one.Identity('alice', 'renewed')")
    server.kill_connections()
    await server.wait_until(lambda counts: counts.upgraded == 2)
    await page.run("await kept.provider.client.waitFor('connected'); kept.user = null")
    server.kill_connections()
    await page.run("await kept.provider.client.waitFor('failed')")
    assert tokens(server) == ["of-alice", "renewed"]
    noted = await page.run("return kept.noted")
    assert noted == [
        "Connection Lost",
        "over: connection-lost",
        "Connection Lost",
        "over: connection-lost",
        "Session Expired",
    ]
    assert (await page.run("return kept.provider.client.status.lastError"))["error"] == "SessionExpired"
    assert await page.run("return kept.provider.connectIfAuthenticated()") == "not authenticated"
    assert await page.run("kept.user = kept.alice; return kept.provider.connectIfAuthenticated()") == "opened"
    assert await page.run("return kept.provider.notices.active") == []


async def test_failures_become_notices_without_tokens(page: NodePage, server: FaultyServer) -> None:
    server.faults = [Fault.refuse(503)]
    await make_provider(
        page, server.url, "() => { if (kept.user === null) throw new Error('s3cret'); return kept.user }"
    )
    first: Any = await page.run("return kept.provider.connectIfAuthenticated().catch((error) => error)")
    assert (first["error"], first["retryable"]) == ("TokenFailed", True)
    assert (await page.run("return kept.provider.notices.active"))[0]["id"] == "sign-in-failed"
    assert (
        await page.run("kept.user = kept.alice; return nameOf(kept.provider.connectIfAuthenticated())")
        == "ConnectFailed"
    )
    assert await page.run("return kept.provider.connectIfAuthenticated()") == "opened"
    noted = await page.run("return kept.noted")
    assert noted == ["Sign-in Failed", "over: sign-in-failed", "Connection Failed", "over: connection-failed"]


async def test_auth_that_does_not_answer_ends_in_time(page: NodePage, server: FaultyServer) -> None:
    await page.run(
        """
        const auth = () => new Promise(() => {});
        kept.provider = new one.Provider(data, {auth, authTimeout: 0.02, notices: new one.Notices()});
        """,
        server.url,
    )
    assert await page.run("return nameOf(kept.provider.connectIfAuthenticated())") == "AuthTimeout"


async def test_the_last_caller_that_gives_up_ends_the_attempt(page: NodePage, server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = [Fault.hold_upgrade(release)]
    await make_provider(page, server.url)
    withdrawn = page.start(
        """
        kept.user = kept.alice;
        kept.controllers = [new AbortController(), new AbortController()];
        const calls = kept.controllers.map(({signal}) => nameOf(kept.provider.connectIfAuthenticated({signal})));
        return Promise.all(calls);
        """
    )
    await server.wait_until(lambda counts: counts.tcp_accepted == 1)
    await page.run("for (const controller of kept.controllers) controller.abort(new TypeError('withdrawn'))")
    assert await withdrawn == ["TypeError", "TypeError"]
    release.set()
    await page.run("await kept.provider.client.waitFor('disconnected')")
    assert server.counts.close_codes == {1000: 1}
