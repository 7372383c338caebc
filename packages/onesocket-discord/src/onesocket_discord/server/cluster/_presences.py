"""Presences of users by the server that their sessions are on: the same on every server, as all read one stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class ClusterPresences:
    """The last word of each server on each of its users."""

    def __init__(self) -> None:
        self._by_user: dict[int, dict[str, dict[str, Any]]] = {}

    def __repr__(self) -> str:
        return f"<ClusterPresences of {len(self._by_user)} users>"

    def of(self, user_id: int) -> Iterable[dict[str, Any]]:
        """The presences of a user, one for each server; in the order of the servers' names."""
        by_node = self._by_user.get(user_id, {})
        return [by_node[node] for node in sorted(by_node)]

    def users_of(self, node: str) -> set[int]:
        """The users that a server has spoken of."""
        return {user_id for user_id, by_node in self._by_user.items() if node in by_node}

    def set(self, node: str, user_id: int, presence: dict[str, Any] | None) -> None:
        """Note what a server says of a user; None: nothing any more."""
        by_node = self._by_user.setdefault(user_id, {})
        if presence is None:
            by_node.pop(node, None)
        else:
            by_node[node] = presence
        if not by_node:
            del self._by_user[user_id]

    def remove_node(self, node: str) -> None:
        """Forget what a server said."""
        for user_id in self.users_of(node):
            self.set(node, user_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._by_user.clear()
