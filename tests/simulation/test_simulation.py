"""The simulated world: thousands of seeds, exact replays, and proof that its checks can fail."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onesocket.client._backlog import Backlog
from onesocket.client._callers import Callers
from onesocket.client._connection_attempt import ConnectionAttempt
from onesocket.client._connection_calls import ConnectionCalls
from onesocket.client._delivery import DELIVERED
from onesocket.client._early_messages import EarlyMessages
from onesocket.client._fan_out import FanOut
from onesocket.client._outbox_expiry import OutboxExpiry
from onesocket.client._overlap import Overlap
from onesocket.client._queue import Queue
from onesocket.client._runner import Runner
from onesocket.client._sender import Sender
from onesocket.client._upstream_subscriptions import UpstreamSubscriptions
from onesocket.errors import ConnectAborted, OnesocketError, OutboxFull
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._actions import Actions
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._peer_errors import CLOSE_RULES
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._verdict import Verdict
from onesocket.notices import Notices
from onesocket.protocols._pace import SendWindow
from onesocket.provider._retired_connections import RetiredConnections
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._member import Member
from onesocket.sharing._shared_client import SharedClient
from onesocket.sharing._shared_connection import SharedConnection
from tests.simulation.world.campaign import main, run_campaign
from tests.simulation.world.seed_run import minimise, run_seed

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
    failing = next(seed for seed in range(300) if run_seed(seed).broken and len(run_seed(seed).performed_actions) > 5)
    skip = minimise(failing)
    shorter = run_seed(failing, skip=skip)
    assert shorter.broken
    assert len(shorter.performed_actions) < len(run_seed(failing).performed_actions)


# --- mutants: each broken on purpose, each must be caught within so many seeds ------------------------------


def no_epoch_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "_is_stale", lambda _self, _happened: False)


def close_not_awaited(patch: pytest.MonkeyPatch) -> None:
    start_close = ConnectionAttempt.start_close

    def at_once(self: ConnectionAttempt, code: int, reason: str) -> None:
        start_close(self, code, reason)
        self._on_gone(self, ConnectAborted("gone, surely"), False)

    patch.setattr(ConnectionAttempt, "start_close", at_once)


def flag_set_after_an_await(patch: pytest.MonkeyPatch) -> None:
    request = ConnectionCalls.request

    async def check_then_dial(self: ConnectionCalls, call: Any) -> Any:
        machine = self._queue.machine
        if machine.live_epoch is None and isinstance(call, events.Connect):
            await asyncio.sleep(0.1)
            self._queue._perform(fx.Dial(machine.epoch))
        return await request(self, call)

    patch.setattr(ConnectionCalls, "request", check_then_dial)


def waiters_not_cleared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Callers, "reject", lambda _self, _error, **_options: None)


def leavers_not_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Callers, "release_closers", lambda _self: None)


def upgrade_abandoned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConnectionAttempt, "start_close", lambda self, _code, _reason: self.abort())


def no_close_deadline(patch: pytest.MonkeyPatch) -> None:
    set_timer = Machine._set_timer

    def not_for_a_close(self: Machine, kind: TimerKind, delay: float) -> None:
        if kind is TimerKind.CLOSE:
            self.cancel_timer()
        else:
            set_timer(self, kind, delay)

    patch.setattr(Machine, "_set_timer", not_for_a_close)


def no_gap_marker(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FanOut, "announce", lambda _self, _gap: None)


def waiting_messages_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sender, "reject_waiting", lambda _self, _error: None)
    patch.setattr(OutboxExpiry, "watch", lambda _self: None)


def messages_sent_twice(patch: pytest.MonkeyPatch) -> None:
    post = Sender.post

    def twice(self: Sender, data: Any, **options: Any) -> Any:
        if self._connection is not None:
            self._connection.send(data)
        return post(self, data, **options)

    patch.setattr(Sender, "post", twice)


def late_connections_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Runner, "_on_ready", lambda self, attempt, _ready: self.dispatch(events.ProtocolReady(attempt.epoch)))


def old_identity_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: RetiredConnections[Any]) -> None:
        await asyncio.sleep(0)

    patch.setattr(RetiredConnections, "wait_closed", at_once)


def shared_client_not_awaited(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: SharedClient) -> None:
        await asyncio.sleep(0)

    patch.setattr(SharedClient, "left", at_once)


def closing_connection_not_awaited(patch: pytest.MonkeyPatch) -> None:
    attach = SharedConnection._attach

    async def at_once(self: SharedConnection) -> None:
        self._predecessor = None
        await attach(self)

    patch.setattr(SharedConnection, "_attach", at_once)


def shared_clients_not_counted_out(patch: pytest.MonkeyPatch) -> None:
    async def member_count_of_zero(_self: SharedConnection) -> None:
        await asyncio.sleep(0)

    patch.setattr(SharedConnection, "_after_member_left", member_count_of_zero)


def notices_not_withdrawn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Notices, "withdraw", lambda _self, *_ids: None)
    patch.setattr(Notices, "clear", lambda _self: None)


def early_messages_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EarlyMessages, "keep", lambda _self: None)


def early_messages_of_shared_clients_lost(patch: pytest.MonkeyPatch) -> None:
    add = SharedConnection.add

    def forgets(self: SharedConnection, member: Member, seen: Any) -> None:
        add(self, member, seen)
        self._stop_keeping(member)

    patch.setattr(SharedConnection, "add", forgets)


def only_the_newest_waits(patch: pytest.MonkeyPatch) -> None:
    since = Backlog.since
    patch.setattr(Backlog, "since", lambda self, reader, epoch: since(self, reader, epoch)[-1:])


def messages_dropped_silently(patch: pytest.MonkeyPatch) -> None:
    def makes_room(self: Queue[Any]) -> bool:
        self.items.popleft()
        return True

    patch.setattr(Queue, "_make_room", makes_room)


def messages_swallowed(patch: pytest.MonkeyPatch) -> None:
    post = Sender.post

    def swallows(self: Sender, data: Any, **options: Any) -> Any:
        return DELIVERED if str(data).endswith("3") else post(self, data, **options)

    patch.setattr(Sender, "post", swallows)


def sent_but_reported_unsent(patch: pytest.MonkeyPatch) -> None:
    post = Sender.post

    def posts_and_refuses(self: Sender, data: Any, **options: Any) -> Any:
        post(self, data, **options)
        if str(data).endswith("3"):
            raise OutboxFull("no room, surely")
        return DELIVERED

    patch.setattr(Sender, "post", posts_and_refuses)


def no_pace(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SendWindow, "wait", lambda _self, _now: 0.0)


def limit_treated_as_fatal(patch: pytest.MonkeyPatch) -> None:
    rules = tuple(rule for rule in CLOSE_RULES if rule.verdict is not Verdict.SLOW)
    patch.setattr("onesocket.lifecycle._peer_errors.CLOSE_RULES", rules)
    patch.setattr("onesocket.lifecycle._machine.as_established", lambda error: error)


def date_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Actions, "_note_date", lambda _self, _error: None)
    patch.setattr(ReconnectPolicy, "delay", lambda _self, *_arguments, **_options: 0.1)


def retrying_callers_not_released(patch: pytest.MonkeyPatch) -> None:
    reject = Callers.reject

    def spares(self: Callers, error: OnesocketError, *, spares_retrying: bool) -> None:
        del spares_retrying
        reject(self, error, spares_retrying=True)

    patch.setattr(Callers, "reject", spares)


def stale_subscriptions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UpstreamSubscriptions, "begin", lambda _self: None)


def unwanted_keys_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientUpstream, "remove_keys", lambda *_: None)


def keys_subscribed_twice(patch: pytest.MonkeyPatch) -> None:
    changed = UpstreamSubscriptions._changed

    def forgets(self: UpstreamSubscriptions) -> None:
        self._missing = dict.fromkeys(self._counts)
        changed(self)

    patch.setattr(UpstreamSubscriptions, "_changed", forgets)


def overlap_not_merged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("onesocket.client._overlap._take_one", lambda _counter, _identity: False)


def successor_takes_over_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Overlap, "switch", lambda self, **_options: setattr(self, "has_switched", True))


def old_connection_not_probed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConnectionAttempt, "probe", lambda _self, answered: answered())


def loss_in_a_rotation_not_told(patch: pytest.MonkeyPatch) -> None:
    take_over = Runner._take_over

    def forgets(self: Runner, effect: Any) -> None:
        take_over(self, effect)
        self._has_predecessor = False

    patch.setitem(Runner._performers, fx.TakeOver, forgets)


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
    (late_connections_heard, 300),
    (old_identity_not_awaited, 1000),
    (shared_client_not_awaited, 1000),
    (closing_connection_not_awaited, 1000),
    (shared_clients_not_counted_out, 300),
    (notices_not_withdrawn, 300),
    (early_messages_lost, 300),
    (early_messages_of_shared_clients_lost, 300),
    (only_the_newest_waits, 300),
    (messages_dropped_silently, 300),
    (messages_swallowed, 300),
    (sent_but_reported_unsent, 300),
    (no_pace, 300),
    (limit_treated_as_fatal, 300),
    (date_ignored, 300),
    (retrying_callers_not_released, 300),
    (stale_subscriptions, 300),
    (unwanted_keys_kept, 300),
    (keys_subscribed_twice, 300),
    (overlap_not_merged, 300),
    (successor_takes_over_at_once, 300),
    (old_connection_not_probed, 1000),
    (loss_in_a_rotation_not_told, 1000),
]


@pytest.mark.parametrize(("mutant", "within"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
@pytest.mark.filterwarnings("ignore")  # a broken client leaves all kinds of things behind
def test_a_mutant_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None], within: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    caught = next((seed for seed in range(within) if run_seed(seed).broken), None)
    assert caught is not None, f"{mutant.__name__} lived through {within} seeds"
