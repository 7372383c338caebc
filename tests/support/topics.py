"""A protocol with subscriptions, a message for each key."""

import json
from collections.abc import Iterable
from typing import Any

from onesocket import Json


class Topics(Json):
    """``{"op": "subscribe", "arg": "a"}``, and messages with a ``key``."""

    def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [json.dumps({"op": "subscribe", "arg": key}) for key in sorted(keys)]

    def unsubscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [json.dumps({"op": "unsubscribe", "arg": key}) for key in sorted(keys)]

    def key_of(self, message: Any) -> Any:
        return message.get("key")
