"""Password hashes: argon2id, computed in threads, with a limit on the number at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Self

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from .._api_error import ApiError

_MAX_CONCURRENT_HASHES = 2
"""Hashes computed at the same time; each takes 64 MiB."""
_MAX_WAITING = 32


class PasswordService:
    """Hashes and verifies passwords; an unknown user takes the same time as a wrong password."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_HASHES)
        self._waiting = 0
        self._dummy_hash = ""

    def __repr__(self) -> str:
        return "<PasswordService>"

    async def prepare(self) -> Self:
        """Compute the hash that stands in for unknown users."""
        self._dummy_hash = await self.hash("nobody has this password")
        return self

    async def hash(self, password: str) -> str:
        """Hash a new password. Raises `ApiError` (503) if too many wait already."""
        async with self._slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Verify a password; `hashed` is None for an unknown user. Raises `ApiError` (503) if too many wait already."""
        async with self._slot():
            fits = await asyncio.to_thread(self._verify, hashed or self._dummy_hash, password)
        return fits and hashed is not None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None, None]:
        if self._waiting >= _MAX_WAITING:
            raise ApiError(
                503, 0, "503: Service Unavailable: too many people are signing in; try again in a few seconds"
            )
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1
