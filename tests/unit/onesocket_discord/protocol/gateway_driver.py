"""One gateway protocol, its clock in hand, and short words for what the server says."""

import json
import random
from collections.abc import Iterable
from typing import Any, TypeVar

from onesocket.errors import OnesocketError
from onesocket.protocols._protocol import Action, Deliver, Fail, Ready, Send, WakeAt
from onesocket.wire._handshake import Data, DialRequest
from onesocket_discord.protocol import DiscordGateway, Dispatch, Identification, Intents

A = TypeVar("A")
URL = "wss://gateway.test/"
RESUME_URL = "wss://resume.test/"
TOKEN = "a-token"
INTERVAL = 40.0


class MiddleRandom(random.Random):
    """Chance that always comes out in the middle."""

    def random(self) -> float:
        return 0.5


class GatewayDriver:
    """Each method is one thing that happens; `actions` are those of the last one."""

    def __init__(self, *, intents: Intents = Intents.GUILDS, **options: Any) -> None:
        self.now = 1000.0
        self.wake_at: float | None = None
        self.actions: list[Action] = []
        self.request: DialRequest | None = None
        options.setdefault("chance", MiddleRandom())
        self.protocol = DiscordGateway(options.pop("identification", Identification(intents=intents)), **options)

    # --- what happens -----------------------------------------------------------------------------------------------

    def open(self) -> "GatewayDriver":
        self.request = self.protocol.prepare(DialRequest(URL), TOKEN)
        self.wake_at = None
        return self._note(self.protocol.opened(TOKEN, self.now))

    def receive(self, data: Data) -> "GatewayDriver":
        return self._note(self.protocol.received(data, self.now))

    def say(self, op: int, d: Any = None, s: int | None = None, t: str | None = None) -> "GatewayDriver":
        return self.receive(json.dumps({"op": op, "d": d, "s": s, "t": t}))

    def hello(self, interval: float = INTERVAL) -> "GatewayDriver":
        return self.say(10, {"heartbeat_interval": interval * 1000})

    def event(self, name: str, s: int | None, d: Any = None) -> "GatewayDriver":
        return self.say(0, {} if d is None else d, s, name)

    def ready(self, s: int = 1, **more: Any) -> "GatewayDriver":
        return self.event("READY", s, {"session_id": "the-session", "resume_gateway_url": RESUME_URL, **more})

    def up(self) -> "GatewayDriver":
        """Logged in by Identify."""
        return self.open().hello().ready()

    def lose(self) -> "GatewayDriver":
        self.protocol.lost(self.now)
        return self

    def ring(self) -> "GatewayDriver":
        """Go to the time that was asked for, and wake it."""
        assert self.wake_at is not None
        self.now = self.wake_at
        return self._note(self.protocol.wake(self.now))

    # --- what came of it --------------------------------------------------------------------------------------------

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(action.data) for action in self.all(Send)]

    @property
    def only(self) -> dict[str, Any]:
        (payload,) = self.sent
        return payload

    @property
    def delivered(self) -> list[Dispatch]:
        return [action.message for action in self.all(Deliver)]

    @property
    def error(self) -> OnesocketError:
        (fail,) = self.all(Fail)
        return fail.error

    @property
    def fail(self) -> Fail:
        (fail,) = self.all(Fail)
        return fail

    @property
    def is_ready(self) -> list[bool]:
        """`resumed` of each Ready."""
        return [action.resumed for action in self.all(Ready)]

    def all(self, kind: type[A]) -> list[A]:
        return [action for action in self.actions if isinstance(action, kind)]

    def _note(self, actions: Iterable[Action]) -> "GatewayDriver":
        self.actions = list(actions)
        for wake in self.all(WakeAt):
            self.wake_at = wake.at
        return self
