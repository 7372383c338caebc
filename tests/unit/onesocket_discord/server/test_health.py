"""``/healthz``: the database takes writes, the engine answers, and nobody can ask too often."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from onesocket.errors import EngineUnavailable
from onesocket_discord.server._health import HealthCheck
from onesocket_discord.server.store import Store
from tests.support.postgresql import PostgresqlServer
from tests.unit.onesocket_discord.server.service_fixture import ManualClock


class EngineStub:
    """A node whose engine is there, or not."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def check(self) -> None:
        if self.error is not None:
            raise self.error


async def test_a_database_that_takes_writes_is_ready(postgresql: PostgresqlServer) -> None:
    for where in (":memory:", postgresql.emptied_place()):
        async with Store.open(where) as store:
            assert await HealthCheck(store, None).find_problem() is None


async def test_a_database_whose_disk_is_full_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full = True

    def fail(_connection: object) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")

    async with Store.open(tmp_path / "chat.db") as store:
        writer: Any = store._writer
        event.listen(writer._engine.sync_engine, "commit", fail)
        health = HealthCheck(store, None, clock=(clock := ManualClock(0.0)))
        assert await health.find_problem() == "the database can't be written"
        full = False
        clock.now += 1
        assert await health.find_problem() is None
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "not ready: the database can't be written",
        "ready again",
    ]


async def test_a_database_whose_file_is_gone_or_another_one_is_not(tmp_path: Path) -> None:
    file, moved = tmp_path / "chat.db", tmp_path / "moved.db"
    async with Store.open(file) as store:
        health = HealthCheck(store, None, clock=(clock := ManualClock(0.0)))
        for change, problem in (
            (lambda: None, None),
            (lambda: file.rename(moved), "the database can't be written"),
            (lambda: file.write_bytes(moved.read_bytes()), "the database can't be written"),
            (lambda: moved.replace(file), None),
        ):
            change()
            clock.now += 1
            assert await health.find_problem() == problem


async def test_a_database_that_is_too_slow_is_not() -> None:
    async with Store.open(":memory:") as store:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: object) -> None:
            inside.set()
            await go_on.wait()

        writing = asyncio.create_task(store.write(slow))
        await inside.wait()
        assert await HealthCheck(store, None, timeout=0.01).find_problem() == "the database took no write within 0.01 s"
        go_on.set()
        await writing


async def test_without_the_clusters_engine_it_is_not_ready() -> None:
    cluster: Any = EngineStub()
    async with Store.open(":memory:") as store:
        health = HealthCheck(store, cluster, clock=(clock := ManualClock(0.0)))
        assert await health.find_problem() is None
        cluster.error = EngineUnavailable("redis://secret.example refuses")
        assert await health.find_problem() is None  # for a second
        clock.now += 1
        problem = await health.find_problem()
        assert problem == "the cluster's engine can't be reached, or takes no writes"


async def test_those_who_ask_at_the_same_time_share_one_write() -> None:
    async with Store.open(":memory:") as store:
        writes = 0
        check_writable = store.check_writable

        async def counted() -> None:
            nonlocal writes
            writes += 1
            await check_writable()

        store.check_writable = counted  # type: ignore[method-assign] # counts the calls
        health = HealthCheck(store, None, clock=(clock := ManualClock(0.0)))
        asking = [asyncio.create_task(health.find_problem()) for _ in range(100)]
        await asyncio.sleep(0)
        asking[0].cancel()  # its client has left
        await asyncio.wait(asking)
        assert [one.result() for one in asking[1:]] == [None] * 99
        clock.now += 0.9
        await health.find_problem()
        assert writes == 1
        clock.now += 0.1
        await health.find_problem()
        assert writes == 2
        await health.stop()


async def test_a_server_that_is_stopping_is_not_ready() -> None:
    async with Store.open(":memory:") as store:
        health = HealthCheck(store, None, is_stopping=lambda: True)
        assert await health.find_problem() == "the server is stopping"
