"""``onesocket status``: the shared connections of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .._printable import printable
from ..errors import UsageError
from ._usage import EXIT_FAILED, check_engine_url, fail, one_of, show_error

if TYPE_CHECKING:
    from ..hub import HubListing
    from ..sharing.host import Listing
    from ._cluster_report import ClusterReport

FIELDS: Final = (
    *("kind", "url", "pid", "listen", "followers", "state", "epoch", "received_per_second", "sent_per_second", "rtt"),
    *("started", "last_error", "last_loss", "last_lost_at", "key", "own", "next_owner", "cluster"),
)
"""The fields of a shared connection, which docs/hub.md describes."""
_COLUMNS: Final = {
    "CONNECTION": "url",
    "KIND": "kind",
    "OWNER": "pid",
    "FOLLOWERS": "followers",
    "OWN": "own",
    "NEXT": "next_owner",
    "STATE": "state",
    "EPOCH": "epoch",
    "IN/S": "received_per_second",
    "OUT/S": "sent_per_second",
    "LISTENS ON": "listen",
    "CLUSTER": "cluster",
}
"""The columns of the table, and the field that each one shows."""
_CLEAR_SCREEN = "\x1b[H\x1b[2J"


def status(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON list, and nothing else; with --watch one in each line.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two repeats.")] = 1.0,
    directory: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the files are: the directory= of HostOptions. Default: ONESOCKET_RUNTIME_DIR, else the user's "
            "runtime directory.",
        ),
    ] = None,
    scope: Annotated[
        str,
        typer.Option(
            metavar="host|cluster",
            help="host: the connections of this machine. cluster: those of all hosts that share one through the engine "
            "that ONESOCKET_CLUSTER names.",
        ),
    ] = "host",
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="URL",
            help="The engine of a cluster, as of `onesocket share`; implies --scope cluster. Better given by "
            "ONESOCKET_CLUSTER, if it has a password: other users of this machine can read arguments.",
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(metavar="NAME", help="--scope cluster: the prefix= of ClusterOptions.")
    ] = "onesocket",
    digest: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="--scope cluster: only the connection with this digest, or one that begins with it."
        ),
    ] = None,
    hand_over: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Ask the owner of the connection with this URL, key= or process id to hand over to another process, "
            "in order, and show the new owner.",
        ),
    ] = None,
) -> None:
    """Show this machine's shared connections: their owners, followers and states.

    Those of processes that joined with scope="host" or "cluster", and hubs (`onesocket share`). Only your own: other
    users' can't be asked. With --cluster, the hosts of each connection of a fleet, the leader, and how far the others
    lag. Exit status: 0, also if there are none; 1 if the list can't be written, an owner can't hand over, the engine is
    away, or a connection of it can't be read; 2 if the command was misused, the engine can't serve as it is set up, or
    no single connection has this KEY, or none this DIGEST.
    """
    check_engine_url(cluster)
    if hand_over is not None and watch:
        fail("--hand-over can't be combined with --watch")
    if one_of("--scope", scope, "host", "cluster") == "cluster" or cluster is not None:
        if hand_over is not None:
            fail("--hand-over can't be combined with --scope cluster: it is about this host's processes")
        _show_cluster(cluster, prefix, digest, directory, as_json=as_json, interval=interval if watch else None)
        return
    if digest is not None:
        fail("--digest is for --scope cluster")
    try:
        while True:
            found = rows(directory) if hand_over is None else [_hand_over(hand_over, directory)]
            _write(json.dumps(found) if as_json else _screen(_table(found), watch=watch))
            if not watch:
                return
            time.sleep(interval)
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _show_cluster(
    url: str | None, prefix: str, digest: str | None, directory: str | None, *, as_json: bool, interval: float | None
) -> None:
    """Show what an engine tells, every `interval` seconds; None: once."""
    from ..errors import OnesocketError
    from ..sharing.cluster._cluster_options import ClusterOptions
    from ..sharing.cluster._named_engine import cluster_options
    from ._cluster_report import ClusterReport

    try:
        engine = cluster_options(url).engine
        report = ClusterReport(ClusterOptions(engine=engine, prefix=prefix), digest, directory)
        is_whole = asyncio.run(_repeat(report, as_json=as_json, interval=interval))
    except UsageError as error:
        fail(str(error))
    except OnesocketError as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    if not is_whole:
        raise typer.Exit(EXIT_FAILED)


async def _repeat(report: ClusterReport, *, as_json: bool, interval: float | None) -> bool:
    """Show a report; returns whether all of it could be read. An engine that goes away later is waited for."""
    from ..errors import EngineUnavailable

    has_shown = False
    try:
        while True:
            try:
                rows = await report.rows()
            except EngineUnavailable as error:
                if not has_shown:
                    raise
                show_error(str(error))
            else:
                has_shown = True
                _write(report.json(rows) if as_json else _screen(report.text(rows), watch=interval is not None))
                if interval is None:
                    return all(row["error"] is None for row in rows)
            await asyncio.sleep(interval or 0)
    finally:
        await report.aclose()


def _screen(text: str, *, watch: bool) -> str:
    return (_CLEAR_SCREEN if watch and sys.stdout.isatty() else "") + text


def _write(text: str) -> None:
    try:
        typer.echo(text)
    except BrokenPipeError:
        os._exit(0)  # stdout has no reader; Python's own clean-up would write again
    except OSError as error:
        show_error(f"the list could not be written to stdout: {error.strerror}")
        os._exit(EXIT_FAILED)  # as above


def _hand_over(name: str, directory: str | None) -> dict[str, Any]:
    """Have a connection handed over; returns the new owner's row."""
    from ..errors import HandOverRefused, OwnerSilent
    from ..sharing.host import hand_over

    try:
        one = hand_over(name, directory)
    except (HandOverRefused, OwnerSilent) as error:
        fail(str(error), EXIT_FAILED)
    return _host_row(one)


def rows(directory: str | None = None) -> list[dict[str, Any]]:
    """Return the shared connections of this machine, each with `FIELDS`. Raises `NoRuntimeDirectory`."""
    from ..hub._discovery import hubs
    from ..sharing.host._listing import listing

    found = [_host_row(one) for one in listing(directory)]
    nothing: dict[str, Any] = dict.fromkeys(("key", "own", "next_owner", "cluster"))
    for one in hubs(directory):
        kind = "hub" if one.kind == "raw" else f"hub ({one.kind})"
        found.append(_row(one, kind=kind, listen=one.listen, followers=one.clients, **nothing))
    return found


def _host_row(one: Listing) -> dict[str, Any]:
    return _row(one, kind="host" if one.cluster is None else "cluster", listen=None, followers=one.followers)


def _row(one: Listing | HubListing, **given: Any) -> dict[str, Any]:
    given["state"] = None if one.state is None else one.state.value
    return {name: given[name] if name in given else getattr(one, name) for name in FIELDS}


def _table(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "nothing is shared on this machine: no process joined with scope='host', and no hub runs"
    has_clusters = any(row["cluster"] is not None for row in found)
    columns = {title: name for title, name in _COLUMNS.items() if has_clusters or name != "cluster"}
    body = [tuple(_cell(name, row[name]) for name in columns.values()) for row in found]
    table = (tuple(columns), *body)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "no answer" if name == "state" else "–"
    return f"{value:.1f}" if isinstance(value, float) else printable(str(value))
