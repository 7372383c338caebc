"""The store goes on after cancelled readers and callbacks that fail."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from onesocket_discord.server.store import Store, UnitOfWork
from onesocket_discord.server.store._sqlite_driver import SqliteDriver
from onesocket_discord.server.store._tables import users

DEADLINE = 30.0


async def add(work: UnitOfWork) -> None:
    await work.connection.execute(insert(users).values(id=1, username="a", username_key="a", bot=False))


async def count(store: Store) -> int | None:
    async with store.reading() as connection:
        await connection.execute(select(users))
        return await connection.scalar(select(func.count()).select_from(users))


async def test_a_reader_that_is_cancelled_at_any_turn_harms_nobody(where: str) -> None:
    async with Store.open(where) as store, asyncio.timeout(DEADLINE):
        await store.write(add)
        finished = False
        for turns in range(1000):
            reader = asyncio.ensure_future(count(store))
            for _ in range(turns):
                await asyncio.sleep(0)
            reader.cancel()
            (result,) = await asyncio.gather(reader, return_exceptions=True)
            assert await count(store) == 1
            if result == 1:
                finished = True
                break
            assert isinstance(result, asyncio.CancelledError)
        assert finished


async def test_a_writer_that_is_cancelled_at_any_turn_harms_nobody(where: str) -> None:
    async with Store.open(where) as store, asyncio.timeout(DEADLINE):
        await store.write(add)

        async def rename(work: UnitOfWork) -> None:
            await work.connection.execute(users.update().values(username="b"))

        for turns in range(60):
            writer = asyncio.ensure_future(store.write(rename))
            for _ in range(turns):
                await asyncio.sleep(0)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            assert await count(store) == 1
        await store.write(rename)


async def test_no_thread_of_a_connection_outlives_its_store(tmp_path: Path) -> None:
    """One that does has no event loop to answer to, and prints a traceback at the end of the program."""

    def threads() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if not each.name.startswith("asyncio_")}

    before = threads()
    for turns in range(60):
        async with Store.open(tmp_path / "chat.db") as store:
            reader = asyncio.ensure_future(count(store))
            for _ in range(turns):
                await asyncio.sleep(0)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        assert threads() == before


async def test_the_threads_of_connections_that_are_opened_at_once_are_all_waited_for(tmp_path: Path) -> None:
    driver = SqliteDriver(lambda: ([str(tmp_path / "chat.db")], {}))
    before = set(threading.enumerate())
    connections = await asyncio.gather(*(driver.connect() for _ in range(4)))
    threads = {each for each in set(threading.enumerate()) - before if not each.name.startswith("asyncio_")}
    released = threading.Event()
    await connections[0].create_function("wait", 0, released.wait)
    statement = asyncio.ensure_future(connections[0].execute("SELECT wait()"))
    await asyncio.sleep(0)  # it is in the thread's hands
    asyncio.get_running_loop().call_later(0.1, released.set)
    for each in connections:
        each.stop()
    await driver.wait_ended()
    assert (len(threads), [each for each in threads if each.is_alive()]) == (4, [])
    await statement


async def test_a_callback_that_fails_harms_neither_the_operation_nor_the_next(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    async def announce(work: UnitOfWork) -> None:
        await add(work)
        work.after_commit(fail)
        work.after_commit(lambda: called.append("called"))

    async with Store.open(where) as store, asyncio.timeout(DEADLINE):
        await store.write(announce)
        assert called == ["called"]
        assert "ZeroDivisionError" in caplog.text
        assert await count(store) == 1

        async def more(work: UnitOfWork) -> None:
            await work.connection.execute(insert(users).values(id=2, username="b", username_key="b", bot=False))

        await store.write(more)
        assert await count(store) == 2
