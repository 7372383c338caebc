"""The events that a bot reports to the driver.

A bot is started with three arguments: the REST URL (``http://host:port/api/v10``), the gateway's URL, and the
compression to ask for; its token is in ``BOT_TOKEN``. It prints one JSON object a line: ``{"event": "ready"}`` whenever
its library says so, and ``{"event": "message", "content": "..."}`` for each message it gets, its own included. To a
message ``say X`` it answers X, and may print ``{"event": "sent", "content": X}`` when that was acknowledged.
"""

import json
import os
import sys

API_URL, GATEWAY_URL, COMPRESSION = sys.argv[1:4]
TOKEN = os.environ["BOT_TOKEN"]


def ready() -> None:
    """The library is ready."""
    _tell({"event": "ready"})


def message(content: str) -> str:
    """The library has handed over a message; returns what is to be answered, or nothing."""
    _tell({"event": "message", "content": content})
    return content.removeprefix("say ") if content.startswith("say ") else ""


def sent(content: str) -> None:
    """The API has acknowledged an answer."""
    _tell({"event": "sent", "content": content})


def _tell(news: dict[str, str]) -> None:
    print(json.dumps(news), flush=True)
