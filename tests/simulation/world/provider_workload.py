"""Callers of one `Provider`: components connect, users log in and out, and change their identity."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from onesocket.lifecycle._states import State
from onesocket.notices import CallableSink
from onesocket.provider._identity import Identity
from onesocket.provider._provider import Provider
from onesocket.testing._virtual_time import VirtualTimeLoop

from .workload import MakeClient, Workload

_AUTH_TIMEOUT = 5.0


class ProviderWorkload(Workload):
    """One provider, whose connection belongs to the identity that is signed in."""

    action_weights: ClassVar = {
        "connect_if_authenticated": 50,
        "login": 8,
        "login as": 8,
        "logout": 8,
        "auth changes": 8,
        "disconnect the client": 3,
        "reconnect the client": 3,
        "look": 4,
        "suspend": 1,
        "aclose": 1,
    }

    def __init__(self, seed: int, make: MakeClient, loop: VirtualTimeLoop, **options: Any) -> None:
        super().__init__(seed, make, loop, **options)
        self._signed_in: Identity | None = identity_of("alice")
        self._shown: dict[str, str] = {}
        # The auth callback may be asked twice, around a client that is closed and another that is built.
        self._deadline = 2 * self.invariants.deadline + 3 * _AUTH_TIMEOUT + self.close_timeout
        self.provider = Provider(
            self.make_client,
            auth=self._auth,
            auth_timeout=_AUTH_TIMEOUT,
            notices=CallableSink(
                lambda notice: self._shown.update({notice.id: notice.text}), lambda id_: self._shown.pop(id_, None)
            ),
        )

    async def do(self, verb: str, name: str) -> None:
        """Perform one action."""
        provider = self.provider
        match verb:
            case "connect_if_authenticated" | "login" | "logout":
                await self.call(name, getattr(provider, verb), deadline=self._deadline)
            case "login as":
                identity = self._random_identity()
                await self.call(name, lambda: provider.login(identity), deadline=self._deadline)
            case "auth changes":
                self._signed_in = self.chance.choice([None, self._random_identity()])
            case "disconnect the client" | "reconnect the client":
                if provider.client is not None:
                    verb = verb.removesuffix(" the client")
                    await self.call(name, getattr(provider.client, verb), deadline=self._deadline)
            case "look":
                str((repr(provider), provider.status, provider.notices.active))
            case "suspend":
                self.suspend()
            case _:
                if self.chance.random() < 0.2:
                    await self.call(name, provider.aclose, deadline=self._deadline)

    async def finish(self) -> None:
        """After the last logout, no connection is up; then sign in once more, and close everything."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._deadline)
        await self.call("logout at the end", self.provider.logout, deadline=self._deadline)
        client = self.provider.client
        if client is not None and client.state not in (State.STOPPED, State.CLOSED):
            self.invariants.fail(f"after logout() the client is {client.state.name}")
        if self.server.open_now:
            self.invariants.fail("a connection is up after logout()")
        self._signed_in = self._random_identity()
        await self.call("login at the end", self.provider.login, deadline=self._deadline)
        await self.call("aclose at the end", self.provider.aclose, deadline=self._deadline)
        if self._shown:
            self.invariants.fail(f"notices left standing: {self._shown}")

    def _random_identity(self) -> Identity:
        return identity_of(self.chance.choice(["alice", "bob", "carol"]))

    async def _auth(self) -> Identity | None:
        delay = self.chance.choice([0, 0, 0.01, 1, 100])
        if delay:
            await asyncio.sleep(delay)
        if self.chance.random() < 0.1:
            raise ValueError("the auth service is down")
        return self._signed_in


def identity_of(name: str) -> Identity:
    """The identity of the user `name`."""
    return Identity(name, token=f"of {name}")
