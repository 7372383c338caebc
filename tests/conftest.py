"""Fixtures of every test: an async test ends with an idle event loop and no error that nobody handled."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from onesocket.wire import IMPLEMENTATION
from tests.support.postgresql import PostgresqlServer, running_postgresql

# `ONESOCKET_TEST_LOOP=uvloop` runs everything on that loop. By policy: pytest-asyncio asks the policy for its loops.
if os.environ.get("ONESOCKET_TEST_LOOP") == "uvloop":
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # type: ignore[deprecated] # from 3.14 on


def native_module() -> Path | None:
    """Return the file of the C twin of `onesocket.wire` that is in use."""
    module = sys.modules.get("onesocket.wire._native")
    return None if module is None or module.__file__ is None else Path(module.__file__)


def pytest_configure() -> None:
    """Refuse to test a C twin that is older than its source."""
    file = native_module()
    source = None if file is None else file.with_name("_native.c")
    if file is not None and source is not None and source.exists() and source.stat().st_mtime > file.stat().st_mtime:
        raise pytest.UsageError(f"{file} is older than {source.name}: run make setup")


def pytest_report_header() -> str:
    """Say which twin is tested."""
    return f"onesocket.wire: {IMPLEMENTATION}, {native_module() or 'no native module'}"


_FILE: Final = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep what earlier files of tests left out of later collections, or each `gc.collect` would cost up to 1 s."""
    stash = item.config.stash
    if stash.get(_FILE, None) != item.path:
        stash[_FILE] = item.path
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """Start a PostgreSQL server for this process of tests."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
async def loop_errors() -> AsyncIterator[list[dict[str, Any]]]:
    """Errors that reached the loop's exception handler; a test that provokes an error inspects and clears it.

    It sees the default, function-scoped loop: a test that asks for another `loop_scope` is not watched.
    """
    errors: list[dict[str, Any]] = []
    before = asyncio.all_tasks()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    yield errors
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()  # a failed task that nobody awaited speaks up only when it is collected
    await asyncio.sleep(0)  # ... and a callback that was due may still fail
    assert not left, f"the test left tasks pending: {left}"
    assert not errors, f"errors nobody handled reached the event loop: {errors}"


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep files that a program saves for its next run out of the home directory of the user who runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to the servers of the tests directly, whatever proxies the environment of the user has."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_token_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the gateways that Discord clients of earlier tests found: ports, and so addresses of APIs, come again."""
    client = sys.modules.get("onesocket_discord.client._client")
    if client is not None:
        states: Any = client.TOKEN_STATES
        monkeypatch.setattr(client, "TOKEN_STATES", type(states)())


@pytest.fixture(autouse=True)
def _clean_log() -> Iterator[None]:
    """Commands that provoke thousands of failures silence our logger; a test that runs one must not silence others."""
    log = logging.getLogger("onesocket")
    level, disabled = log.level, log.disabled
    yield
    log.setLevel(level)
    log.disabled = disabled


@pytest.fixture(autouse=True)
def _clean_loop(request: pytest.FixtureRequest) -> None:
    """Watch async tests: as autouse it is set up before a test's own fixtures and torn down after them."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("loop_errors")
