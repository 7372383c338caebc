"""The two streams of a cluster in NATS: makes them, and finds out whether a server, and what is there, can serve."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from ...errors import EngineKeyTaken, EngineUnusable
from ._coordinator import FORMAT
from ._engine_errors import other_format
from ._nats_client import NatsClient
from ._nats_connection import NatsConnection, NatsMessage
from ._nats_errors import NAME_IN_USE, NO_RESPONDERS, NO_STREAM, NatsRefused
from ._nats_reader import NatsReader
from ._nats_records import NatsNames

OLDEST: Final = (2, 12, 1)
"""A write that depends on the last message of another subject has not been tried on older ones."""
MAX_PAYLOAD: Final = 2**20 - 1024
"""Bytes: the server's default limit without room for subject and headers."""
_SERVER_PAYLOAD: Final = 2**20
MOST_MAILS: Final = 1000
_MAIL_SECONDS: Final = 600
_SLOT_SECONDS: Final = 86_400
_STATE_SECONDS: Final = 30 * 86_400
"""For which lease, epoch and feed of a key are kept that no member uses."""
_NANOSECONDS: Final = 10**9
_FORMAT_KEY: Final = "onesocket.format"
_SUBJECTS_OVERLAP: Final = 10065
_NOT_MADE: Final = 10049
_TRIES: Final = 4
"""A server that deletes a stream removes the directory of all streams, if it is empty, once after its answer: a stream
that it is about to make in there fails. A cluster has three streams, with that of the login slots."""
_TOO_FEW_SERVERS: Final = (10005, 10074)
"""For the replicas: of a cluster, and without one."""
_NEVER: Final = str(2**53)
"""A sequence that no message has."""


def feed_stream(names: NatsNames, records: int, replicas: int) -> dict[str, Any]:
    """The configuration of the stream with lease, feed, answers and announcements."""
    return _stream(
        names.stream, [names.lease, names.feed, names.every_answer, names.every_member], replicas, _STATE_SECONDS
    ) | {
        # Only the feed has so many on one subject; its oldest are dropped, also with `discard` "new", which is for the
        # whole: without room for it, a write is refused instead of the lease being dropped.
        "max_msgs_per_subject": records,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
    }


def mail_stream(names: NatsNames, replicas: int) -> dict[str, Any]:
    """The configuration of the stream with the mailboxes."""
    return _stream(names.mail_stream, [names.every_mailbox], replicas, _MAIL_SECONDS) | {"max_msgs": MOST_MAILS}


def slot_stream(prefix: str, replicas: int) -> dict[str, Any]:
    """The configuration of the stream with the login slots of a prefix."""
    options = {"allow_msg_ttl": True, "allow_rollup_hdrs": True}
    return _stream(f"{prefix}-slots", [f"{prefix}.slots.*"], replicas, _SLOT_SECONDS) | options


def _stream(name: str, subjects: list[str], replicas: int, seconds: int) -> dict[str, Any]:
    return {
        "name": name,
        "description": "onesocket: hosts that share a connection",
        "subjects": subjects,
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "max_age": seconds * _NANOSECONDS,
        "num_replicas": replicas,
        "metadata": {_FORMAT_KEY: str(FORMAT)},
    }


_NEEDED: Final = ("retention", "discard", "allow_msg_ttl", "allow_rollup_hdrs")
_FORBIDDEN: Final = ("sealed", "deny_purge", "discard_new_per_subject", "mirror", "sources", "subject_transform")
"""Options of a stream that an operator made beforehand; its limits, storage and replicas are the operator's choice."""


def check_server(connection: NatsConnection) -> None:
    """Raise `EngineUnusable` if the server is too old, or takes only smaller messages."""
    numbers = tuple(int(each) for each in connection.version.partition("-")[0].split(".") if each.isdigit())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EngineUnusable(f"{connection.where} is NATS {connection.version}; a cluster needs NATS {oldest} or newer")
    if connection.max_payload < _SERVER_PAYLOAD:
        raise EngineUnusable(
            f"{connection.where} takes messages of at most {connection.max_payload} bytes: set max_payload to "
            f"{_SERVER_PAYLOAD} or more"
        )


async def ensure_streams(client: NatsClient, where: str, *configs: Mapping[str, Any], make: bool) -> str | None:
    """Make each stream unless it is there; returns when they were made, which changes if one is made anew.

    None: one is missing, and `make` is False.
    """
    made: list[str] = []
    for config in configs:
        info = await _info(client, config["name"])
        if info is None:
            if not make:
                return None
            info = await _create(client, where, config)
        check_stream(info["config"], config, where)
        made.append(info["created"])
    return " ".join(made)


async def _info(client: NatsClient, name: str) -> dict[str, Any] | None:
    try:
        return await client.ask(f"STREAM.INFO.{name}")
    except NatsRefused as refused:
        if refused.code == NO_STREAM:
            return None
        raise


async def _create(client: NatsClient, where: str, config: Mapping[str, Any]) -> dict[str, Any]:
    name = config["name"]
    try:
        return await _try_to_create(client, config)
    except NatsRefused as refused:
        if refused.code == _SUBJECTS_OVERLAP:
            subjects = ", ".join(config["subjects"])
            raise EngineKeyTaken(
                f"{where}: another stream takes messages of the cluster's subjects ({subjects}): use another prefix, "
                "or remove them there",
                key=name,
            ) from refused
        if refused.code in _TOO_FEW_SERVERS:
            raise EngineUnusable(
                f"{where} has not {config['num_replicas']} servers with JetStream to keep a stream ({refused.text}): "
                "ask for fewer replicas, or start a cluster of so many servers"
            ) from refused
        found = await _info(client, name) if refused.code == NAME_IN_USE else None
        if found is None:
            raise
        return found  # another member, with other limits, was first


async def _try_to_create(client: NatsClient, config: Mapping[str, Any]) -> dict[str, Any]:
    left = _TRIES
    while True:
        left -= 1
        try:
            # Sequences of a stream that was deleted are not given again: a write that depends on one is refused.
            first = time.time_ns() // 1000
            return await client.ask(f"STREAM.CREATE.{config['name']}", {**config, "first_seq": first})
        except NatsRefused as refused:
            if refused.code != _NOT_MADE or not left:
                raise


def check_stream(found: Mapping[str, Any], needed: Mapping[str, Any], where: str) -> None:
    """Raise `VersionMismatch` or `EngineKeyTaken` unless a stream's configuration can serve."""
    name = needed["name"]
    metadata: dict[str, str] = found.get("metadata") or {}
    used = metadata.get(_FORMAT_KEY)
    if used is not None and used != str(FORMAT):
        raise other_format(where, used)
    fault = _fault(found, needed)
    if used is None:
        fault = f"is not one of onesocket (its metadata has no {_FORMAT_KEY})"
    if fault is not None:
        raise EngineKeyTaken(
            f"{where}: the stream {name} {fault}: use another prefix, or delete it (nats stream rm {name})", key=name
        )


def _fault(found: Mapping[str, Any], needed: Mapping[str, Any]) -> str | None:
    if sorted(found.get("subjects") or ()) != sorted(needed["subjects"]):
        return f"does not have the subjects {', '.join(needed['subjects'])}"
    for option in _NEEDED:
        if option in needed and found.get(option) != needed[option]:
            return f"has {option} {found.get(option)!r} instead of {needed[option]!r}"
    for option in _FORBIDDEN:
        if found.get(option):
            return f"has {option}, with which it can't serve"
    return None


async def probe(client: NatsClient, names: NatsNames) -> None:
    """Try each subject that a coordinator uses, and change nothing; raises `EngineCommandDenied`."""
    await client.newest(names.stream, names.lease)
    for subject in (names.lease, names.feed, names.answers, names.present, names.mailbox(0)):
        try:
            await client.write(NatsMessage(subject, b"", {"Nats-Expected-Last-Sequence": _NEVER}))
        except NatsRefused as refused:
            if not refused.is_wrong_sequence:
                raise
    try:
        await client.touch(NatsMessage(f"$JS.FC.{names.stream}.probe", b"", {}))  # answers to flow control
    except NatsRefused as refused:
        if refused.code != NO_RESPONDERS:
            raise
    for stream, subject in ((names.stream, names.feed), (names.mail_stream, names.mailbox(0))):
        await client.ask(f"STREAM.PURGE.{stream}", {"filter": subject, "seq": 1})
        reader = NatsReader(client, stream)
        await reader.open(0, (subject,))
        await reader.close()
