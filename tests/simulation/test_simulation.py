"""The simulated world: thousands of seeds, exact replays, and proof that its checks can fail."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import ConnectAborted, OutboxFull
from onesocket.client.delivery import DELIVERED
from onesocket.client.fanout import Fanout
from onesocket.client.link import Link
from onesocket.client.outgoing import Outgoing
from onesocket.client.queue import Queue
from onesocket.client.runner import Runner
from onesocket.client.waiting import Waiting
from onesocket.lifecycle import inputs
from onesocket.lifecycle.machine import Machine
from onesocket.notices import Notices
from onesocket.protocols.pace import SendWindow
from onesocket.provider.provider import Provider
from onesocket.sharing.client_upstream import ClientUpstream
from onesocket.sharing.line_keys import LineKeys
from onesocket.sharing.link import Link as SharedLink
from onesocket.sharing.shared import Member, Shared
from onesocket.testing.simulation.campaign import main, run_campaign
from onesocket.testing.simulation.world import minimise, run_seed

SEEDS = 5_000


@pytest.mark.timeout(300)
def test_five_thousand_seeds_keep_every_promise() -> None:
    summary = run_campaign(SEEDS)
    assert summary.seeds == SEEDS
    assert not summary.failing, str(summary)
    assert len(summary.faults) >= 15, "every kind of fault was injected"
    assert summary.dials > SEEDS


def test_a_gap_stands_behind_the_greeting_of_an_attempt_that_was_given_up() -> None:
    # In this life the process is suspended, and the deadline of an attempt passes in the turn that brings its greeting.
    assert run_seed(2_074_899).broken == ()


def test_a_seed_replays_exactly() -> None:
    for seed in range(50):
        once, again = run_seed(seed, trace=True), run_seed(seed, trace=True)
        assert once == again
        assert once.trace


def test_the_command_replays_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", "7", "--trace"]) == 0
    assert "every promise held" in capsys.readouterr().out
    assert main(["--seeds", "20", "--processes", "1"]) == 0
    assert "20 seeds" in capsys.readouterr().out


def test_a_failing_seed_can_be_minimised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert minimise(3) == frozenset(), "a seed that doesn't fail has nothing to leave out"
    no_gap_marker(monkeypatch)
    failing = next(seed for seed in range(300) if run_seed(seed).broken and len(run_seed(seed).acts) > 5)
    skip = minimise(failing)
    shorter = run_seed(failing, skip=skip)
    assert shorter.broken
    assert len(shorter.acts) < len(run_seed(failing).acts)


# --- mutants: each broken on purpose, each must be caught within so many seeds ------------------------------


def no_epoch_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "_is_stale", lambda _self, _happened: False)


def close_not_awaited(patch: pytest.MonkeyPatch) -> None:
    hang_up = Link.hang_up

    def at_once(self: Link, code: int, reason: str) -> None:
        hang_up(self, code, reason)
        self._owner.link_ended(self, ConnectAborted("gone, surely"))

    patch.setattr(Link, "hang_up", at_once)


def flag_set_after_an_await(patch: pytest.MonkeyPatch) -> None:
    want = Runner.want

    async def check_then_dial(self: Runner, wish: Any) -> Any:
        if self.machine.line is None and isinstance(wish, inputs.Connect):
            await asyncio.sleep(0.1)
            self.link = Link(self.machine.epoch, self._options, self, self._fanout)
            self.link.start()
        return await want(self, wish)

    patch.setattr(Runner, "want", check_then_dial)


def waiters_not_cleared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Runner, "_reject_callers", lambda _self, _error: None)


def leavers_not_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Runner, "_release_leavers", lambda _self: None)


def upgrade_abandoned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Link, "hang_up", lambda self, _code, _reason: self.abort())


def no_close_deadline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "_do_bound_close", Machine._do_clear_alarm)
    patch.setattr("onesocket.lifecycle.machine._ACTIONS", {**_actions(), "bound_close": Machine._do_clear_alarm})


def no_gap_marker(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fanout, "announce", lambda _self, _gap: None)


def waiting_messages_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outgoing, "reject_waiting", lambda _self, _error: None)
    patch.setattr(Outgoing, "_watch_age", lambda _self: None)


def messages_sent_twice(patch: pytest.MonkeyPatch) -> None:
    post = Outgoing.post

    def twice(self: Outgoing, data: Any) -> Any:
        if self._line is not None:
            self._line.send(data)
        return post(self, data)

    patch.setattr(Outgoing, "post", twice)


def late_lines_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Link, "_ready", True, raising=False)
    patch.setattr(Runner, "link_ready", lambda self, link, resumed: self.feed(inputs.Ready(link.epoch)))


def old_identity_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: Provider) -> None:
        await asyncio.sleep(0)

    patch.setattr(Provider, "_old_lines_gone", at_once)


def link_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: SharedLink) -> None:
        await asyncio.sleep(0)

    patch.setattr(SharedLink, "left", at_once)


def closing_connection_not_awaited(patch: pytest.MonkeyPatch) -> None:
    attach = Shared._attach

    async def at_once(self: Shared) -> None:
        self._predecessor = None
        await attach(self)

    patch.setattr(Shared, "_attach", at_once)


def links_not_counted_out(patch: pytest.MonkeyPatch) -> None:
    async def nobody_left(_self: Shared) -> None:
        await asyncio.sleep(0)

    patch.setattr(Shared, "_counted_out", nobody_left)


def notices_not_withdrawn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Notices, "withdraw", lambda _self, *_ids: None)
    patch.setattr(Notices, "clear", lambda _self: None)


def early_messages_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fanout, "keep_for_first_reader", lambda _self: None)


def early_messages_of_links_lost(patch: pytest.MonkeyPatch) -> None:
    add = Shared.add

    def forgets(self: Shared, member: Member, seen: Any) -> None:
        add(self, member, seen)
        self.feed.give_up(member.first)

    patch.setattr(Shared, "add", forgets)


def only_the_newest_waits(patch: pytest.MonkeyPatch) -> None:
    since = Waiting.since
    patch.setattr(Waiting, "since", lambda self, reader, epoch: since(self, reader, epoch)[-1:])


def messages_dropped_unsaid(patch: pytest.MonkeyPatch) -> None:
    def makes_room(self: Queue[Any]) -> bool:
        self.items.popleft()
        return True

    patch.setattr(Queue, "_make_room", makes_room)


def messages_swallowed(patch: pytest.MonkeyPatch) -> None:
    post = Outgoing.post
    patch.setattr(Outgoing, "post", lambda self, data: DELIVERED if str(data).endswith("3") else post(self, data))


def sent_and_called_unsent(patch: pytest.MonkeyPatch) -> None:
    post = Outgoing.post

    def posts_and_refuses(self: Outgoing, data: Any) -> Any:
        post(self, data)
        if str(data).endswith("3"):
            raise OutboxFull("no room, surely")
        return DELIVERED

    patch.setattr(Outgoing, "post", posts_and_refuses)


def no_pace(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SendWindow, "take", lambda _self, _now: 0.0)


def limits_taken_for_a_no(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("onesocket.lifecycle.verdicts._BUSY_REASON", re.compile("never said"))
    patch.setattr("onesocket.lifecycle.machine.once_up", lambda error: error)


def subscriptions_of_the_past(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LineKeys, "begin", lambda _self: None)


def keys_kept_that_nobody_wants(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientUpstream, "unwant", lambda _self, _keys: None)


def keys_asked_for_again(patch: pytest.MonkeyPatch) -> None:
    make = LineKeys._make

    def forgets(self: LineKeys, wanted: frozenset[Any]) -> None:
        if wanted != self._has and not self._unsent:
            self._has = frozenset()
        make(self, wanted)

    patch.setattr(LineKeys, "_make", forgets)


def _actions() -> dict[str, Any]:
    from onesocket.lifecycle.machine import _ACTIONS  # noqa: PLC0415 - the mutant's raw material

    return dict(_ACTIONS)


MUTANTS = [
    (no_epoch_check, 300),
    (close_not_awaited, 300),
    (flag_set_after_an_await, 300),
    (waiters_not_cleared, 300),
    (leavers_not_released, 300),
    (upgrade_abandoned, 300),
    (no_close_deadline, 300),
    (no_gap_marker, 300),
    (waiting_messages_forgotten, 300),
    (messages_sent_twice, 300),
    (late_lines_heard, 300),
    (old_identity_not_awaited, 1000),
    (link_not_awaited, 1000),
    (closing_connection_not_awaited, 1000),
    (links_not_counted_out, 300),
    (notices_not_withdrawn, 300),
    (early_messages_lost, 300),
    (early_messages_of_links_lost, 300),
    (only_the_newest_waits, 300),
    (messages_dropped_unsaid, 300),
    (messages_swallowed, 300),
    (sent_and_called_unsent, 300),
    (no_pace, 300),
    (limits_taken_for_a_no, 300),
    (subscriptions_of_the_past, 300),
    (keys_kept_that_nobody_wants, 300),
    (keys_asked_for_again, 300),
]


@pytest.mark.parametrize(("mutant", "within"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
@pytest.mark.filterwarnings("ignore")  # a broken client leaves all kinds of things behind
def test_a_mutant_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None], within: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    caught = next((seed for seed in range(within) if run_seed(seed).broken), None)
    assert caught is not None, f"{mutant.__name__} lived through {within} seeds"
