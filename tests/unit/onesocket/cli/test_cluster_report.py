"""`onesocket status --cluster`: the report of an engine, its rows, and how they are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onesocket.cli._cluster_report import FIELDS, HOST_FIELDS, ClusterReport, block_of, row_of
from onesocket.errors import EngineKeyTaken, EngineUnavailable, UsageError
from onesocket.sharing.cluster._announcements import AnnouncedConnection, Announcement
from onesocket.sharing.cluster._cluster_options import ClusterOptions
from onesocket.sharing.cluster._cluster_view import AnnouncedMember, ClusterView
from onesocket.sharing.cluster._coordinator import NO_LAG, START, ClusterKey, Lag, LeaseInfo
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.testing import run_virtual

DIGEST = "c2b7" * 16
URL = "wss://feed.example/prices"


def member(name: str, lag: Lag | None = None, remaining: float = 7.25, **told: Any) -> AnnouncedMember:
    note = Announcement(**{"host": name, "pid": 4711, "part": "follower", "lease": 9.0, **told})
    return AnnouncedMember(f"{name}-0", msgspec.json.encode(note), lag, remaining)


def leader(**connection: Any) -> AnnouncedMember:
    told = AnnouncedConnection(**{"state": "connected", "epoch": 3, **connection})
    return member("b", part="leader", connection=told)


LEASE = LeaseInfo("b-0", 1795990387757531, 7.4, START)


def test_a_connection_is_shown_with_its_leader_first() -> None:
    view = ClusterView(DIGEST, LEASE, (member("a", NO_LAG), leader(), member("c", Lag(12, 0.44), 0.3)))
    assert block_of(row_of(view, URL)).splitlines() == [
        "CONNECTION  wss://feed.example/prices",
        f"DIGEST      {DIGEST}",
        "STATE       connected, connection 3",
        "LEADER      b, process 4711",
        "EPOCH       1795990387757531",
        "LEASE       ends in 7.4 s",
        "HOST  PROCESS  ROLE      LAG                HEARD",
        "b     4711     leader    –                  1.8 s ago",
        "a     4711     follower  0 records          1.8 s ago",
        "c     4711     follower  12 records, 0.4 s  8.7 s ago",
    ]


@pytest.mark.parametrize(
    ("lag", "text"),
    [
        (None, "not known"),
        (Lag(None, None), "not known"),
        (Lag(1, None), "1 record "),
        (Lag(None, 2.0), "2.0 s"),
    ],
)
def test_a_lag_is_shown_as_far_as_it_is_known(lag: Lag | None, text: str) -> None:
    (row,) = block_of(row_of(ClusterView(DIGEST, None, (member("a", lag),)), None)).splitlines()[-1:]
    assert text in row


@pytest.mark.parametrize(
    ("view", "lines"),
    [
        (ClusterView(DIGEST, None, (member("a"),)), ["STATE       no host leads", "LEADER      –"]),
        (
            ClusterView(DIGEST, LEASE, ()),
            ["STATE       not known: the leader does not announce itself yet, or any more", "LEADER      b-0"],
        ),
        (
            ClusterView(DIGEST, LEASE, (leader(state="backing off", error="ConnectionRefused"),)),
            ["STATE       backing off (ConnectionRefused), connection 3"],
        ),
        (
            ClusterView(DIGEST, LEASE, (member("a", error="TokenMismatch"),)),
            ["a     4711     follower: TokenMismatch  not known  1.8 s ago"],
        ),
        (
            ClusterView(DIGEST, LEASE, (AnnouncedMember("x-1", b"\x1b[2J", None, 5.0),)),
            ["x-1   ?        of another release  ?    ?"],
        ),
        (
            ClusterView(DIGEST, None, (leader(),)),
            ["STATE       no host leads", "b     4711     leader, until its lease ended  –    1.8 s ago"],
        ),
        (
            ClusterView(DIGEST, None, (member("a", lease=None),)),
            ["a     4711     follower  not known  ?"],
        ),
        (ClusterView(DIGEST, LEASE, (member("a\x1b[2J"),)), ["a\\u001b[2J  4711     follower  not known  1.8 s ago"]),
        (
            ClusterView("a name\n", error=EngineKeyTaken("the key x is not onesocket's", key="x")),
            ["DIGEST      a name\\n", "ERROR       EngineKeyTaken: the key x is not onesocket's"],
        ),
    ],
)
def test_what_is_missing_or_foreign_is_told(view: ClusterView, lines: list[str]) -> None:
    shown = block_of(row_of(view, None)).splitlines()
    assert shown[0] == "CONNECTION  not known on this machine"
    for line in lines:
        assert line in shown


def report(engine: MemoryEngine, directory: Path, digest: str | None = None) -> ClusterReport:
    return ClusterReport(ClusterOptions(engine=engine), digest, str(directory))


def test_a_report_has_every_field_and_counts_the_commands(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    async def main() -> None:
        engine = MemoryEngine()
        shown = report(engine, tmp_path)
        assert await shown.rows() == []
        assert shown.text([]) == (
            "at memory:, under the prefix onesocket, no host shares a connection\n\n(1 command to memory:)"
        )
        for digest in (DIGEST, "0" * 64):
            own = engine.open(ClusterKey.of(digest), "b-0")
            await own.acquire(9, 0)
            await own.announce(leader().note, START, 9)
        rows = json.loads(shown.json(await report(engine, tmp_path).rows()))
        assert [row["digest"] for row in rows] == ["0" * 64, DIGEST]
        for row in rows:
            assert tuple(row) == FIELDS
            assert [tuple(host) for host in row["hosts"]] == [HOST_FIELDS]
            assert (row["state"], row["url"], row["commands"]) == ("connected", None, 1)
        (one,) = await report(engine, tmp_path, "c2b7").rows()
        assert one["digest"] == DIGEST
        with pytest.raises(UsageError, match="begins with c2b8"):
            await report(engine, tmp_path, "c2b8").rows()
        engine.is_available = False
        with pytest.raises(EngineUnavailable):
            await shown.rows()

    run_virtual(main)


def test_a_connection_that_is_away_for_a_while_is_looked_for_again(tmp_path: Path) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        key = ClusterKey.of(DIGEST)
        await engine.open(key, "a").acquire(600, 0)
        shown = report(engine, tmp_path, "c2b7")
        assert len(await shown.rows()) == 1
        engine.model(key).expire()
        rows = await shown.rows()
        assert rows == []
        assert "no host shares a connection whose digest begins with c2b7\n\n(1 command" in shown.text(rows)
        await engine.open(key, "b").acquire(600, 0)
        assert len(await shown.rows()) == 1

    run_virtual(main)


@pytest.mark.parametrize("digest", ["", "c2b", "xyz1", "C2B7", "0" * 65])
def test_a_digest_is_checked(digest: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hexadecimal"):
        report(MemoryEngine(), tmp_path, digest)
