"""The checks of the chaos campaign find what they are kept for."""

from types import SimpleNamespace
from typing import Any

import pytest

from onesocket import Gap
from onesocket.client._gap import GapReason
from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.chaos.numbered import NumberedReader
from tests.campaigns.chaos.scenarios import server_faults
from tests.campaigns.chaos.scenarios.server_faults import ControlLimit


def read(*items: str | Gap) -> NumberedReader:
    reader = NumberedReader(1)
    for item in items:
        reader.take(item)
    return reader


def gap(epoch: int, missed: int | None = None) -> Gap:
    reason = GapReason.RECONNECTED if missed is None else GapReason.OVERFLOW
    return Gap(reason, missed=missed, epoch=epoch)


def test_a_hole_without_a_gap_is_wrong(wrong: list[str]) -> None:
    read("1 ", "2 ", "4 ")
    assert wrong == ["4 came after 2, and no gap marker between them (epoch 1)"]


def test_a_copy_is_wrong_also_behind_a_gap(wrong: list[str]) -> None:
    read("1 ", "2 ", gap(2), "2 ")
    assert len(wrong) == 1


def test_each_gap_excuses_one_hole(wrong: list[str]) -> None:
    reader = read("1 ", gap(2), "5 ", "6 ", gap(2, missed=3), "10 ")
    assert (wrong, reader.missed, reader.gaps) == ([], 3, 2)


def test_the_first_number_of_each_connection_is_known(wrong: list[str]) -> None:
    assert read("7 ", gap(2), "20 ", "21 ", gap(2, missed=2), "24 ", gap(3), "30 ").firsts == [20, 30]
    assert wrong == []


async def test_one_message_too_many_about_subscriptions_is_a_finding_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_faults, "_CONTROL_LIMIT", 2)
    findings = ChaosFindings("")
    limit = ControlLimit(findings)
    read_late: Any = SimpleNamespace(number=1)
    read_in_time: Any = SimpleNamespace(number=2)
    limit.excused.add(1)
    for _ in range(4):
        limit.note(read_late)
        limit.note(read_in_time)
    assert findings.wrong == ["more than 2 messages about subscriptions in 0.5 s"]
    assert limit.most == 4
