"""REST over a real socket: valid and invalid requests of clients and bots."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from onesocket_discord.server._login_guard import LoginGuard
from onesocket_discord.server._ports import Account, Json
from onesocket_discord.server.rest import (
    RateLimit,
    RateLimiter,
    RequestHook,
    TrustedProxies,
    error_response,
    make_app,
    scripted_rate_limit_response,
)
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, running_service

NO_LIMIT = RateLimit(1000, 1.0)
GATEWAY = "ws://127.0.0.1:1/"
SESSION_START_LIMIT = {"total": 1000, "remaining": 999, "reset_after": 1, "max_concurrency": 1}


@dataclass
class HttpAnswer:
    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def said(self) -> tuple[int, int]:
        return self.status, self.body["code"]


@dataclass
class RestServer:
    world: ServiceFixture
    port: int
    http: aiohttp.ClientSession
    hooks: list[RequestHook]
    now: list[float] = field(default_factory=lambda: [0.0])

    async def ask(self, method: str, path: str, token: str | None = None, body: Any = None, **more: Any) -> HttpAnswer:
        headers = more.pop("headers", {}) | ({} if token is None else {"Authorization": token})
        if body is not None:
            more["data"] = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        prefix = more.pop("prefix", "/api/v10")
        url = f"http://127.0.0.1:{self.port}{prefix}{path}"
        async with self.http.request(method, url, headers=headers, **more) as response:
            return HttpAnswer(response.status, response.headers, await response.read())

    async def person(self, name: str) -> str:
        made = await self.ask("POST", "/auth/register", body={"username": name, "password": "correct horse"})
        assert made.status == 201
        token: str = made.body["token"]
        return token

    async def bot(self, name: str) -> str:
        return f"Bot {(await self.world.service.accounts.create_bot(name))[0]}"

    async def general(self, token: str) -> str:
        (guild,) = (await self.ask("GET", "/users/@me/guilds", token)).body
        (channel,) = (await self.ask("GET", f"/guilds/{guild['id']}/channels", token)).body
        where: str = channel["id"]
        return where


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def started(
            usual: RateLimit = NO_LIMIT,
            proxies: TrustedProxies | None = None,
            guard: LoginGuard | None = None,
            **limits: RateLimit,
        ) -> RestServer:
            world = await stack.enter_async_context(running_service())
            hooks: list[RequestHook] = []
            now = [0.0]

            async def starts(account: Account) -> Json:
                return {**SESSION_START_LIMIT, "remaining": 5 if account.bot else 4}

            limiter = RateLimiter(usual, clock=lambda: now[0], wall=lambda: 1000 + now[0], **limits)
            app = make_app(
                world.service,
                gateway_url=lambda: GATEWAY,
                session_start_limit=starts,
                hooks=hooks,
                limiter=limiter,
                proxies=proxies,
                guard=guard,
            )
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)))
            return RestServer(world, runner.addresses[0][1], http, hooks, now)

        yield started


async def test_a_bot_finds_the_gateway_and_itself(start: Start) -> None:
    server = await start()
    bot = await server.bot("helper")
    for prefix in ("/api/v10", "/api"):
        assert (await server.ask("GET", "/gateway", prefix=prefix)).body == {"url": GATEWAY}
        gateway = await server.ask("GET", "/gateway/bot", bot, prefix=prefix, headers={"User-Agent": ""})
        assert gateway.body == {
            "url": GATEWAY,
            "shards": 1,
            "session_start_limit": {**SESSION_START_LIMIT, "remaining": 5},
        }
        assert gateway.headers.getall("Content-Type") == ["application/json"]
    me = (await server.ask("GET", "/users/@me", bot)).body
    assert {"id", "username", "discriminator", "avatar", "verified"} <= set(me)
    for path in ("/oauth2/applications/@me", "/applications/@me"):
        application = (await server.ask("GET", path, bot)).body
        required = "id name icon description summary bot_public bot_require_code_grant verify_key owner"
        assert set(required.split()) <= set(application)
    assert (await server.ask("GET", f"/users/{me['id']}", bot)).body["username"] == "helper"
    commands = f"/applications/{me['id']}/commands"
    made = await server.ask("POST", commands, bot, {"name": "ping", "description": "pong"})
    assert made.status == 201
    assert (await server.ask("PUT", commands, bot, [])).body == []
    assert (await server.ask("GET", f"{commands}/{made.body['id']}", bot)).said == (404, 10063)


@pytest.mark.parametrize("form", ["none", "empty", "wrong", "no prefix", "Bearer", "prefix alone", "not ASCII"])
async def test_tokens_that_open_nothing(start: Start, form: str) -> None:
    server = await start()
    bot, person = await server.bot("helper"), await server.person("ann")
    tokens = {
        "none": None,
        "empty": "",
        "wrong": bot + "x",
        "no prefix": bot.removeprefix("Bot "),
        "Bearer": f"Bearer {person}",
        "prefix alone": "Bot ",
        "not ASCII": "Bot \xff",
    }
    for token in (tokens[form], f"Bot {person}"):
        answer = await server.ask("GET", "/users/@me", token)
        assert (answer.status, answer.body) == (401, {"message": "401: Unauthorized", "code": 0})


async def test_people_register_sign_in_and_out(start: Start) -> None:
    server = await start()
    first = await server.person("ann")
    again = await server.ask("POST", "/auth/login", body={"login": "ann", "password": "correct horse"})
    assert again.status == 200
    wrong = [
        await server.ask("POST", "/auth/login", body={"login": name, "password": "wrong"}) for name in ("ann", "eve")
    ]
    assert wrong[0].said == (400, 50035)
    assert wrong[0].raw == wrong[1].raw
    assert (await server.ask("POST", "/auth/logout", first)).status == 204
    assert (await server.ask("GET", "/users/@me", first)).status == 401
    assert (await server.ask("GET", "/users/@me", again.body["token"])).status == 200


async def test_sign_ins_are_limited_by_name_and_address(start: Start) -> None:
    server = await start(sign_in=RateLimit(3, 60.0), address=RateLimit(8, 60.0))
    await server.person("ann")

    async def sign_in(name: str, password: str) -> int:
        return int((await server.ask("POST", "/auth/login", body={"login": name, "password": password})).status)

    assert [await sign_in("ann", "wrong") for _ in range(3)] == [400] * 3
    assert await sign_in("ANN", "correct horse") == 429
    assert [await sign_in("bob", "wrong") for _ in range(4)] == [400, 400, 400, 429]
    assert await sign_in("eve", "wrong") == 429  # the address had its eight
    server.now[0] += 60
    assert await sign_in("ann", "correct horse") == 200


async def test_good_sign_ins_use_nothing_up_and_many_at_once_get_no_more_tries(start: Start) -> None:
    server = await start(sign_in=RateLimit(3, 60.0), address=RateLimit(4, 60.0))
    await server.person("ann")
    right, wrong = ({"login": "ann", "password": password} for password in ("correct horse", "wrong"))
    assert [(await server.ask("POST", "/auth/login", body=right)).status for _ in range(6)] == [200] * 6
    answers = await asyncio.gather(*(server.ask("POST", "/auth/login", body=wrong) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [400] * 3 + [429] * 5


async def test_behind_a_trusted_proxy_everybody_has_brakes_of_their_own(start: Start) -> None:
    async def sign_in(server: Any, password: str, forwarded: str) -> int:
        body = {"login": "ann", "password": password}
        return int((await server.ask("POST", "/auth/login", body=body, headers={"X-Forwarded-For": forwarded})).status)

    behind = await start(sign_in=RateLimit(2, 60.0), proxies=TrustedProxies(["127.0.0.1", "10.0.0.0/8"]))
    await behind.person("ann")
    assert [await sign_in(behind, "wrong", "203.0.113.5") for _ in range(3)] == [400, 400, 429]
    assert await sign_in(behind, "wrong", "198.51.100.1, 203.0.113.5, 10.1.2.3") == 429  # the first is made up
    assert await sign_in(behind, "correct horse", "192.0.2.7") == 200
    bare = await start(sign_in=RateLimit(2, 60.0))
    await bare.person("ann")
    assert [await sign_in(bare, "wrong", f"203.0.113.{number}") for number in range(3)] == [400, 400, 429]


async def test_unknown_tokens_of_one_address_are_looked_up_no_more(start: Start) -> None:
    guard = LoginGuard(RateLimit(3, 60.0))
    server = await start(guard=guard, proxies=TrustedProxies(["127.0.0.1"]))
    ann = await server.person("ann")
    bot = await server.bot("robo")
    here, there = {"X-Forwarded-For": "2001:db8::1"}, {"X-Forwarded-For": "2001:db8:0:1::1"}
    assert (await server.ask("GET", "/users/@me", ann, headers=there)).status == 200
    # The last half of the address is made up by the client.
    made_up = [{"X-Forwarded-For": f"2001:db8::{number}"} for number in range(2, 6)]
    tries = [await server.ask("GET", "/users/@me", f"guess{n}", headers=one) for n, one in enumerate(made_up)]
    assert [one.status for one in tries] == [401, 401, 401, 429]
    assert tries[3].body["global"] is True
    assert int(tries[3].headers["Retry-After"]) <= 60
    assert (await server.ask("GET", "/users/@me", ann, headers=here)).status == 200  # it is remembered
    assert (await server.ask("GET", "/users/@me", bot, headers=here)).status == 429
    assert (await server.ask("GET", "/users/@me", bot, headers=there)).status == 200
    assert (await server.ask("GET", "/users/@me", "guess", headers=there)).status == 401


async def test_ids_that_are_made_up_get_an_account_no_more_requests(start: Start) -> None:
    server = await start(account=RateLimit(5, 10.0))
    ann, bob = await server.person("ann"), await server.person("bob")
    made_up = [f"/channels/{number}" for number in (1, 2, "x" * 3000, "-1", 3, 4)]
    answers = [await server.ask("GET", path, ann) for path in made_up]
    assert [one.status for one in answers] == [404, 404, 400, 400, 404, 429]
    assert answers[5].body["global"] is True
    assert (await server.ask("GET", "/users/@me", bob)).status == 200
    server.now[0] += 10
    assert (await server.ask("GET", "/users/@me", ann)).status == 200


async def test_logins_over_http(start: Start) -> None:
    server = await start()
    ann = await server.person("ann")
    body = {"login": "ann", "password": "correct horse"}
    other = (await server.ask("POST", "/auth/login", body=body, headers={"User-Agent": "a phone"})).body["token"]
    found = (await server.ask("GET", "/auth/sessions", ann)).body["user_sessions"]
    (phone,) = [one for one in found if one["client_info"]["user_agent"] == "a phone"]
    path = "/auth/sessions/logout"
    assert (await server.ask("POST", path, ann, {"session_id_hashes": [phone["id_hash"]]})).status == 204
    assert (await server.ask("GET", "/users/@me", other)).status == 401
    assert (await server.ask("POST", path, ann, {"session_id_hashes": 5})).said == (400, 50035)
    change = {"password": "correct horse", "new_password": "battery staple"}
    answer = await server.ask("PATCH", "/users/@me", ann, change)
    assert (answer.body["username"], (await server.ask("GET", "/users/@me", ann)).status) == ("ann", 401)
    new = answer.body["token"]
    tries = [await server.ask("PATCH", "/users/@me", new, {**change, "password": "guess"}) for _ in range(6)]
    assert [one.status for one in tries] == [400] * 5 + [429]
    assert (await server.ask("POST", path, new)).status == 204
    assert (await server.ask("GET", "/users/@me", new)).status == 401


async def test_a_conversation(start: Start) -> None:
    server = await start()
    ann, bot = await server.person("ann"), await server.bot("helper")
    channel = await server.general(ann)
    messages = f"/channels/{channel}/messages"
    nonce = {"nonce": "n", "enforce_nonce": True}
    posted = (await server.ask("POST", messages, ann, {"content": "hello", **nonce})).body
    assert (await server.ask("POST", messages, ann, {"content": "hello", **nonce})).body == posted
    reply = {"content": "hi", "message_reference": {"message_id": posted["id"]}, "allowed_mentions": {"parse": []}}
    replied = (await server.ask("POST", messages, bot, reply)).body
    assert replied["referenced_message"]["id"] == posted["id"]
    one = f"{messages}/{posted['id']}"
    assert (await server.ask("PATCH", one, ann, {"content": "edited"})).body["content"] == "edited"
    assert (await server.ask("PATCH", one, bot, {"content": "mine"})).said == (403, 50005)
    assert (await server.ask("DELETE", one, bot)).said == (403, 50013)
    emoji = quote("👍")
    assert (await server.ask("PUT", f"{one}/reactions/{emoji}/@me", bot)).status == 204
    assert (await server.ask("PUT", f"{one}/reactions/{quote('blob:1')}/%40me", ann)).status == 204
    assert [user["username"] for user in (await server.ask("GET", f"{one}/reactions/{emoji}", ann)).body] == ["helper"]
    assert [each["emoji"]["name"] for each in (await server.ask("GET", one, ann)).body["reactions"]] == ["👍", "blob"]
    bot_id = (await server.ask("GET", "/users/@me", bot)).body["id"]
    assert (await server.ask("DELETE", f"{one}/reactions/{emoji}/{bot_id}", ann)).status == 204
    assert (await server.ask("PUT", f"/channels/{channel}/pins/{posted['id']}", ann)).status == 204
    assert [each["id"] for each in (await server.ask("GET", f"/channels/{channel}/pins", bot)).body] == [posted["id"]]
    assert len((await server.ask("GET", f"{messages}/pins", bot)).body["items"]) == 1
    assert (await server.ask("POST", f"/channels/{channel}/typing", bot)).status == 204
    assert (await server.ask("POST", f"{one}/ack", ann, {})).status == 200
    assert [each["id"] for each in (await server.ask("GET", f"{messages}?limit=1", ann)).body] == [replied["id"]]
    assert [each["id"] for each in (await server.ask("GET", f"{messages}?before={replied['id']}", ann)).body] == [
        posted["id"]
    ]
    both = {"messages": [posted["id"], replied["id"]]}
    assert (await server.ask("POST", f"{messages}/bulk-delete", ann, both)).status == 204
    assert (await server.ask("GET", messages, bot)).body == []
    assert (await server.ask("GET", one, ann)).said == (404, 10008)


async def test_guilds_invites_and_direct_messages(start: Start) -> None:
    server = await start()
    ann, bob, bot = await server.person("ann"), await server.person("bob"), await server.bot("helper")
    guild = (await server.ask("POST", "/guilds", ann, {"name": "private"})).body
    at, channel = f"/guilds/{guild['id']}", guild["channels"][0]["id"]
    assert (await server.ask("GET", at, bob)).said == (403, 50001)
    invite = (await server.ask("POST", f"/channels/{channel}/invites", ann, {})).body
    assert (await server.ask("GET", f"/invites/{invite['code']}", bob)).body["guild"]["name"] == "private"
    assert (await server.ask("POST", f"/invites/{invite['code']}", bob)).status == 200
    ids = {token: (await server.ask("GET", "/users/@me", token)).body["id"] for token in (ann, bob, bot)}
    assert (await server.ask("PUT", f"{at}/members/{ids[bot]}", ann, {})).status == 201
    members = (await server.ask("GET", f"{at}/members?limit=1000", bot)).body
    assert [one["user"]["id"] for one in members] == sorted(ids.values(), key=int)
    assert (await server.ask("GET", f"{at}/members/@me", bob)).body["user"]["username"] == "bob"
    assert (await server.ask("DELETE", f"{at}/members/{ids[ann]}", bob)).said == (403, 50013)
    assert (await server.ask("DELETE", f"{at}/members/{ids[bob]}", ann)).status == 204
    made = await server.ask("POST", f"{at}/channels", ann, {"name": "second", "type": 0})
    assert made.status == 201
    assert (await server.ask("PATCH", f"/channels/{made.body['id']}", ann, {"topic": "t"})).body["topic"] == "t"
    assert (await server.ask("DELETE", f"/channels/{made.body['id']}", ann)).status == 200
    assert (await server.ask("PATCH", at, ann, {"name": "renamed"})).body["name"] == "renamed"
    assert (await server.ask("DELETE", f"/users/@me/guilds/{guild['id']}", bot)).status == 204
    dm = (await server.ask("POST", "/users/@me/channels", bot, {"recipient_id": ids[ann]})).body
    assert (dm["type"], dm["recipients"][0]["username"]) == (1, "ann")
    assert [one["id"] for one in (await server.ask("GET", "/users/@me/channels", ann)).body] == [dm["id"]]
    assert (await server.ask("PATCH", "/users/@me", ann, {"username": "anna"})).body["username"] == "anna"
    assert (await server.ask("DELETE", at, ann)).status == 204


# --- invalid requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, 50109),
        (b"\xff\xfe", 400, 50109),
        (b'{"content": "\\ud800"}', 400, 50109),
        (b'{"content": NaN}', 400, 50109),
        (b"[" * 100_000, 400, 50109),
        (b'{"embeds": [' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"]}", 400, 50109),
        (b"null", 400, 50035),
        (b"[]", 400, 50035),
        (b'"text"', 400, 50035),
        (b"", 400, 50006),
        (b'{"content": "a\\u0000b"}', 400, 50035),
        (b'{"content": "x", "nonce": 1e400}', 400, 50109),
        (b'{"content": "x", "nonce": 1.5}', 400, 50035),
        (b'{"content": "x", "flags": 99999999999999999999999999}', 400, 50035),
        (b'{"content": "' + b"x" * 2_000_000 + b'"}', 413, 40005),
    ],
)
async def test_bodies_that_are_refused(start: Start, raw: bytes, status: int, code: int) -> None:
    server = await start()
    ann = await server.person("ann")
    path = f"/channels/{await server.general(ann)}/messages"
    answer = await server.ask("POST", path, ann, data=io.BytesIO(raw), headers={"Content-Type": "application/json"})
    assert answer.said == (status, code)
    assert answer.headers["Content-Type"] == "application/json"
    assert (await server.ask("GET", path, ann)).body == []


async def test_the_errors_name_the_fields(start: Start) -> None:
    server = await start()
    ann = await server.person("ann")
    path = f"/channels/{await server.general(ann)}/messages"
    wrong = {"content": "x" * 2001, "tts": 1, "message_reference": {"message_id": "x"}}
    body = (await server.ask("POST", path, ann, wrong)).body
    assert body["message"] == "Invalid Form Body"
    assert set(body["errors"]) == {"content", "tts", "message_reference"}
    assert body["errors"]["content"]["_errors"][0] == {
        "code": "BASE_TYPE_MAX_LENGTH",
        "message": "Must be 2000 or fewer in length.",
    }
    assert "_errors" in body["errors"]["message_reference"]["message_id"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=", "limit=-5", "before=x", "after=1;--", "around=²"]
)
async def test_queries_that_are_refused(start: Start, query: str) -> None:
    server = await start()
    ann = await server.person("ann")
    answer = await server.ask("GET", f"/channels/{await server.general(ann)}/messages?{query}", ann)
    assert answer.said == (400, 50035)
    assert set(answer.body["errors"]) == {query.partition("=")[0]}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, 0),
        ("GET", "/", 404, 0),
        ("GET", "/../../etc/passwd", 404, 0),
        ("PUT", "/users/@me", 405, 0),
        ("DELETE", "/gateway", 405, 0),
        ("GET", "/channels/x", 400, 50035),
        ("GET", "/channels/1' OR '1'='1", 400, 50035),
        ("GET", "/channels/99999999999999999999", 400, 50035),
        ("GET", "/channels/1", 404, 10003),
        ("GET", "/guilds/1", 404, 10004),
        ("GET", "/users/1", 404, 10013),
        ("GET", "/invites/%00", 404, 10006),
        ("PUT", "/channels/1/messages/1/reactions/%F0%28%8C%28/@me", 404, 10003),
    ],
)
async def test_paths_that_lead_nowhere(start: Start, method: str, path: str, status: int, code: int) -> None:
    server = await start()
    answer = await server.ask(method, path, await server.person("ann"))
    assert answer.said == (status, code)
    assert answer.headers["Content-Type"] == "application/json"


async def test_the_ids_of_the_path_are_checked_before_the_body(start: Start) -> None:
    server = await start()
    ann = await server.person("ann")
    assert (await server.ask("POST", "/channels/x/messages", ann, data=b"{")).said == (400, 50035)
    assert (await server.ask("POST", "/channels/1/messages", ann, data=b"{")).said == (400, 50109)


async def test_the_words_for_unknown_routes_are_discords(start: Start) -> None:
    server = await start()
    assert (await server.ask("GET", "/nothing")).body == {"message": "404: Not Found", "code": 0}
    wrong = await server.ask("PUT", "/users/@me")
    assert wrong.body == {"message": "405: Method Not Allowed", "code": 0}
    assert "GET" in wrong.headers["Allow"]


async def test_forms_with_a_payload_are_read(start: Start) -> None:
    server = await start()
    ann = await server.person("ann")
    path = f"/channels/{await server.general(ann)}/messages"
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("payload_json", json.dumps({"content": "from a form"}), content_type="application/json")
    assert (await server.ask("POST", path, ann, data=form)).body["content"] == "from a form"
    broken = await server.ask("POST", path, ann, data=b"--x", headers={"Content-Type": "multipart/form-data"})
    assert broken.said == (400, 50109)


async def test_what_goes_wrong_inside_is_a_500_without_secrets(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = await start()
    ann = await server.person("ann")

    async def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("inside")

    server.world.service.messages.post = broken
    answer = await server.ask("POST", f"/channels/{await server.general(ann)}/messages", ann, {"content": "private"})
    assert answer.body == {"message": "500: Internal Server Error", "code": 0}
    assert answer.status == 500
    assert "RuntimeError: inside" in caplog.text
    assert ann not in caplog.text
    assert "private" not in caplog.text


# --- limits and hooks -------------------------------------------------------------------------------------------------


async def test_limits_hold_for_each_user_route_and_channel(start: Start) -> None:
    server = await start(usual=RateLimit(2, 10.0))
    ann, bob = await server.person("ann"), await server.person("bob")
    first, second, third = [await server.ask("GET", "/users/@me", ann) for _ in range(3)]
    said = {name: first.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset", "Reset-After")}
    assert said == {"Limit": "2", "Remaining": "1", "Reset": "1010.000", "Reset-After": "10.000"}
    assert second.headers["X-RateLimit-Remaining"] == "0"
    assert third.status == 429
    assert third.headers["Via"]  # without it libraries take it for a ban
    assert third.body == {"message": "You are being rate limited.", "retry_after": 10.0, "global": False, "code": 0}
    assert third.headers["Retry-After"] == "10"
    assert third.headers["X-RateLimit-Scope"] == "user"
    assert third.headers["X-RateLimit-Bucket"] == first.headers["X-RateLimit-Bucket"]
    assert (await server.ask("GET", "/users/@me", bob)).status == 200
    one, other = [(await server.ask("POST", "/guilds", ann, {"name": name})).body for name in ("one", "other")]
    paths = [f"/channels/{guild['channels'][0]['id']}" for guild in (one, other)]
    assert [(await server.ask("GET", path, ann)).status for path in paths * 2] == [200] * 4
    assert (await server.ask("GET", paths[0], ann)).status == 429
    server.now[0] += 10
    assert (await server.ask("GET", "/users/@me", ann)).status == 200


async def test_hooks_come_before_everything(start: Start) -> None:
    server = await start()
    seen: list[str] = []

    async def watch(request: web.Request) -> None:
        seen.append(request.path)

    async def limit(request: web.Request) -> web.Response | None:
        return scripted_rate_limit_response(request, 1.5, global_=True) if request.path.endswith("/gateway") else None

    async def outage(request: web.Request) -> web.Response | None:
        return error_response(502, 0, "502: Bad Gateway") if request.path.endswith("/nowhere") else None

    server.hooks.extend([watch, limit, outage])
    limited = await server.ask("GET", "/gateway")
    assert limited.body == {"message": "You are being rate limited.", "retry_after": 1.5, "global": True, "code": 0}
    assert (limited.headers["X-RateLimit-Global"], limited.headers["X-RateLimit-Scope"]) == ("true", "global")
    assert limited.headers["Retry-After"] == "2"
    assert "X-RateLimit-Bucket" not in limited.headers
    assert (await server.ask("GET", "/nowhere")).status == 502
    assert seen == ["/api/v10/gateway", "/api/v10/nowhere"]
    server.hooks.clear()
    assert (await server.ask("GET", "/gateway")).status == 200


async def test_many_at_once_are_all_stored_once(start: Start) -> None:
    server = await start()
    tokens = [await server.person(f"person {n}") for n in range(3)]
    channel = await server.general(tokens[0])
    path = f"/channels/{channel}/messages"
    posts = [server.ask("POST", path, tokens[n % 3], {"content": str(n)}) for n in range(90)]
    answers = await asyncio.gather(*posts)
    assert {answer.status for answer in answers} == {200}
    read = (await server.ask("GET", f"{path}?limit=100", tokens[0])).body
    assert sorted(int(one["content"]) for one in read) == list(range(90))
    assert [int(one["id"]) for one in read] == sorted((int(one["id"]) for one in read), reverse=True)
