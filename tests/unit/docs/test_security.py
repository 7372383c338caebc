"""The limits that docs/security.md states are those of the code."""

import inspect
import re
from pathlib import Path
from typing import Any

from onesocket.client import Client, DurableOutbox
from onesocket.client import _backlog as backlog
from onesocket.client._queue import DEFAULT_LIMIT
from onesocket.hub import _hub_listener as hub_listener
from onesocket.hub._hub_listener import HubListener
from onesocket.hub._options import HubOptions
from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host._ipc_frames import MAX_FRAME_BYTES, PART_BYTES
from onesocket.transports import _dialler as dialler
from onesocket.transports import _handshake_protocol as handshake
from onesocket.transports import _websocket_stream as stream
from onesocket.wire import _deflate as deflate
from onesocket.wire import _python_frames as frames
from onesocket.wire import _request_parser as requests
from onesocket.wire import _response_head as head
from onesocket.wire import _response_parser as responses
from onesocket.wire._frames import SLICE

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "security.md").read_text("utf-8")
CLIENT: dict[str, Any] = {name: one.default for name, one in inspect.signature(Client).parameters.items()}
HUB: dict[str, Any] = {name: one.default for name, one in inspect.signature(HubOptions).parameters.items()}

OUTBOX = OutboxLimits()
DURABLE = DurableOutbox("outbox.db")
LIMITS = [
    ("bytes of one message,", CLIENT["max_size"]),
    ("payload of a control frame", 125),
    ("messages that are parsed at a time", SLICE),
    ("bytes that are decompressed", frames._INFLATED),
    ("final blocks", deflate._MAX_FINAL_BLOCKS),
    ("bytes of a read buffer", frames._USUAL),
    ("head of the answer", head.MAX_HEAD),
    ("body of a refusal", responses._MAX_BODY, handshake._BODY_TIMEOUT),
    ("seconds for one attempt", CLIENT["open_timeout"]),
    ("seconds for a close handshake", CLIENT["close_timeout"], dialler._TLS_GOODBYE, stream._FIN_WAIT),
    ("seconds between PINGs", CLIENT["ping_interval"], CLIENT["ping_timeout"]),
    ("seconds that a `Retry-After`", ReconnectPolicy().retry_after_cap),
    ("messages before the first reader", backlog.MAX_MESSAGES, backlog.MAX_BYTES),
    ("messages that wait for one subscriber", DEFAULT_LIMIT),
    ("messages that wait to be sent:", OUTBOX.messages, OUTBOX.age),
    ("messages on disk", DURABLE.messages, DURABLE.bytes, DURABLE.age),
    ("bytes of one message between processes", MAX_FRAME_BYTES, PART_BYTES),
    ("bytes that are kept for processes", HostOptions().buffer),
    ("head of a request", requests.MAX_HEAD, requests.MAX_HEADERS),
    ("seconds for a request to a hub", HubListener.handshake_timeout),
    ("clients of a hub", HUB["max_clients"]),
    ("bytes of a hub client's message", HUB["max_message"]),
    ("bytes that are kept for clients of a hub", HUB["client_buffer"]),
    ("seconds for which a hub client", HUB["client_timeout"]),
    ("connections to a hub without", hub_listener._MIN_PENDING),
    ("messages of a hub client", HUB["waiting"]),
]


def test_every_limit_is_stated_as_it_is() -> None:
    section = TEXT.partition("## Limits\n")[2].partition("\n## ")[0]
    rows = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith("|")][2:]
    stated = [(row[0], [float(number) for number in row[1].split(", ")]) for row in rows]
    assert len(stated) == len(LIMITS)
    for (name, *values), (what, numbers) in zip(LIMITS, stated, strict=True):
        assert what.startswith(str(name))
        assert numbers == [float(value) for value in values], what
