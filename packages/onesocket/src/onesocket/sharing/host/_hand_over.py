"""Asks the owner of a shared connection to hand over to another process."""

from __future__ import annotations

import re
import time
from typing import Final

from ...errors import HandOverRefused, InvalidOption, InvalidURL, OwnerSilent
from .._connection_key import ConnectionKey
from ._ipc_frames import HandOverAnswer, Rejection, StepDown
from ._listing import Listing, ask_owner, query_owner, socket_paths
from ._runtime_paths import RuntimePaths

_POLL_INTERVAL: Final = 0.02
"""Seconds between two looks for the next owner; there is no event for it outside of the connection's processes."""

_MARK_OF_A_URL: Final = re.compile("[:/?#]")


def hand_over(name: str, directory: str | None = None, *, timeout: float = 20.0) -> Listing:
    """Ask the owner of a connection to hand over to another process, in order; returns the next owner's listing.

    `name`: the URL, the `key=` or the owner's process id, as `listing()` shows it. Blocking. Raises `InvalidOption`
    (no connection, or more than one, has this name), `HandOverRefused` (no other process may hold it, or none took it)
    or `OwnerSilent` (the owner doesn't answer, or no process has it after `timeout` seconds).
    """
    end = time.monotonic() + timeout
    paths, before = _find(name, directory)
    asked = ask_owner(paths, StepDown(), 1.0)
    match asked and asked.answer:
        case HandOverAnswer(next_owner):
            return _await_next_owner(paths, before, next_owner, end)
        case Rejection(error):
            raise error
        case _:
            raise OwnerSilent.of(before.pid)


def _await_next_owner(paths: RuntimePaths, before: Listing, next_owner: int, end: float) -> Listing:
    while (left := end - time.monotonic()) > 0:
        now = query_owner(paths, min(left, 1.0))
        if now is not None and now.answers and (now.pid, now.started) != (before.pid, before.started):
            if now.pid == before.pid != next_owner:
                raise HandOverRefused(
                    f"pid {next_owner} did not take the connection (it may have ended, or be stopped), "
                    f"so pid {now.pid} has it again"
                )
            return now
        time.sleep(_POLL_INTERVAL)
    raise OwnerSilent(f"pid {before.pid} was asked to hand over to pid {next_owner}, and neither answers any more")


def _find(name: str, directory: str | None) -> tuple[RuntimePaths, Listing]:
    name = _without_secrets(name)
    answers = ((paths, query_owner(paths, 1.0)) for paths in socket_paths(directory))
    shared = [(paths, one) for paths, one in answers if one is not None]
    found = [(paths, one) for paths, one in shared if name in (_without_secrets(one.url), one.key, str(one.pid))]
    if len(found) == 1:
        return found[0]
    there = "; ".join(_describe(one) for _, one in (found or shared)) or "none"
    if found:
        raise InvalidOption(
            f"{len(found)} shared connections are named {name!r}; give the key or the pid of one: {there}"
        )
    if _MARK_OF_A_URL.search(name):
        _check_url(name, there)
    raise InvalidOption(f"no shared connection has the URL, key or pid {name!r}; there is: {there}")


def _check_url(name: str, there: str) -> None:
    """Tell of a URL that is none, without the secrets that it may hold."""
    try:
        ConnectionKey.of(name)
    except InvalidURL as error:
        raise InvalidOption(f"no shared connection has this key or pid, and {error}; there is: {there}") from None


def _without_secrets(name: str) -> str:
    """Return a URL as keys and listings have it, and any other name as it is."""
    try:
        return str(ConnectionKey.of(name))
    except InvalidURL:
        return name


def _describe(one: Listing) -> str:
    if not one.answers:
        return f"one that does not answer (pid {one.pid})"
    key = "" if one.key is None else f", key {one.key!r}"
    return f"{one.url} (pid {one.pid}{key})"
