"""The REST companion against a scripted HTTP server on loopback."""

import asyncio
import gc
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from onesocket.errors import (
    CertificateInvalid,
    ClientClosed,
    ConnectFailed,
    EncodeError,
    InvalidOption,
    InvalidURL,
    TLSFailed,
)
from onesocket_discord.rest import (
    Accounts,
    BadAnswer,
    Login,
    NotFound,
    RateLimited,
    RequestLost,
    Rest,
    RestError,
    RestTimeout,
    ServerTrouble,
    Unauthorized,
)
from onesocket_discord.rest import _http_transport as http_module

TOKEN = "MTIz.secret.token"
Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedApi:
    """Answers each request by the next step, or with an empty object."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.over = asyncio.Event()

    async def silence(self, _request: web.Request) -> web.StreamResponse:
        await self.over.wait()
        return web.Response()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.seen.append((request.method, request.raw_path.removeprefix("/api/v10")))
        self.bodies.append(json.loads(raw) if raw else None)
        self.headers.append(dict(request.headers))
        step = self.steps.pop(0) if self.steps else respond({})
        return await step(request)


def respond(body: Any, status: int = 200, **headers: str) -> Step:
    async def step(_request: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return web.Response(body=body, status=status, headers=names, content_type="text/html")
        return web.json_response(body, status=status, headers=names)

    return step


async def drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_response(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"id": ')
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    scripted = ScriptedApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
    yield scripted
    scripted.over.set()
    await runner.cleanup()


@pytest.fixture
async def rest(api: ScriptedApi) -> AsyncIterator[Rest]:
    async with Rest(TOKEN, api_url=api.url, timeout=20) as made:
        yield made


async def test_a_message_with_all_that_belongs_to_it(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [respond({"id": "7"})]
    assert await rest.send_message(5, "hello", reply_to="6") == {"id": "7"}
    assert api.seen == [("POST", "/channels/5/messages")]
    nonce = api.bodies[0].pop("nonce")
    assert len(nonce) == 24
    assert api.bodies == [{"content": "hello", "message_reference": {"message_id": "6"}, "enforce_nonce": True}]
    assert api.headers[0]["Authorization"] == f"Bot {TOKEN}"
    assert api.headers[0]["Content-Type"] == "application/json"
    assert api.headers[0]["User-Agent"].startswith("DiscordBot (")


CALLS: list[tuple[Callable[[Rest], Awaitable[Any]], Any, str, str, Any]] = [
    (lambda r: r.edit_message(1, 2, "x"), {}, "PATCH", "/channels/1/messages/2", {"content": "x"}),
    (lambda r: r.delete_message(1, 2), None, "DELETE", "/channels/1/messages/2", None),
    (lambda r: r.message(1, 2), {}, "GET", "/channels/1/messages/2", None),
    (lambda r: r.messages(1, around=9, limit=3), [], "GET", "/channels/1/messages?around=9&limit=3", None),
    (lambda r: r.add_reaction(1, 2, "👍"), None, "PUT", "/channels/1/messages/2/reactions/%F0%9F%91%8D/@me", None),
    (lambda r: r.remove_reaction(1, 2, "a_b:3"), None, "DELETE", "/channels/1/messages/2/reactions/a_b%3A3/@me", None),
    (lambda r: r.remove_reaction(1, 2, "a_b:3", 4), None, "DELETE", "/channels/1/messages/2/reactions/a_b%3A3/4", None),
    (lambda r: r.typing(1), None, "POST", "/channels/1/typing", None),
    (lambda r: r.ack(1, 2), {}, "POST", "/channels/1/messages/2/ack", {"token": None}),
    (lambda r: r.pin(1, 2), None, "PUT", "/channels/1/messages/pins/2", None),
    (lambda r: r.unpin(1, 2), None, "DELETE", "/channels/1/messages/pins/2", None),
    (lambda r: r.pins(1), {"items": [], "has_more": False}, "GET", "/channels/1/messages/pins?limit=50", None),
    (lambda r: r.create_guild("us"), {}, "POST", "/guilds", {"name": "us"}),
    (lambda r: r.guild(1), {}, "GET", "/guilds/1", None),
    (lambda r: r.guilds(), [], "GET", "/users/@me/guilds?limit=200", None),
    (lambda r: r.leave_guild(1), None, "DELETE", "/users/@me/guilds/1", None),
    (lambda r: r.guild_channels(1), [], "GET", "/guilds/1/channels", None),
    (lambda r: r.create_channel(1, "c"), {}, "POST", "/guilds/1/channels", {"name": "c", "type": 0}),
    (lambda r: r.channel(1), {}, "GET", "/channels/1", None),
    (
        lambda r: r.create_invite(1, max_age=0),
        {},
        "POST",
        "/channels/1/invites",
        {"max_age": 0, "max_uses": 0, "unique": False},
    ),
    (lambda r: r.invite("abc"), {}, "GET", "/invites/abc", None),
    (lambda r: r.accept_invite("https://discord.gg/abc"), {}, "POST", "/invites/abc", {}),
    (lambda r: r.create_dm(3), {}, "POST", "/users/@me/channels", {"recipient_id": "3"}),
    (lambda r: r.me(), {}, "GET", "/users/@me", None),
    (lambda r: r.user(3), {}, "GET", "/users/3", None),
    (lambda r: r.gateway(), {"url": "wss://x"}, "GET", "/gateway", None),
    (lambda r: r.gateway_bot(), {"url": "wss://x", "shards": 1}, "GET", "/gateway/bot", None),
]


@pytest.mark.parametrize(("call", "answer", "method", "path", "body"), CALLS)
async def test_every_call(  # noqa: PLR0917 - pytest calls it by keyword
    api: ScriptedApi, rest: Rest, call: Callable[[Rest], Awaitable[Any]], answer: Any, method: str, path: str, body: Any
) -> None:
    async def empty(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    api.steps = [empty if answer is None else respond(answer)]
    await call(rest)
    assert (api.seen, api.bodies) == ([(method, path)], [body])


async def test_history_pages_back_from_now(api: ScriptedApi, rest: Rest) -> None:
    pages = [[{"id": str(number)} for number in range(top, top - 100, -1)] for top in (300, 200)]
    api.steps = [respond(pages[0]), respond(pages[1]), respond([{"id": "100"}])]
    found = [int(message["id"]) async for message in rest.history(1)]
    assert found == list(range(300, 99, -1))
    assert [path.partition("?")[2] for _, path in api.seen] == [
        "limit=100",
        "before=201&limit=100",
        "before=101&limit=100",
    ]


async def test_history_goes_on_from_a_message_oldest_first(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [
        respond([{"id": str(number)} for number in range(110, 10, -1)]),
        respond([{"id": "112"}, {"id": "111"}]),
    ]
    found = [int(message["id"]) async for message in rest.history(1, after=10, limit=102)]
    assert found == list(range(11, 113))
    assert [path.partition("?")[2] for _, path in api.seen] == ["after=10&limit=100", "after=110&limit=2"]


async def test_pages_that_never_end_are_noticed(api: ScriptedApi, rest: Rest) -> None:
    page = [{"id": str(number)} for number in range(200, 100, -1)]
    api.steps = [respond(page), respond(page)]
    with pytest.raises(BadAnswer, match="don't go on"):
        _ = [message async for message in rest.history(1)]


async def test_members_page_by_user_id(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [
        respond([{"user": {"id": str(number)}} for number in range(1, 1001)]),
        respond([{"user": {"id": "1001"}}]),
    ]
    found = [int(member["user"]["id"]) async for member in rest.members(1)]
    assert found == list(range(1, 1002))
    assert [path.partition("?")[2] for _, path in api.seen] == ["after=0&limit=1000", "after=1000&limit=1000"]


async def test_a_reason_and_any_route(api: ScriptedApi, rest: Rest) -> None:
    await rest.request(
        "PUT", "/guilds/{guild_id}/bans/{user_id}", params={"guild_id": 1, "user_id": 2}, reason="bad\r\nX: y"
    )
    assert api.seen == [("PUT", "/guilds/1/bans/2")]
    assert api.headers[0]["X-Audit-Log-Reason"] == "bad%0D%0AX%3A y"


async def test_an_encoded_parameter_stays_encoded(api: ScriptedApi, rest: Rest) -> None:
    await rest.request("GET", "/invites/{code}", params={"code": "%2e%2e%2fx?y"})
    assert api.seen == [("GET", "/invites/%252e%252e%252fx%3Fy")]


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.send_message(1, ""),
        lambda r: r.send_message(1, "x" * 2001),
        lambda r: r.send_message("../users/@me", "x"),
        lambda r: r.send_message(1, "\ud800"),
        lambda r: r.add_reaction(1, 2, "../.."),
        lambda r: r.messages(1, before=1, after=2),
        lambda r: r.messages(1, limit=101),
        lambda r: r.request("POST", "/x", json=object()),
        lambda r: r.request("GET", "/x", query={"a": []}),
        lambda r: r.request("GET", "/x", timeout=0),
        lambda r: r.request("GET", "/x", reason=""),
    ],
)
async def test_what_would_be_refused_is_not_sent(
    api: ScriptedApi, rest: Rest, call: Callable[[Rest], Awaitable[Any]]
) -> None:
    with pytest.raises((InvalidOption, EncodeError)):
        await call(rest)
    assert api.seen == []


async def test_a_limit_is_learnt_and_then_kept(api: ScriptedApi, rest: Rest) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def limited(remaining: int) -> Step:
        async def step(_request: web.Request) -> web.StreamResponse:
            times.append(loop.time())
            headers = {"X-RateLimit-Bucket": "b", "X-RateLimit-Limit": "2", "X-RateLimit-Reset-After": "0.3"}
            return web.json_response({}, headers={**headers, "X-RateLimit-Remaining": str(remaining)})

        return step

    api.steps = [limited(1), limited(0), limited(1)]
    await asyncio.gather(*(rest.send_message(1, str(number)) for number in range(3)))
    assert [body["content"] for body in api.bodies] == ["0", "1", "2"]
    assert times[2] - times[1] >= 0.3


async def test_a_429_is_obeyed(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [
        respond({"message": "slow", "retry_after": 0.2, "global": False}, 429, Retry_After="1"),
        respond({"id": "1"}),
    ]
    before = asyncio.get_running_loop().time()
    await rest.create_channel(1, "not idempotent, but it was refused")
    assert asyncio.get_running_loop().time() - before >= 0.2


async def test_a_message_is_sent_again_with_the_same_nonce(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [respond(b"<html>bad gateway", 502), drop, half_response, respond({"id": "1"})]
    assert await rest.send_message(1, "once") == {"id": "1"}
    assert len(api.bodies) == 4
    assert len({body["nonce"] for body in api.bodies}) == 1


@pytest.mark.parametrize("step", [drop, half_response])
async def test_what_may_have_been_done_is_said_to_be_so(api: ScriptedApi, rest: Rest, step: Step) -> None:
    api.steps = [step]
    with pytest.raises(RequestLost, match="may or may not") as caught:
        await rest.create_guild("one is enough")
    assert not caught.value.retryable
    assert len(api.seen) == 1


async def test_a_5xx_for_what_could_be_done_twice(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [respond({"message": "oops"}, 500)]
    with pytest.raises(ServerTrouble, match="oops") as caught:
        await rest.create_guild("one is enough")
    assert (caught.value.status, caught.value.retryable) == (500, False)


async def test_a_server_that_says_nothing(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [api.silence]
    with pytest.raises(RestTimeout) as caught:
        await rest.request("GET", "/users/@me", timeout=0.2)
    assert caught.value.sent


@pytest.mark.parametrize("answer", [b"<html>hello", b"\xff\xfe", b'{"id": '])
async def test_an_answer_that_is_no_json(api: ScriptedApi, rest: Rest, answer: bytes) -> None:
    api.steps = [respond(answer)]
    with pytest.raises(BadAnswer, match="no JSON"):
        await rest.me()


async def test_an_answer_of_another_kind(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [respond([]), respond({}), respond([1]), respond({"url": 5})]
    for call in (rest.me, lambda: rest.messages(1), rest.guilds, rest.gateway):
        with pytest.raises(BadAnswer):
            await call()


async def test_a_huge_answer_is_bounded_before_and_after_decompression(
    api: ScriptedApi, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_BODY", 200_000)

    async def bomb(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"})

    api.steps = [respond(b"x" * 300_000), bomb, respond({"id": "1"})]
    for _ in range(2):
        with pytest.raises(BadAnswer, match="larger than 200000 bytes"):
            await rest.me()
    assert await rest.me() == {"id": "1"}


async def test_no_error_shows_the_token(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [
        respond(
            {"code": 0, "message": f"401: {TOKEN} is wrong", "errors": {TOKEN: {"_errors": [{"message": TOKEN}]}}}, 401
        ),
        respond(f"no such thing for Bot {TOKEN}".encode(), 404),
    ]
    with pytest.raises(Unauthorized, match="token_type") as first:
        await rest.me()
    with pytest.raises(NotFound) as second:
        await rest.me()
    for shown in (
        str(first.value),
        repr(first.value.__dict__),
        str(second.value),
        repr(rest),
        repr(vars(second.value)),
    ):
        assert "secret" not in shown


async def test_redirects_are_not_followed(api: ScriptedApi, rest: Rest) -> None:
    api.steps = [respond({}, 302, Location="/api/v10/elsewhere")]
    with pytest.raises(RestError) as caught:
        await rest.me()
    assert caught.value.status == 302
    assert len(api.seen) == 1


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with Rest(TOKEN, api_url=f"http://127.0.0.1:{unused_tcp_port}", max_retries=0) as rest:
        with pytest.raises(ConnectFailed) as caught:
            await rest.send_message(1, "x")
    assert caught.value.retryable


async def test_tls_with_a_plain_server(api: ScriptedApi) -> None:
    async with Rest(TOKEN, api_url=api.url.replace("http:", "https:")) as rest:
        with pytest.raises(TLSFailed) as caught:
            await rest.me()
    assert not isinstance(caught.value, CertificateInvalid)


async def test_closing_ends_what_is_on_its_way(api: ScriptedApi) -> None:
    arrived = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        arrived.set()
        return await api.silence(request)

    api.steps = [hold]
    rest = Rest(TOKEN, api_url=api.url)
    calls = [asyncio.create_task(rest.create_guild("ab")) for _ in range(2)]
    await arrived.wait()
    await rest.aclose()
    for call in calls:
        with pytest.raises(ClientClosed):
            await call
    with pytest.raises(ClientClosed):
        await rest.me()
    gc.collect()


async def test_a_session_that_was_handed_in_stays_open(api: ScriptedApi) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with Rest(TOKEN, api_url=api.url, session=session) as rest:
            api.steps = [respond({"message": "no"}, 404)]
            with pytest.raises(NotFound):
                await rest.me()
        assert not session.closed


async def test_people_sign_up_and_in(api: ScriptedApi) -> None:
    accounts = Accounts(api.url)
    api.steps = [respond({"token": "t1", "user_id": "1"}), respond({"token": "t2"}), respond({"id": "1"})]
    assert await accounts.register("ann", "pass word") == "t1"
    token = await accounts.login("ann", "pass word")
    async with Rest(token, api_url=api.url, token_type=None) as rest:
        await rest.me()
    await accounts.logout(token)
    assert [path for _, path in api.seen] == ["/auth/register", "/auth/login", "/users/@me", "/auth/logout"]
    assert api.bodies[:2] == [{"username": "ann", "password": "pass word"}, {"login": "ann", "password": "pass word"}]
    assert "Authorization" not in api.headers[0]
    assert api.headers[2]["Authorization"] == "t2"


LOGIN = {
    "id_hash": "aGFzaA",
    "created_at": "2026-01-02T03:04:05.000000+00:00",
    "approx_last_used_time": "2026-01-03T03:04:05.000000+00:00",
    "client_info": {"user_agent": "a phone"},
    "current": True,
}


async def test_people_list_and_end_their_logins(api: ScriptedApi) -> None:
    accounts = Accounts(api.url, user_agent="a test")
    api.steps = [respond({"user_sessions": [LOGIN, {**LOGIN, "client_info": {}, "current": False}]})]
    phone, other = await accounts.logins("t1")
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert phone == Login("aGFzaA", "a phone", when, when.replace(day=3), current=True)
    assert (other.client, other.current) == (None, False)
    api.steps = [drop]  # the answer is lost: asking for it twice does no harm
    await accounts.end_logins("t1", [phone.id_hash])
    await accounts.sign_out_everywhere("t1")
    ended = ("POST", "/auth/sessions/logout")
    assert api.seen == [("GET", "/auth/sessions"), ended, ended, ended]
    assert api.bodies == [None, {"session_id_hashes": ["aGFzaA"]}, {"session_id_hashes": ["aGFzaA"]}, {}]
    assert {(one["Authorization"], one["User-Agent"]) for one in api.headers} == {("t1", "a test")}


async def test_a_new_password_comes_with_a_new_token(api: ScriptedApi) -> None:
    accounts = Accounts(api.url, timeout=5)
    api.steps = [respond({"id": "1", "token": "t2"})]
    assert await accounts.change_password("t1", "hunter2", "battery staple") == "t2"
    assert api.seen == [("PATCH", "/users/@me")]
    assert api.bodies == [{"password": "hunter2", "new_password": "battery staple"}]
    api.steps = [drop]
    with pytest.raises(RequestLost) as lost:  # a second time it would be the wrong password
        await accounts.change_password("t1", "hunter2", "battery staple")
    assert not lost.value.retryable
    api.steps = [respond({"message": "slow down", "retry_after": 50.0}, 429, Retry_After="50")]
    with pytest.raises(RateLimited) as limited:
        await accounts.change_password("t1", "hunter2", "battery staple")
    assert limited.value.retry_after == pytest.approx(50, abs=1)
    assert len(api.seen) == 3


@pytest.mark.parametrize("hashes", [[], "aGFzaA", ["x"] * 101, [5]])
async def test_no_list_of_hashes_ends_more_than_it_names(api: ScriptedApi, hashes: Any) -> None:
    with pytest.raises(InvalidOption, match="id_hashes"):
        await Accounts(api.url).end_logins("t1", hashes)
    assert api.seen == []


@pytest.mark.parametrize(
    "sessions", [None, [5], [{}], [{**LOGIN, "created_at": "today"}], [{**LOGIN, "client_info": 5}]]
)
async def test_a_list_of_logins_that_is_none_is_a_bad_answer(api: ScriptedApi, sessions: Any) -> None:
    api.steps = [respond({"user_sessions": sessions})]
    with pytest.raises(BadAnswer):
        await Accounts(api.url).logins("t1")


# The last one's form in a JSON text is another one.
@pytest.mark.parametrize("secret", ["hunter2", 'hünt"er\\2'])
async def test_no_error_shows_a_password_or_a_token(api: ScriptedApi, secret: str) -> None:
    accounts = Accounts(api.url)
    said = {"message": f"{secret} and t0ken are wrong", "errors": {"password": {"_errors": [{"message": secret}]}}}
    calls: tuple[Callable[[], Awaitable[str]], ...] = (
        lambda: accounts.register("ann", secret),
        lambda: accounts.login("ann", secret),
        lambda: accounts.change_password("t0ken", secret, "battery staple"),
        lambda: accounts.change_password("t0ken", "battery staple", secret),
    )
    for call in calls:
        for error, step in (
            (RestError, respond(said, 400)),
            (BadAnswer, respond({"no": secret})),
            (BadAnswer, respond(b"<")),
        ):
            api.steps = [step]
            with pytest.raises(error) as caught:
                await call()
            assert secret not in str(caught.value) + repr(caught.value)
    api.steps = [respond(said, 400)]
    with pytest.raises(RestError) as caught:
        await accounts.logins("t0ken")
    assert "t0ken" not in str(caught.value)
    with pytest.raises(InvalidOption, match="the new password") as refused:
        await accounts.change_password("t0ken", secret, "")
    assert secret not in str(refused.value)


@pytest.mark.parametrize("token", ["", "Bot x", "x\ny", "é", 5])
def test_a_token_that_can_be_none_is_refused_without_being_shown(token: Any) -> None:
    with pytest.raises(InvalidOption) as caught:
        Rest(token)
    assert not token or str(token) not in str(caught.value).replace("'Bot '", "")


@pytest.mark.parametrize("url", ["ws://x/", "x", "http://u:p@x/", "http://x/?a=b", "http://x/#a"])
def test_an_api_url_that_is_none(url: str) -> None:
    with pytest.raises((InvalidURL, InvalidOption)):
        Rest("x", api_url=url)
