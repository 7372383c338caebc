"""Callers of several `Provider`s that share: one connection for each identity, through every login and logout."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from onesocket.lifecycle._states import State
from onesocket.notices import CallableSink
from onesocket.provider._identity import Identity
from onesocket.provider._provider import Provider
from onesocket.sharing._join import JoinRequest, join
from onesocket.sharing._registry import current_registry
from onesocket.sharing._shared_client import SharedClient
from onesocket.testing._virtual_time import VirtualTimeLoop

from .provider_workload import identity_of
from .workload import URL, MakeClient, Workload

_AUTH_TIMEOUT = 5.0
# A shared client that is closed waits so long for what is under way, and its connection is closed after that.
_LINGER = 2.0


class SharedProviderWorkload(Workload):
    """Several providers; no logout takes down the connection of another one, calls that act on all excepted."""

    action_weights: ClassVar = {
        "connect_if_authenticated": 50,
        "login": 8,
        "login as": 8,
        "logout": 8,
        "auth changes": 8,
        "disconnect all": 2,
        "reconnect all": 3,
        "read": 4,
        "look": 4,
        "suspend": 1,
        "aclose": 1,
    }

    def __init__(self, seed: int, make: MakeClient, loop: VirtualTimeLoop, **options: Any) -> None:
        super().__init__(seed, make, loop, **options)
        self.server.apart = True
        # Before the attempt of a call there may be a whole connection of another identity that is being closed.
        self._deadline = 4 * self.invariants.deadline + 4 * _AUTH_TIMEOUT + 2 * (self.close_timeout + _LINGER)
        self._shown: dict[tuple[int, str], str] = {}
        self._signed_in: list[Identity | None] = []
        self.providers = [self._provider(number) for number in range(self.chance.choice([1, 2, 2, 3]))]

    def _provider(self, number: int) -> Provider[SharedClient]:
        self._signed_in.append(identity_of("alice"))
        shown = self._shown

        async def auth() -> Identity | None:
            delay = self.chance.choice([0, 0, 0.01, 1, 100])
            if delay:
                await asyncio.sleep(delay)
            if self.chance.random() < 0.1:
                raise ValueError("the auth service is down")
            return self._signed_in[number]

        return Provider(
            self._join,
            auth=auth,
            auth_timeout=_AUTH_TIMEOUT,
            notices=CallableSink(
                lambda notice: shown.update({(number, notice.id): notice.text}),
                lambda id_: shown.pop((number, id_), None),
            ),
        )

    def _join(self, token: Any) -> JoinRequest:
        return join(URL, token=token, scope="loop", client_factory=self.make_client)

    async def do(self, verb: str, name: str) -> None:
        """Perform one action."""
        number = self.chance.randrange(len(self.providers))
        provider = self.providers[number]
        match verb:
            case "connect_if_authenticated" | "login" | "logout":
                await self.call(f"{name} at {number}", getattr(provider, verb), deadline=self._deadline)
            case "login as":
                identity = self._random_identity()
                await self.call(f"{name} at {number}", lambda: provider.login(identity), deadline=self._deadline)
            case "auth changes":
                self._signed_in[number] = self.chance.choice([None, self._random_identity()])
            case "disconnect all" | "reconnect all":
                if provider.client is not None:
                    verb = verb.removesuffix(" all")
                    await self.call(name, getattr(provider.client, verb), deadline=self._deadline)
            case "read":
                if provider.client is not None and provider.client.state is not State.CLOSED:
                    provider.client.on(self._read)
            case "look":
                str((repr(provider), provider.status, provider.notices.active, current_registry()))
            case "suspend":
                self.suspend()
            case _:
                if self.chance.random() < 0.2:
                    await self.call(f"{name} at {number}", provider.aclose, deadline=self._deadline)

    async def finish(self) -> None:
        """When all have logged out, no connection is up; then all sign in as one, and leave one after the other."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._deadline)
        await self._all("logout")
        if self.server.open_now:
            self.invariants.fail(f"{self.server.open_now} connections are up after every logout()")
        self._signed_in = [self._random_identity()] * len(self.providers)
        await self._all("login")
        if self.server.open_now > 1:
            self.invariants.fail(f"{self.server.open_now} connections for one identity")
        for provider in self.providers:
            await self.call("aclose at the end", provider.aclose, deadline=self._deadline)
        if self._shown:
            self.invariants.fail(f"notices left standing: {self._shown}")
        left = [shared for shared in current_registry().all() if shared.host_loop.loop is self.loop]
        if left:
            self.invariants.fail(f"connections left in the registry: {left}")

    async def _all(self, verb: str) -> None:
        calls = (
            self.call(f"{verb} at the end", getattr(each, verb), deadline=self._deadline) for each in self.providers
        )
        await asyncio.gather(*calls)

    async def _read(self, _message: Any) -> None:
        if self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.choice([0, 0.1, 3]))

    def _random_identity(self) -> Identity:
        return identity_of(self.chance.choice(["alice", "bob", "carol"]))
