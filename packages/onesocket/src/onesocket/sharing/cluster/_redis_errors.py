"""Typed errors for the failures that redis-py reports. No text shows a secret."""

from __future__ import annotations

import re
from typing import Final

import redis.exceptions as failures
from redis.asyncio.sentinel import MasterNotFoundError

from ...errors import (
    EngineCommandDenied,
    EngineFull,
    EngineLoginRefused,
    EngineUnavailable,
    EngineUnusable,
    OnesocketError,
)
from ._engine_errors import tls_error

_COMMAND: Final = re.compile(r"run the '([^']+)' command")
_UNKNOWN_COMMAND: Final = re.compile(r"unknown command '([^']+)'", re.IGNORECASE)
_UNKNOWN_IN_SCRIPT: Final = re.compile(r"unknown (\w+ )?command called from script", re.IGNORECASE)
_KEY_DENIED: Final = (
    "No permissions to access a key",
    "permissions to access one of the keys",
    "can't access at least one",
)
_COMMAND_DENIED_IN_SCRIPT: Final = "can't run this command or subcommand"
"""Redis 7.0 does not say which one; `check()` finds it."""
_NO_ROOM: Final = ("OOM", "MISCONF", "command not allowed when used memory")
_CUT: Final = ("Connection lost", "Connection reset", "closed by server", "Broken pipe")
_PASSES: Final = (
    *("NOREPLICAS", "READONLY", "MASTERDOWN", "LOADING", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "UNBLOCKED"),
    "max number of clients",
)


def engine_error(error: Exception, where: str, command: str, prefix: str, remedy: str = "") -> OnesocketError:
    """The error to raise for one of redis-py.

    `where`: the address, `command`: what was run, `prefix`: of the keys, `remedy`: for a connection that ended.
    """
    cause = error.__cause__ if isinstance(error.__cause__, failures.RedisError) else error
    text = str(cause)
    if isinstance(cause, failures.AuthenticationError):
        return EngineLoginRefused(f"{where} refused the login ({text}): check user name and password in the URL")
    tls = tls_error(error, where)
    if tls is not None:
        return tls
    if isinstance(cause, MasterNotFoundError):
        # Its text shows the clients of all Sentinels, each with the class of its error.
        if failures.AuthenticationError.__name__ in text:
            return EngineLoginRefused(f"{where}: the Sentinels refused the login: check sentinel_password in the URL")
        away = f"{where}: the Sentinels know no such service, have no primary for it, or are away"
        return EngineUnavailable(f"{away}{remedy if _is_cut(text) else ''}")
    if isinstance(cause, failures.OutOfMemoryError) or text.startswith(_NO_ROOM):
        return EngineFull(f"{where} refused a write, nothing is lost: {text}")
    if isinstance(cause, failures.NoPermissionError) or _is_denied(text):
        return _denied(text, where, command, prefix)
    if any(each in text for each in _KEY_DENIED):
        return _denied(text, where, command, prefix)
    if isinstance(
        cause, failures.ReadOnlyError | failures.BusyLoadingError | failures.ClusterDownError | failures.TryAgainError
    ) or any(each in text for each in _PASSES):
        return EngineUnavailable(f"{where} can't take writes now: {text}")
    if isinstance(cause, failures.MovedError | failures.AskError | failures.ClusterCrossSlotError):
        return EngineUnusable(
            f"{where} is a Redis Cluster, which is not supported: give a single primary, or a Sentinel"
        )
    if unknown := _UNKNOWN_COMMAND.search(text):
        return _missing(where, unknown[1].lower())
    if isinstance(cause, failures.ResponseError | failures.DataError | failures.InvalidResponse):
        return EngineUnusable(f"{where} answered {command.upper()} with an error: {text}")
    shown = text.rstrip(".") or type(cause).__name__
    return EngineUnavailable(f"{where} can't be reached, or does not answer: {shown}{remedy if _is_cut(text) else ''}")


def _is_cut(text: str) -> bool:
    return any(each in text for each in _CUT)


def refused_commands(refused: dict[str, str], where: str, prefix: str) -> OnesocketError:
    """The error for commands that a probe was refused, with the server's words for each."""
    names = [name.lower() for name in refused]
    if any(any(each in text for each in _KEY_DENIED) for text in refused.values()):
        return _key_denied(where, names[0], prefix)
    missing = [name for name, text in zip(names, refused.values(), strict=True) if _UNKNOWN_IN_SCRIPT.search(text)]
    if missing:
        return _missing(where, *missing)
    denied = [name for name, text in zip(names, refused.values(), strict=True) if _is_denied(text)]
    if denied:
        rules = " ".join(f"+{name}" for name in denied)
        text = f"{where}: this user may not run {', '.join(denied)}: add {rules}"
        return EngineCommandDenied(text, command=denied[0])
    # Not the user's rights: without its replicas, or unable to save, a server refuses all writes for a while.
    return engine_error(failures.ResponseError(next(iter(refused.values()))), where, names[0], prefix)


def _is_denied(text: str) -> bool:
    return "permissions to" in text or _COMMAND_DENIED_IN_SCRIPT in text


def _missing(where: str, *names: str) -> EngineCommandDenied:
    shown = ", ".join(names).upper()
    return EngineCommandDenied(f"{where} has no command {shown}: renamed, or not Redis >= 7", command=names[0])


def _denied(text: str, where: str, command: str, prefix: str) -> EngineCommandDenied:
    if any(each in text for each in _KEY_DENIED):
        return _key_denied(where, command, prefix)
    named = _COMMAND.search(text)
    name = (named[1] if named else command).lower()
    return EngineCommandDenied(f"{where}: this user may not run {name}: add +{name}", command=name)


def _key_denied(where: str, command: str, prefix: str) -> EngineCommandDenied:
    return EngineCommandDenied(
        f"{where}: this user may not access the cluster's keys: add ~{prefix}:*", command=command
    )
