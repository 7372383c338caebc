"""Counts in fixed windows of time, in a bounded table whose entries no flood of made-up keys pushes out."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_SHARED: Final = 1024


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A number of `requests` in `window` seconds."""

    requests: int
    window: float


@dataclass(slots=True)
class Window:
    """The count of one key until the window's end."""

    ends: float
    used: int = 0


class WindowTable:
    """Windows by key, each until its end.

    The table doesn't forget a window before its end. While it is full of windows that go on, keys without one share
    some windows, chosen by a hash with a secret: made-up keys use up the limits of each other, and of newcomers.
    """

    def __init__(self, max_windows: int) -> None:
        self._max_windows = max_windows
        self._windows: OrderedDict[Hashable, Window] = OrderedDict()
        """In the order in which they began."""
        self._shared: dict[int, Window] = {}
        self._secret = secrets.token_hex()

    def __repr__(self) -> str:
        return f"<WindowTable {len(self)}/{self._max_windows}>"

    def __len__(self) -> int:
        return len(self._windows)

    def find(self, key: Hashable, now: float) -> Window | None:
        """Return the window that counts for this key now; None: nothing was counted."""
        window = self._windows.get(key)
        if window is None:
            window = self._shared.get(self._place(key))
        return None if window is None or now >= window.ends else window

    def open(self, key: Hashable, now: float, seconds: float) -> Window:
        """Return the window that counts for this key; a new one lasts for `seconds`."""
        window = self._windows.get(key)
        if window is not None and now < window.ends:
            return window
        if window is not None:
            del self._windows[key]
        self._forget_ended(now)
        if len(self._windows) < self._max_windows:
            window = self._windows[key] = Window(now + seconds)
            return window
        place = self._place(key)
        window = self._shared.get(place)
        if window is None or now >= window.ends:
            window = self._shared[place] = Window(now + seconds)
        return window

    def _place(self, key: Hashable) -> int:
        return hash((self._secret, key)) % _SHARED

    def _forget_ended(self, now: float) -> None:
        """Forget from the oldest on, up to the first that goes on: windows of one table have about one length."""
        while self._windows:
            key = next(iter(self._windows))
            if now < self._windows[key].ends:
                break
            del self._windows[key]
