"""A service with subscriptions that acknowledges, refuses, limits and delays, and keeps a ledger of each connection."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from onesocket import Json, Pace
from onesocket.protocols import SubscriptionAnswer, Subscriptions
from onesocket.testing import MemoryPeer, MemoryServer

UNKNOWN = frozenset("xyz")
"""Keys that the service refuses."""
GRACE = 1e-6


def read_answer(message: dict[str, Any]) -> SubscriptionAnswer | None:
    """The answers of the service: ``{"answer": "ok"}`` or ``"no"``, to keys or to the oldest message."""
    verdict = message.get("answer")
    if verdict is None:
        return None
    return SubscriptionAnswer(message.get("keys"), refused="unknown or too many" if verdict == "no" else None)


def key_of(message: dict[str, Any]) -> str | None:
    """The key of a message."""
    key: str | None = message.get("key")
    return key


def subscribe(keys: list[str]) -> dict[str, Any]:
    """The message that subscribes."""
    return {"op": "subscribe", "args": keys}


def unsubscribe(keys: list[str]) -> dict[str, Any]:
    """The message that unsubscribes."""
    return {"op": "unsubscribe", "args": keys}


class LedgerVenue:
    """Such a service, behind a `MemoryServer`.

    `names_keys`: its answers name their keys; otherwise each is the answer to one message, as a whole. `delay`: the
    greatest number of seconds until an answer. `wrong` is what a client did that it must not do.
    """

    def __init__(
        self,
        chance: random.Random,
        *,
        names_keys: bool = True,
        batch: int | None = None,
        limit: int | None = None,
        pace: Pace | None = None,
        delay: float = 0.0,
    ) -> None:
        self.server = MemoryServer(on_message=self._take)
        self.views: dict[MemoryPeer, set[str]] = {}
        self.wrong: list[str] = []
        self.unknown = set(UNKNOWN)
        self.refusals = 0
        self.over_limit = 0
        """Number of messages that asked for more keys than there may be."""
        self._chance = chance
        self._names_keys = names_keys
        self._batch = batch
        self._limit = limit
        self._pace = pace
        self._delay = delay
        self._times: dict[MemoryPeer, list[float]] = {}
        self._answer_at: dict[MemoryPeer, float] = {}
        self._refused: dict[MemoryPeer, set[str]] = {}

    @property
    def view(self) -> set[str]:
        """The keys of the newest connection."""
        return self.views.get(self.server.peers[-1], set())

    def protocol(self, *, declares_limit: bool = True) -> Json:
        """The protocol of its clients."""
        return Json(
            subscriptions=Subscriptions(
                subscribe=subscribe,
                unsubscribe=unsubscribe,
                key=key_of,
                ack=read_answer,
                batch=self._batch,
                limit=self._limit if declares_limit else None,
                pace=self._pace,
            )
        )

    def _take(self, peer: MemoryPeer, data: str | bytes) -> None:
        message = json.loads(data)
        keys: list[str] = message["args"]
        view, refused = self.views.setdefault(peer, set()), self._refused.setdefault(peer, set())
        is_over = self._limit is not None and len(view) + len(keys) > self._limit
        if self._batch is not None and len(keys) > self._batch:
            self.wrong.append(f"{len(keys)} keys in a message")
        self._count(peer)
        if message["op"] == "unsubscribe":
            # What was refused may be given back by a client that doesn't know it yet.
            self.wrong += [f"{key} was given back without need" for key in keys if key not in view | refused]
            view.difference_update(keys)
            return
        self.wrong += [f"{key} came twice" for key in keys if key in view]
        self.over_limit += is_over
        if self._names_keys:
            bad = [key for key in keys if not self._takes(view, key)]
            self._answer(peer, "no", bad)
            self._answer(peer, "ok", [key for key in keys if key not in bad])
        else:
            bad = keys if is_over or self.unknown & set(keys) else []
            if not bad:
                view.update(keys)
            self._answer(peer, "no" if bad else "ok", None)
        refused.update(bad)
        self.refusals += len(bad)

    def _takes(self, view: set[str], key: str) -> bool:
        if key in self.unknown or (self._limit is not None and len(view) >= self._limit):
            return False
        view.add(key)
        return True

    def _answer(self, peer: MemoryPeer, verdict: str, keys: list[str] | None) -> None:
        """Answer later, but in the order of the messages."""
        if keys == []:
            return
        loop = asyncio.get_running_loop()
        at = max(self._answer_at.get(peer, 0.0) + GRACE, loop.time() + self._chance.uniform(0, self._delay))
        self._answer_at[peer] = at
        loop.call_at(at, peer.send, json.dumps({"answer": verdict} | ({} if keys is None else {"keys": keys})))

    def _count(self, peer: MemoryPeer) -> None:
        if self._pace is None:
            return
        now = asyncio.get_running_loop().time()
        times = self._times.setdefault(peer, [])
        times.append(now)
        if len(times) > self._pace.messages and now - times[-1 - self._pace.messages] < self._pace.per:
            self.wrong.append("too many messages")
