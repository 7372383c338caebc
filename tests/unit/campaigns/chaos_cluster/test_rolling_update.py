"""The measurements of a rolling update."""

import time
from pathlib import Path

import pytest

from tests.campaigns.chaos_cluster.cluster_host import ClusterHost
from tests.campaigns.chaos_cluster.deployment import Pod
from tests.campaigns.chaos_cluster.network import LoopbackHost
from tests.campaigns.chaos_cluster.rolling_update import Timeline


def test_a_silence_begins_with_the_last_message_before_and_ends_with_the_update(tmp_path: Path) -> None:
    pod = Pod(ClusterHost(1, LoopbackHost(), tmp_path, None), "1")
    assert pod.silence(0, 10) == 0
    pod.fed = [1, 2, 5, 6]
    assert pod.silence(2.5, 6) == 3
    assert pod.silence(5.5, 6) == 1
    assert pod.silence(6, 10) == 4
    assert pod.silence(0, 2) == 1, "a new host has none before its first message"


def test_a_timeline_is_ordered_and_begins_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = Timeline()
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    timeline.note("before")
    timeline.begin()
    timeline.note("later", 101.5)
    timeline.note("now")
    timeline.note("earlier", 99.0)
    assert timeline.lines() == ["   0.000 s  now", "   1.500 s  later"]
