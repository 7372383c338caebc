"""Many processes that join at once, forked from one that has imported everything: ``host_newcomers.py JSON``.

Each says one line: ``joined``, or its error's name and text. They stay until stdin ends.
"""

import asyncio
import json
import os
import sys
from typing import Any

import onesocket
from onesocket.sharing.host import HostOptions


async def newcomer(setup: dict[str, Any], gate: int) -> None:
    try:
        client = await onesocket.join(setup["url"], scope="host", host_options=HostOptions(**setup["host"]))
    except onesocket.OnesocketError as error:
        os.write(1, f"{type(error).__name__}: {error}\n".encode())
        return
    os.write(1, b"joined\n")
    await asyncio.to_thread(os.read, gate, 1)
    await client.aclose()


def main(setup: dict[str, Any]) -> None:
    gate, open_gate = os.pipe()
    children: list[int] = []
    for _ in range(setup["count"]):
        child = os.fork()
        if child == 0:
            os.close(open_gate)
            os.close(0)
            asyncio.run(newcomer(setup, gate))
            os._exit(0)
        children.append(child)
    sys.stdin.read()
    os.close(open_gate)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
