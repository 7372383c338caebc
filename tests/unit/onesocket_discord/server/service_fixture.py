"""A service in memory, a gateway that records its events, and accounts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from onesocket_discord.server._api_error import ApiError
from onesocket_discord.server._ports import Account, Event, Json
from onesocket_discord.server.service import ChatService, PasswordService, Registration

START = 1_800_000_000.0


@dataclass
class RecordingGateway:
    """A gateway that records events and sign-outs."""

    events: list[Event] = field(default_factory=list)
    signed_out: list[tuple[int, bytes | None]] = field(default_factory=list)
    invalidated: list[int] = field(default_factory=list)
    connected: frozenset[bytes] = frozenset()
    statuses: dict[int, str] = field(default_factory=dict)

    def publish(self, event: Event) -> None:
        self.events.append(event)

    def sign_out(self, user_id: int, login: bytes | None = None) -> None:
        self.signed_out.append((user_id, login))

    def invalidate(self, user_id: int) -> None:
        self.invalidated.append(user_id)

    def logins(self) -> frozenset[bytes]:
        return self.connected

    def status_of(self, user_id: int) -> str:
        return self.statuses.get(user_id, "offline")

    def take(self, name: str | None = None) -> list[Event]:
        """The events since the last call."""
        taken, self.events = self.events, []
        return [event for event in taken if name in {None, event.name}]

    def one(self, name: str) -> Event:
        (event,) = self.take(name)
        return event


@dataclass
class ManualClock:
    """Stands still unless it is moved."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class ServiceFixture:
    service: ChatService
    heard: RecordingGateway
    clock: ManualClock

    async def person(self, name: str) -> Account:
        made = await self.service.accounts.register({"username": name, "password": "correct horse"})
        return await self.account(made["token"])

    async def bot(self, name: str, owner: Account | None = None) -> Account:
        token, _ = await self.service.accounts.create_bot(name, owner=None if owner is None else owner.user_id)
        return await self.account(token)

    async def account(self, token: str) -> Account:
        account = await self.service.authenticate(token)
        assert account is not None
        return account

    async def general(self, account: Account) -> int:
        """The default guild's channel."""
        (channel,) = await self.service.channels.of_guild(account, self.service.default_guild)
        return int(channel["id"])

    async def dm(self, one: Account, other: Account) -> int:
        return int((await self.service.channels.open_dm(one, {"recipient_id": str(other.user_id)}))["id"])

    async def say(self, account: Account, channel: int, content: str, **more: Any) -> Json:
        return await self.service.messages.post(account, channel, {"content": content, **more})


def quick_passwords() -> PasswordService:
    return PasswordService(PasswordHasher.from_parameters(CHEAPEST))


default_place = ":memory:"
"""The database of services whose test names none."""


@asynccontextmanager
async def running_service(
    where: str | Path | None = None, *, shared: bool = False, registration: Registration = "open"
) -> AsyncGenerator[ServiceFixture, None]:
    heard, clock = RecordingGateway(), ManualClock()
    place = default_place if where is None else where
    opening = ChatService.open(
        place, heard, shared=shared, clock=clock, passwords=quick_passwords(), registration=registration
    )
    async with opening as service:
        yield ServiceFixture(service, heard, clock)


@contextmanager
def expect_api_error(status: int, code: int) -> Generator[pytest.ExceptionInfo[ApiError], None, None]:
    """Expect Discord's status and code."""
    with pytest.raises(ApiError) as info:
        yield info
    assert (info.value.status, info.value.code) == (status, code), info.value
