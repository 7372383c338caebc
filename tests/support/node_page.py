"""A page of Node.js: a process that runs pieces of JavaScript with the package of packages/onesocket-js."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from tests.support.node_script import NODE, SCRIPTS
from tests.support.waiting import DEADLINE

_LINE_LIMIT = 1 << 26


class NodePage:
    """The process. An async context manager; the process ends with the block."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.Task[None]
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers = 0
        self.failures: list[str] = []
        """Rejections that no code handled."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            NODE,
            str(SCRIPTS / "harness.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            await self._reader
            await self._process.wait()
        if kind is None:
            assert self.failures == []

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            if answer["id"] is None:
                self.failures.append(answer["failed"])
                continue
            future = self._answers.pop(answer["id"])
            if future.done():
                continue  # its test has given up
            if "failed" in answer:
                future.set_exception(AssertionError(answer["failed"]))
            else:
                future.set_result(answer["value"])
        for future in self._answers.values():
            if not future.done():
                future.set_exception(AssertionError("the process has ended"))

    def start(self, code: str, data: Any = None) -> asyncio.Future[Any]:
        """Start a piece of code, which has `data`; returns a future of what it returns."""
        assert self._process.stdin is not None
        self._numbers += 1
        future = self._answers[self._numbers] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._numbers, "code": code, "data": data})
        self._process.stdin.write(line.encode() + b"\n")
        return future

    async def make_client(self, url: str, options: str = "", *, has_clock: bool = False) -> None:
        """Make `kept.client`, which resumes quickly; its items and changes are in `kept.seen` and `kept.changes`.

        `has_clock`: time passes for it only by `kept.clock.advance(seconds)`.
        """
        clock = "platform: kept.clock = new Clock()," if has_clock else ""
        await self.run(
            f"""
            const reconnect = new one.ReconnectPolicy({{initial: 0.01, cap: 0.05}});
            const usual = {{reconnect, logger: null, onError: (error) => kept.errors.push(error)}};
            Object.assign(kept, {{errors: [], seen: [], changes: []}});
            kept.client = new one.Client(data, {{...usual, {clock} {options}}});
            kept.client.on((item) => kept.seen.push(item), {{gaps: true}});
            kept.client.onChange((change) => kept.changes.push(change));
            """,
            url,
        )

    async def run(self, code: str, data: Any = None) -> Any:
        """Run a piece of code to its end; returns what it returns."""
        async with asyncio.timeout(DEADLINE):
            return await self.start(code, data)
